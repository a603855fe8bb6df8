"""What happens while ``cryptography`` seals and opens: purges, forks, threads, Ctrl-C, buffers that somebody keeps."""

import pytest

import needs
from children import succeed
from secondengine import ALONE, WRAPPED


def test_what_was_lent_does_not_outlive_the_call() -> None:
    """An object that the library keeps is empty afterwards; a buffer it keeps is an error, no stale pointer in use."""
    out = succeed(f"""{WRAPPED}
kept = []
secret = Secret.from_buffer(bytearray(b"x" * 8))
meanwhile = lambda *arguments: kept.extend(arguments)
assert secret == b"x" * 8
for one in kept:
    try:
        print(type(one).__name__, len(memoryview(one)))
    except BufferError as error:
        print(type(one).__name__, error)
meanwhile = lambda nonce, data, bound, out: kept.append(memoryview(out))
try:
    secret.reveal()
except UnsupportedError as error:
    print(type(error.__cause__).__name__)
kept.clear()
meanwhile = None
assert secret == b"x" * 8
""")
    over = "_Loan the call that this memory was lent for is over"
    assert out.splitlines() == [over, "bytes 24", over, over, "BufferError"]


@pytest.mark.parametrize(
    ("deed", "seen"),
    [
        ("purge()", "PurgedError"),
        ("secret.destroy()", "DestroyedError"),
        ("again.append(secret.reveal())", "x"),
        ("rekey(); again.append(secret.reveal())", "x"),
    ],
)
@pytest.mark.parametrize("size", [8, 5000])
@pytest.mark.parametrize("moment", ["meanwhile", "at_start"])
def test_what_happens_meanwhile_is_noticed(deed: str, seen: str, size: int, moment: str) -> None:
    """Where the library runs Python code on the way, anything may: it ends as if it had been done a moment before."""
    out = succeed(f"""{WRAPPED}
secret = Secret.from_buffer(bytearray(b"x" * {size}))
again = []
def happens(*arguments):
    global meanwhile, at_start
    meanwhile = at_start = None
    {deed}
{moment} = happens
try:
    with secret.open() as view:
        assert view == b"x" * {size}
        word = "x"
except StrongroomError as error:
    word = type(error).__name__
print(word)
assert again in ([], [b"x" * {size}])
""")
    assert out.strip() == seen


def test_ctrl_c_while_a_secret_is_sealed_anew_is_not_lost() -> None:
    """After rekey() the first opening seals, too: what a signal handler raises there comes out; the secret is whole."""
    out = succeed(f"""{WRAPPED}
secret = Secret.from_buffer(bytearray(b"x" * 8))
rekey()
calls = []
def meanwhile(*arguments):
    calls.append(1)
    if len(calls) == 2:
        raise KeyboardInterrupt
try:
    secret.reveal()
except KeyboardInterrupt:
    print(len(calls), "interrupted")
meanwhile = None
print(secret.reveal())
""")
    assert out.splitlines() == ["2 interrupted", "b'xxxxxxxx'"]


def test_a_cipher_that_raises_is_passed_over() -> None:
    """AES-GCM may be forbidden by a build: ChaCha20-Poly1305 is tried next; both forbidden, the error names both."""
    out = succeed(f"""{WRAPPED}
def at_start():
    raise ValueError("not in this build")
print(Secret.random(8).reveal() is not None, stats().engine)
purge()
aead.ChaCha20Poly1305 = Cipher
try:
    Secret.random(8)
except UnsupportedError as error:
    print("there is no cipher" in str(error))
""")
    assert out.splitlines() == ["True cryptography ChaCha20-Poly1305", "True"]


def test_threads_and_a_purge() -> None:
    """Eight threads open, seal and compare; after a purge what was before does not open, and what comes after does."""
    out = succeed(f"""{ALONE}
contents = [os.urandom(size) for size in (8, 32, 500, 5000)]
secrets = [Secret.from_buffer(content, wipe=False) for content in contents]
wrong = []
def work():
    for turn in range(200):
        for content, secret in zip(contents, secrets):
            if secret.reveal() != content or not Secret.from_buffer(content, wipe=False) == content:
                wrong.append(turn)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(wrong), gc.isenabled())
purge()
try:
    secrets[0].reveal()
except PurgedError:
    print("purged")
print(Secret.from_buffer(contents[0], wipe=False) == contents[0], stats().engine)
""")
    assert out.splitlines() == ["0 True", "purged", "True cryptography AES-256-GCM"]


@needs.fork
def test_a_fork_has_its_own_key() -> None:
    """What was sealed before is the parent's; what the child makes opens there."""
    out = succeed(f"""{ALONE}
secret = Secret.random(8)
pid = os.fork()
word = "opens" if pid else "makes"
try:
    secret.reveal()
except ForkedError:
    own = Secret.from_buffer(bytearray(b"own"))
    word = "forked " + own.reveal_text()
children.end_fork(pid, word)
""")
    assert out.split() == ["child", "forked", "own", "status", "0", "parent", "opens"]


@needs.fork
@pytest.mark.parametrize("module", ["cryptography", "nacl._sodium"])
def test_a_fork_waits_until_the_library_is_loaded(module: str) -> None:
    """A child forked in the middle of the import by another thread would wait for ever for the import's own lock."""
    out = succeed(f"""
import warnings
warnings.simplefilter("ignore")
if {module!r} == "cryptography":
    sys.modules["nacl._sodium"] = None
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            inside.set()
            time.sleep(0.2)
inside = threading.Event()
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=lambda: Secret.random(8))
thread.start()
assert inside.wait(50)
pid = os.fork()
if pid == 0:
    signal.alarm(50)
    Secret.random(8).reveal()
    os._exit(0)
thread.join()
print("status", os.waitpid(pid, 0)[1])
""")
    assert out.split() == ["status", "0"]


@needs.fork
def test_a_fork_waits_until_the_library_was_used_once() -> None:
    """Its first calls fill places that whoever else calls it waits for; in a child nobody would ever fill them."""
    out = succeed(f"""{WRAPPED}
inside, calls = threading.Event(), []
def meanwhile(*arguments):
    if not inside.is_set():
        calls.append("begun")
        inside.set()
        time.sleep(0.15)
        calls.append("ended")
thread = threading.Thread(target=lambda: Secret.random(8))
thread.start()
assert inside.wait(50)
pid = os.fork()
if pid == 0:
    children.end_fork(pid, " ".join(calls))
thread.join()
children.end_fork(pid, "parent")
""")
    assert out.split()[:3] == ["child", "begun", "ended"]
