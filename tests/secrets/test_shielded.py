"""shielded=True: the key exists for the length of one call; at rest there are 16 KiB that it is the hash of."""

from collections.abc import Callable

import pytest

import needs
from children import succeed
from samples import made_of
from strongroom import Secret

#: Records the key that the cipher is called with, in ordinary memory; ``protected()`` is what our pages hold.
WATCHED = """
from strongroom import _native, _sodium
from strongroom.buffers import planning
from strongroom.secret import sealing
planning.power.can_hibernate = lambda: True  # locked pages, not secret memory: these can be read back
Encrypt = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_ulonglong, ctypes.c_void_p,
                           ctypes.c_ulonglong, *[ctypes.c_void_p] * 3)
seen, real_begin, wrapped = [], _native.begin_key, []
def begin(block, kind, encrypt, *rest):
    real = Encrypt(encrypt)
    def watch(*arguments):
        seen.append(ctypes.string_at(arguments[-1], 32))
        return real(*arguments)
    wrapped.append(Encrypt(watch))
    return real_begin(block, kind, ctypes.cast(wrapped[-1], ctypes.c_void_p).value, *rest)
_native.begin_key = begin
def protected():
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        content = []
        for one in observed.mappings():
            if "lo" in one.flags:
                memory.seek(one.start)
                content.append(memory.read(one.end - one.start))
        return content
"""


@needs.linux
@pytest.mark.parametrize("shielded", [True, False])
def test_the_key_is_not_in_memory_at_rest(shielded: bool) -> None:
    """Not in the locked pages either, of which everything was read; a key that is not shielded is there (control)."""
    out = succeed(f"""{WATCHED}
secret = Secret.random(32, shielded={shielded})
secret.reveal()
key = seen[-1]
content = protected()
print(len(content) >= 2, any(key in pages for pages in content))
""")
    assert out.split() == ["True", str(not shielded)]


@needs.linux
def test_the_key_is_the_hash_of_what_lies_there() -> None:
    """Sixteen KiB of one block, hashed by another implementation of BLAKE2b; with one bit changed nothing opens."""
    out = succeed(f"""{WATCHED}
import hashlib
secret = Secret.random(32, shielded=True)
key = seen[-1]
place = next(
    (pages, start)
    for pages in protected() if len(pages) > 16384
    for start in range(0, len(pages) - 16384 + 1, 16)
    if hashlib.blake2b(pages[start:start + 16384], digest_size=32).digest() == key)
print("found", len(set(place[0])) > 200)
home = next(one for one in observed.mappings() if "lo" in one.flags and one.end - one.start == len(place[0]))
for offset in (0, 8191, 16383):
    address = home.start + place[1] + offset
    byte = ctypes.string_at(address, 1)[0]
    poke(address, byte ^ 16)
    try:
        secret.reveal()
    except SealBrokenError:
        print("broken")
    poke(address, byte)
print(len(secret.reveal()))
""")
    assert out.split() == ["found", "True", "broken", "broken", "broken", "32"]


@pytest.mark.parametrize("size", [1, 32, 33, 4096, 100_000])
def test_round_trip(size: int) -> None:
    """What went in comes out, from each way in."""
    content = bytes(number % 251 for number in range(size))
    secret = Secret.from_buffer(content, wipe=False, shielded=True)
    assert secret == content
    assert Secret.build(size, lambda view: view.__setitem__(slice(None), content), shielded=True) == secret
    assert len(Secret.random(size, shielded=True).reveal()) == size


def test_shielded_and_others_live_side_by_side() -> None:
    """Each under a key of its own."""
    content = b"one content for two"
    plain, shielded = made_of(content), Secret.from_buffer(content, wipe=False, shielded=True)
    with plain.open() as one, shielded.open() as other:
        assert one == other == content
    assert plain == shielded


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ({"shielded": 1}, TypeError, "shielded must be True or False, not 1"),
        ({"shielded": "yes"}, TypeError, "shielded must be True or False, not str"),
        ({"in_children": True}, TypeError, "in_children must be 'forget' or 'keep', not True"),
        ({"in_children": "hunter2"}, ValueError, "not another str of 7 characters"),
    ],
)
def test_other_words_are_refused(words: dict[str, object], error: type[Exception], said: str) -> None:
    """By every way in, before anything is read; the error shows no text it was given."""
    source = bytearray(b"stays")
    ways: tuple[Callable[[], Secret], ...] = (
        lambda: Secret.random(8, **words),  # type: ignore[arg-type]
        lambda: Secret.from_buffer(source, **words),  # type: ignore[arg-type]
        lambda: Secret.from_hex("00", **words),  # type: ignore[arg-type]
        lambda: Secret.from_base64("AA==", **words),  # type: ignore[arg-type]
        lambda: Secret.build(8, lambda view: None, **words),  # type: ignore[arg-type]
    )
    for make in ways:
        with pytest.raises(error, match=said) as caught:
            make()
        assert "hunter" not in str(caught.value)
    assert source == b"stays"
