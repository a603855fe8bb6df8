"""What a cipher leaves of key and plaintext in ordinary memory, searched for by a second process."""

import secrets
from collections import Counter
from collections.abc import Iterator

import pytest

import needs
from children import Live
from observed import Memory

pytestmark = needs.linux

#: Bytes of the pieces that are searched for: half a key, which is a vector register of libsodium's AEGIS.
PIECE_SIZE = 16

#: How to have each engine used, and nothing else.
ENGINES = {
    "libsodium AEGIS-256": "_sodium.XCHACHA20_POLY1305.name = 'none'",
    "libsodium XChaCha20-Poly1305": "_sodium.AEGIS_256.name = 'none'",
    "cryptography AES-256-GCM": "sys.modules['nacl._sodium'] = None",
    "cryptography ChaCha20-Poly1305": """sys.modules['nacl._sodium'] = None
from strongroom.secret import engines
engines._AES_256_GCM = 12, 16, (*engines._AES_256_GCM[2][:4], bytes(76))
""",
}

PROGRAM = """
import struct
from strongroom import _sodium
{use}
keys = children.locked_and_recorded()
secret = Secret.build({size}, lambda view: take(view))
if {deed!r} == "forge":
    head = struct.Struct("=QII")
    content = ctypes.string_at(id(secret), type(secret).__basicsize__)
    place = content.index(struct.pack("=II", {size}, 1)) + 8
    flip(id(secret) + place if {size} <= 32 else ctypes.c_size_t.from_address(id(secret) + place).value)
if {deed!r} != "seal":
    try:
        with secret.open():
            pass
        word = "opened"
    except SealBrokenError:
        word = "broken"
else:
    word = "sealed"
print(stats().engine)
print(word, keys[0]._layout()[1] - 32, flush=True)
os.read(0, 1)
kept = ctypes.string_at(keys[0]._layout()[1] - 32, 32)
print("control", flush=True)
os.read(0, 1)
"""


def pieces(value: bytes) -> Iterator[bytes]:
    """Yield what a search for a value looks for: parts of it, and each word as a cipher on vectors spreads it."""
    for start in range(0, len(value) - PIECE_SIZE + 1, PIECE_SIZE):
        yield value[start : start + PIECE_SIZE]
    for start in range(0, len(value), 4):
        yield value[start : start + 4] * (PIECE_SIZE // 4)


@pytest.mark.parametrize("size", [32, 5000])
@pytest.mark.parametrize("deed", ["seal", "open", "forge"])
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_of_key_or_plaintext_is_left(engine: str, deed: str, size: int) -> None:
    """Stack, heap and what the dynamic linker saved of the registers; then the control: a copy of the key is found."""
    if engine.startswith("cryptography"):
        pytest.importorskip("cryptography", minversion="47", reason="needs cryptography >= 47: pip install '.[test]'")
    plain = secrets.token_bytes(size)
    with Live(PROGRAM.format(use=ENGINES[engine], deed=deed, size=size)) as child:
        child.send(plain)
        assert child.line() == engine
        word, place = child.line().split()
        assert word == {"seal": "sealed", "open": "opened", "forge": "broken"}[deed]
        with Memory(child.pid) as memory:
            key = memory.read(int(place), 32)
            assert key is not None
            wanted = {*pieces(key), *pieces(plain[:32]), *pieces(plain[-32:])}
            halves = {key[:PIECE_SIZE]: 1, key[PIECE_SIZE:]: 1}
            assert +Counter(memory.counts(wanted)) == halves  # the key's own memory, no piece of it elsewhere
            child.go()
            assert child.line() == "control"
            assert min(memory.counts(halves).values()) > 1
