"""Without PyNaCl's libsodium ``cryptography`` seals, with the same promises; without both an error says what to do."""

import pytest

import needs
from children import succeed

pytest.importorskip(
    "cryptography",
    minversion="47",
    reason="needs cryptography >= 47, the first with _into: pip install '.[test]'; it does not load on Wine 8",
)

#: A process in which PyNaCl's private module cannot be imported.
ALONE = """
sys.modules["nacl._sodium"] = None
from strongroom import _native
from strongroom.secret import engines
"""

#: The same, with a class of ours around the library's own; ``meanwhile`` runs inside each of its calls once it is set.
WRAPPED = f"""{ALONE}
from cryptography.hazmat.primitives.ciphers import aead
meanwhile = at_start = None
class Cipher:
    def __init__(self, key):
        if at_start: at_start()
        self.real = real(key)
    def encrypt_into(self, *arguments):
        if meanwhile: meanwhile(*arguments)
        return self.real.encrypt_into(*arguments)
    def decrypt_into(self, *arguments):
        if meanwhile: meanwhile(*arguments)
        return self.real.decrypt_into(*arguments)
real, aead.AESGCM = aead.AESGCM, Cipher
"""


def test_it_seals_and_opens_all_sizes() -> None:
    """From a byte to a mebibyte, near and far envelopes; ``stats()`` names the engine, and only once there is one."""
    out = succeed(f"""{ALONE}
print(stats().engine, "cryptography" in sys.modules)
for size in (1, 2, 15, 31, 32, 33, 48, 64, 65, 100, 4096, 5000, 65536, 1 << 20):
    content = os.urandom(size)
    secret = Secret.from_buffer(content, wipe=False)
    assert secret.reveal() == content and secret == content, size
print(stats().engine)
print([line for line in str(stats()).splitlines() if line.startswith("engine")])
purge()
print(stats().engine)
""")
    assert out.splitlines() == [
        "None False",
        "cryptography AES-256-GCM",
        "['engine          cryptography AES-256-GCM']",
        "None",
    ]


def test_with_libsodium_it_is_not_even_imported() -> None:
    """It costs 8 ms, and is for those who need it."""
    out = succeed('Secret.random(8); print(stats().engine, "cryptography" in sys.modules)')
    assert out.startswith("libsodium ")
    assert out.endswith(" False\n")


@pytest.mark.parametrize(
    "lack",
    [
        "for one in engines: one.example = (b'k' * 32, b'n' * 32, b'', b'', b'x' * 99)",
        "for one in engines: one.name = 'gone'",
        "_sodium.load = refuse",
    ],
)
def test_a_libsodium_that_cannot_be_used_is_passed_over(lack: str) -> None:
    """One that computes something else, has other functions or does not start: the next library is asked."""
    out = succeed(f"""
from strongroom import _sodium
def refuse():
    raise UnsupportedError("it does not start")
engines = _sodium.AEGIS_256, _sodium.XCHACHA20_POLY1305
{lack}
print(Secret.random(9) == bytes(9), stats().engine)
""")
    assert out.strip() == "False cryptography AES-256-GCM"


def test_another_pynacl_is_passed_over() -> None:
    """Its private module has changed: no ``lib``, or nothing that a libsodium has."""
    out = succeed("""
import types
sys.modules["nacl._sodium"] = types.ModuleType("nacl._sodium")
import nacl
nacl._sodium = sys.modules["nacl._sodium"]
print(len(Secret.random(9)), stats().engine)
""")
    assert out.strip() == "9 cryptography AES-256-GCM"


def test_without_either_the_error_names_both() -> None:
    """And what to install; nothing is made, and an installation later is found."""
    out = succeed("""
sys.modules["nacl._sodium"] = sys.modules["cryptography"] = None
for turn in range(2):
    try:
        Secret.random(8)
    except UnsupportedError as error:
        text = str(error)
print(text)
del sys.modules["cryptography"]
print(len(Secret.random(8)), stats().engine)
""")
    first, second = out.splitlines()
    for word in (
        "PyNaCl: ",
        "nacl._sodium",
        "cryptography: ",
        "pip install 'PyNaCl>=1.6.2,<1.8'",
        "'cryptography>=47'",
    ):
        assert word in first
    assert second == "8 cryptography AES-256-GCM"


def test_a_version_that_is_too_old_is_named() -> None:
    """Before 47 there is no ``decrypt_into``: its own results would be ``bytes``, which nobody can wipe."""
    out = succeed(f"""{ALONE}
from cryptography.hazmat.primitives.ciphers import aead
import cryptography
class AESGCM:
    def encrypt(self): pass
    def decrypt(self): pass
aead.AESGCM, cryptography.__version__ = AESGCM, "46.0.3"
try:
    Secret.random(8)
except UnsupportedError as error:
    print(error)
""")
    assert "cryptography: 46.0.3 is too old: 47 is the first" in out


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (["AESGCM"], "cryptography ChaCha20-Poly1305 True"),
        (["AESGCM", "ChaCha20Poly1305"], "cryptography: no cipher of it computes its published example"),
    ],
)
def test_one_that_computes_something_else_is_not_taken(names: list[str], seen: str) -> None:
    """A bit of the ciphertext changed on the way out: the other one seals; if neither is right, the error says so."""
    out = succeed(f"""{WRAPPED}
class Wrong(Cipher):
    def encrypt_into(self, nonce, data, bound, out):
        done = super().encrypt_into(nonce, data, bound, out)
        memoryview(out)[0] ^= 1
        return done
for name in {names}:
    setattr(aead, name, Wrong)
try:
    secret = Secret.from_buffer(b"x", wipe=False)
    print(stats().engine, secret == b"x")
except UnsupportedError as error:
    print(error)
""")
    assert seen in out


def test_each_changed_byte_breaks_the_seal() -> None:
    """Of text and tag, near and far: SealBrokenError, the room wiped; put back, it opens. ``cryptography`` itself
    leaves the plaintext in its output then (tests/libraries)."""
    out = succeed(
        f"""{ALONE}
from secrets_at_rest import envelope_of
for size in (5, 32, 40):
    content = os.urandom(size)
    secret = Secret.from_buffer(content, wipe=False)
    with secret.open() as view:
        room = address_of(view)
    place = envelope_of(secret)[1]
    for where in range(place, place + size + 16):
        flip(where)
        try:
            secret.reveal()
        except SealBrokenError as error:
            assert error.__cause__ is None
            assert ctypes.string_at(room, size) == bytes(size)
        else:
            print("opened", where - place)
        flip(where)
        assert secret.reveal() == content
print("done")
""".replace("from secrets_at_rest import envelope_of", _ENVELOPE_OF)
    )
    assert out.strip() == "done"


_ENVELOPE_OF = """
import struct
def envelope_of(secret):
    head = struct.Struct("=QII")
    content = ctypes.string_at(id(secret), type(secret).__basicsize__)
    for offset in range(0, len(content) - head.size - 64, 8):
        _, size, key_number = head.unpack_from(content, offset)
        if size == len(secret) and 0 < key_number < 1000:
            place = id(secret) + offset + head.size
            return id(secret) + offset, place if size <= 32 else ctypes.c_size_t.from_address(place).value
"""


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        ("MemoryError()", "MemoryError None"),
        ("KeyboardInterrupt()", "KeyboardInterrupt None"),
        ("SystemExit(3)", "SystemExit None"),
        ("OverflowError('too long')", "UnsupportedError OverflowError"),
        ("RuntimeError()", "UnsupportedError RuntimeError"),
    ],
)
def test_a_call_that_fails_is_no_broken_seal(failure: str, seen: str) -> None:
    """Sealing or opening, it ends with the reason; the room is wiped, and the secret opens afterwards."""
    out = succeed(f"""{WRAPPED}
secret = Secret.from_buffer(bytearray(b"x" * 40))
with secret.open() as view:
    room = address_of(view)
def meanwhile(nonce, data, bound, out):
    memoryview(out)[:] = b"p" * len(memoryview(out))
    raise {failure}
raising = meanwhile
for use in (secret.reveal, lambda: Secret.from_buffer(bytearray(b"y" * 40))):
    meanwhile = raising
    try:
        use()
    except BaseException as error:
        print(type(error).__name__, type(error.__cause__).__name__.replace("NoneType", "None"))
    meanwhile = None
    assert ctypes.string_at(room, 40) == bytes(40)
    assert secret == b"x" * 40
    assert gc.isenabled()
""")
    assert out.splitlines() == [seen, seen]


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


def test_shielding_takes_the_other_library() -> None:
    """There is one place for the key of the moment, and with this engine threads might share it."""
    out = succeed(f"""{ALONE}
try:
    Secret.random(8, shielded=True)
except UnsupportedError as error:
    print(error)
print(len(Secret.random(8)))
""")
    assert "shielded=True takes PyNaCl's libsodium" in out
    assert out.splitlines()[-1] == "8"


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
assert inside.wait(30)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
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
assert inside.wait(30)
pid = os.fork()
if pid == 0:
    children.end_fork(pid, " ".join(calls))
thread.join()
children.end_fork(pid, "parent")
""")
    assert out.split()[:3] == ["child", "begun", "ended"]
