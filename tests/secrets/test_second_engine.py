"""Without PyNaCl's libsodium ``cryptography`` seals, with the same promises; without both an error says what to do."""

import pytest

from children import succeed
from secondengine import ALONE, WRAPPED


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
