"""At rest: ciphertext only, each different, and nothing opens that was changed."""

import ctypes

import pytest

import needs
from children import Live, succeed
from observed import Memory, address_of, mappings
from samples import made_of
from secrets_at_rest import HEAD, NEAR_SIZE, envelope_of
from strongroom import SealBrokenError


def test_the_same_content_never_looks_the_same() -> None:
    """Two secrets with equal content have different ciphertexts, and neither holds the content."""
    content = b"equal content of thirty-two byte"
    texts = set()
    secrets = [made_of(content) for _ in range(50)]
    for secret in secrets:
        text = ctypes.string_at(envelope_of(secret)[1], len(content) + 16)
        assert content[:8] not in text
        texts.add(text)
    assert len(texts) == 50


@pytest.mark.parametrize("where", [0, 15, 31, 32, 47])
def test_a_changed_ciphertext_does_not_open(where: int) -> None:
    """One flipped bit in text or tag: SealBrokenError from every way of opening, and an all-zero room."""
    secret = made_of(b"untouched until somebody does so")
    with secret.open() as view:
        room = address_of(view)
    ctypes.c_ubyte.from_address(envelope_of(secret)[1] + where).value ^= 1
    for use in (secret.reveal, secret.reveal_text, lambda: secret == b"x", lambda: secret.open().__enter__()):
        with pytest.raises(SealBrokenError, match="Secret"):
            use()
    assert ctypes.string_at(room, 32) == bytes(32)
    ctypes.c_ubyte.from_address(envelope_of(secret)[1] + where).value ^= 1
    assert secret.reveal() == b"untouched until somebody does so"  # control: changed back, it opens


@pytest.mark.parametrize("size", [10, 32, 33, 5000])
def test_envelopes_cannot_be_exchanged(size: int) -> None:
    """Each is bound to its object: whole envelopes swapped between two secrets of one length, neither opens."""
    contents = b"1" * size, b"9" * size
    secrets = [made_of(content) for content in contents]
    places = [envelope_of(secret)[0] for secret in secrets]
    envelopes = [ctypes.string_at(place, HEAD.size + NEAR_SIZE) for place in places]
    for place, envelope in zip(places, reversed(envelopes), strict=True):
        ctypes.memmove(place, envelope, len(envelope))
    for secret in secrets:
        with pytest.raises(SealBrokenError):
            secret.reveal()
    for place, envelope in zip(places, envelopes, strict=True):
        ctypes.memmove(place, envelope, len(envelope))
    assert [secret.reveal() for secret in secrets] == list(contents)  # control: put back, they open


@pytest.mark.parametrize("size", [10, 32, 33, 5000])
def test_destroying_wipes_the_ciphertext(size: int) -> None:
    """A key that comes to light later opens nothing that was destroyed before."""
    secret = made_of(b"x" * size)
    place, _ = envelope_of(secret)
    before = ctypes.string_at(place + HEAD.size, min(size, 32))
    secret.destroy()
    after = ctypes.string_at(place + HEAD.size, min(size, 32))
    assert len(secret) == size
    assert repr(secret) == f"<Secret {size} bytes, destroyed>"
    if size <= 32:
        assert after == bytes(size) != before
        assert ctypes.string_at(place, HEAD.size) == HEAD.pack(0, size, 0)
        assert ctypes.string_at(place + HEAD.size, NEAR_SIZE) == bytes(NEAR_SIZE)  # the tag too: guesses could be tried


@needs.linux
def test_a_million_at_rest_under_a_small_lock_limit() -> None:
    """Without privilege: each opens, and none takes more than 120 bytes of RAM."""
    out = succeed(
        """
        children.limit_locks(65536)
        first = Secret.random(32)
        kept = [None] * 1_000_000
        before = observed.status_size("VmRSS")
        for i in range(len(kept)):
            kept[i] = Secret.random(32)
        print((observed.status_size("VmRSS") - before) // len(kept), observed.status_size("VmLck") <= 65536)
        print(len({one.reveal() for one in kept[::5000]}))
        """,
        deadline_seconds=600,  # four seconds of work, where nobody else wants the processor
    )
    size, is_within, different = out.split()
    assert int(size) <= 120
    assert (is_within, different) == ("True", "200")


def test_a_broken_seal_harms_nobody_else() -> None:
    """Other secrets open before and after, in the same room."""
    good, bad = made_of(b"good"), made_of(b"bad!")
    ctypes.c_ubyte.from_address(envelope_of(bad)[1]).value ^= 128
    for _ in range(20):
        with pytest.raises(SealBrokenError):
            bad.reveal()
        assert good.reveal() == b"good"


AT_REST = """
def fill(view):
    take(view)
secret = Secret.build(32, fill)
with secret.open() as view:
    assert len(view) == 32
assert not secret == bytes(32)
{control}
print("ready", flush=True)
os.read(0, 1)
{inside}
"""


@pytest.mark.parametrize("kind", ["secret", "ordinary"])
def test_a_second_process_finds_no_plaintext_at_rest(kind: str) -> None:
    """The whole memory of the process is searched; with one ordinary copy in it the search finds it (control)."""
    mark = b"\xa7mark" + bytes(range(27))
    control = "with secret.open() as view: copy = bytes(view)" if kind == "ordinary" else ""
    with Live(AT_REST.format(control=control, inside="")) as child:
        child.send(mark)
        assert child.line() == "ready"
        with Memory(child.pid) as memory:
            found = memory.count(mark)
    assert (found > 0) == (kind == "ordinary")


@pytest.mark.parametrize("preferred", ["locked", "secretmem"])
def test_while_open_it_depends_on_the_room(preferred: str, has_secretmem: bool) -> None:
    """In a locked room a second process finds the bytes, as documented; in secret memory not even then."""
    if preferred == "secretmem" and not has_secretmem:
        pytest.skip("no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1")
    mark = b"\xa8open" + bytes(range(27))
    with Live(f"""
        from strongroom.buffers import planning
        planning.power.can_hibernate = lambda: {preferred == "locked"}
        secret = Secret.build(32, lambda view: take(view))
        with secret.open() as view:
            print("open", flush=True)
            os.read(0, 1)
        print("closed", flush=True)
        os.read(0, 1)
    """) as child:
        child.send(mark)
        assert child.line() == "open"
        with Memory(child.pid) as memory:
            assert memory.count(mark) == (1 if preferred == "locked" else 0)
            child.go()
            assert child.line() == "closed"
            assert memory.count(mark) == 0


def test_the_key_is_in_protected_memory() -> None:
    """After the first secret there are locked pages more than before, and all have every flag."""
    out = succeed("""
        before = {m.start for m in observed.mappings() if "lo" in m.flags}
        Secret.random(32)
        fresh = [m for m in observed.mappings() if "lo" in m.flags and m.start not in before]
        print(len(fresh), all(observed.KEPT_OUT <= m.flags for m in fresh))
        print("r--" in {m.permissions[:3] for m in fresh})
    """)
    count, flags, resident = out.split()
    assert int(count) >= 2  # the key, and the room that filling used
    assert (flags, resident) == ("True", "True")


def test_errors_tell_no_addresses() -> None:
    """Neither of the ciphertext nor of a room."""
    secret = made_of(b"content")
    ctypes.c_ubyte.from_address(envelope_of(secret)[1]).value ^= 1
    with pytest.raises(SealBrokenError) as caught:
        secret.reveal()
    assert "0x" not in str(caught.value)
    assert str(caught.value.__context__) == "None"


def test_control_the_listing_shows_the_rooms() -> None:
    """What the tests above look at exists."""
    with made_of(b"x").open():
        assert any("lo" in m.flags for m in mappings())
