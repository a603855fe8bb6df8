"""The ciphers: each of them can be used, and what happens in the middle of one makes no secret of zeros."""

import pytest

import needs
from children import succeed
from strongroom import _sodium

ENGINES = [name for name in _sodium.__all__ if isinstance(getattr(_sodium, name), _sodium.Engine)]

#: Takes an engine into use the way sealing.py does, its function for encryption replaced by what ``around`` returns.
USE = """
import ctypes
from strongroom import _native, _sodium
def use(name, around=lambda real: real):
    lib, ffi = _sodium.load()
    engine = getattr(_sodium, name)
    real, decrypt = (
        int(ffi.cast("uintptr_t", ffi.addressof(lib, f"{engine.name}_{verb}"))) for verb in ("encrypt", "decrypt"))
    key = LockedBuffer(_native.KEY_SIZE, isolated=True)
    return _native.begin_key(
        key, 0, around(real), decrypt, engine.nonce_size, engine.tag_size, engine.example)
"""


def test_there_are_two() -> None:
    """AEGIS-256 and XChaCha20-Poly1305."""
    assert len(ENGINES) == 2


@pytest.mark.parametrize("name", ENGINES)
def test_each_computes_its_example_and_seals(name: str) -> None:
    """In a process of its own: taken into use, then short and long secrets through it."""
    out = succeed(f"""{USE}
print(use({name!r}))
for size in (1, 32, 33, 5000):
    content = os.urandom(size)
    assert Secret.from_buffer(content, wipe=False).reveal() == content
print("sealed")
""")
    assert out.split() == ["True", "sealed"]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("part", range(5))
def test_one_that_computes_something_else_is_not_taken(name: str, part: int) -> None:
    """A bit of key, nonce, bound data, message or result changed: refused (bound data that is empty, lengthened)."""
    out = succeed(f"""{USE}
engine = _sodium.{name}
example = [bytearray(one) for one in engine.example]
if example[{part}]:
    example[{part}][0] ^= 1
else:
    example[{part}] += b"x"
engine.example = tuple(map(bytes, example))
print(use({name!r}))
""")
    assert out.split() == ["False"]


@needs.unix
@pytest.mark.parametrize("make", ["from_buffer", "random", "build"])
def test_a_purge_in_the_middle_of_sealing_makes_no_secret(make: str) -> None:
    """A signal that is survived comes: PurgedError, and the source of a copy is not lost."""
    out = succeed(f"""{USE}
import faulthandler
quiet = open(os.devnull, "w")
faulthandler.register(signal.SIGUSR1, file=quiet)  # C code, which returns
harden(wipe_on_signals=[signal.SIGUSR1])
armed = False
Encrypt = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_ulonglong, ctypes.c_void_p,
                           ctypes.c_ulonglong, *[ctypes.c_void_p] * 3)
def around(real):
    real = Encrypt(real)
    def encrypt(*arguments):
        global armed
        if armed:
            armed = False
            signal.raise_signal(signal.SIGUSR1)
        return real(*arguments)
    global kept
    kept = Encrypt(encrypt)
    return ctypes.cast(kept, ctypes.c_void_p).value
assert use("AEGIS_256", around)
source = bytearray(b"only copy of thirty-two bytes...")
makers = dict(
    from_buffer=lambda: Secret.from_buffer(source),
    random=lambda: Secret.random(32),
    build=lambda: Secret.build(32, _native.fill_random),
)
assert len(makers[{make!r}]()) == 32
source[:] = b"only copy of thirty-two bytes..."
armed = True
try:
    print("made", makers[{make!r}]())
except PurgedError as error:
    print("refused", source == b"only copy of thirty-two bytes...")
""")
    assert out.split() == ["refused", "True"]


@needs.fork
@pytest.mark.parametrize("make", ["from_buffer(bytearray(b'm' * 20000))", "random(20000)"])
def test_a_fork_while_a_room_is_made(make: str) -> None:
    """A signal's handler may fork there: the child gets a ForkedError, and nothing of the secret is in it."""
    out = succeed(f"""
from strongroom.buffers import host
secret = Secret.random(8)
real, pid = host.plan, None
def plan(*arguments):
    global pid
    host.plan = real
    answer = real(*arguments)
    pid = os.fork()
    return answer
host.plan = plan
try:
    made = Secret.{make}
    word = "made"
except ForkedError:
    word = "forked"
children.end_fork(pid, word)
""")
    assert out.split() == ["child", "forked", "status", "0", "parent", "made"]


@needs.fork
def test_a_fork_when_the_room_is_all_but_made() -> None:
    """Later still, in a warning about it: the inherited address is not written to."""
    out = succeed("""
import warnings
configure(policy=Policy(on_shortfall="warn", require={"LOCKED", "FIXED_LAYOUT"}))
pid = None
def show(*arguments, **more):
    global pid
    if pid is None and armed:
        pid = os.fork()
armed = False
warnings.simplefilter("always")
warnings.showwarning = show
secret = Secret.random(8)
armed = True
source = bytearray(b"m" * 20000)
try:
    made = Secret.from_buffer(source)
    word = "made"
except ForkedError:
    word = "forked"
if pid == 0:
    os.write(1, b"child " + word.encode() + b" %d\\n" % (source == b"m" * 20000))
    os._exit(0)
print("status", os.waitpid(pid, 0)[1], "parent", word)
""")
    assert out.split() == ["child", "forked", "1", "status", "0", "parent", "made"]
