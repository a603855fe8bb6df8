"""Bytes into a buffer, equality, freezing: what is copied, what is wiped, and what is refused with nothing done."""

import array
import gc

import pytest

from strongroom import AccessError, DestroyedError, LockedBuffer, Secret, View

LAYOUTS = [True, False]


@pytest.fixture(params=LAYOUTS, ids=["own pages", "shared pages"])
def buffer(request: pytest.FixtureRequest, backing: str) -> LockedBuffer:
    """Eight bytes, ``abcdefgh``."""
    made = LockedBuffer(8, backing=backing, isolated=request.param)
    made.copy_from(b"abcdefgh")
    return made


def test_copying_leaves_the_source(buffer: LockedBuffer) -> None:
    """From anything with a buffer, to any offset; what lies around it stays."""
    source = bytearray(b"XY")
    buffer.copy_from(source, 3)
    assert source == b"XY"
    assert buffer == b"abcXYfgh"
    buffer.copy_from(memoryview(b"__12__")[2:4], offset=6)
    assert buffer == b"abcXYf12"
    buffer.copy_from(b"")
    assert buffer == b"abcXYf12"


def test_moving_wipes_the_source(buffer: LockedBuffer) -> None:
    """Whatever can be written is zeros afterwards, items wider than a byte too."""
    for source in (bytearray(b"12345678"), array.array("H", [1, 2, 3, 4]), memoryview(bytearray(b"12345678"))):
        content = bytes(source)
        buffer.move_from(source)
        assert buffer == content
        assert bytes(source) == bytes(8)


def test_between_buffers_and_secrets(buffer: LockedBuffer) -> None:
    """Another buffer's bytes are copied or moved, a secret's copied: it never changes."""
    other = LockedBuffer(3)
    other.copy_from(b"xyz")
    buffer.copy_from(other, 5)
    assert buffer == b"abcdexyz"
    assert other == b"xyz"
    buffer.move_from(other)
    assert buffer == b"xyzdexyz"
    assert other == bytes(3)
    secret = Secret.build(2, lambda view: view.__setitem__(slice(None), b"??"))
    buffer.copy_from(secret, 1)
    assert buffer == b"x??dexyz"
    with pytest.raises(TypeError, match="copy_from"):
        buffer.move_from(secret)  # type: ignore[arg-type]
    assert secret == b"??"
    with other.open("rw") as view:
        view[:] = b"abc"
        buffer.move_from(view[1:])
        assert view == b"a\0\0"
    assert buffer == b"bc?dexyz"


def test_what_does_not_fit_changes_nothing(buffer: LockedBuffer) -> None:
    """The error names both sizes; neither side is touched."""
    for offset, size in ((0, 9), (8, 1), (5, 4), (2**70, 1)):
        source = bytearray(b"z" * size)
        with pytest.raises(ValueError, match=r"offset|fit"):
            buffer.move_from(source, offset)
        assert source == b"z" * size
    with pytest.raises(ValueError, match="offset"):
        buffer.copy_from(b"z", -1)
    with pytest.raises(ValueError, match="into itself"):
        buffer.move_from(buffer)
    with buffer.open("rw") as view:
        for part, offset in ((view, 0), (view[2:5], 0), (view[0:6], 2), (memoryview(view)[7:], 0)):
            with pytest.raises(ValueError, match="into itself"):
                buffer.move_from(part, offset)
        del part
    assert buffer == b"abcdefgh"


@pytest.mark.parametrize("wrong", [None, 5, 1.5, "text", ["a"], object()])
def test_what_has_no_bytes(wrong: object, buffer: LockedBuffer) -> None:
    """TypeError, and the message does not show the value."""
    for method in (buffer.copy_from, buffer.move_from):
        with pytest.raises(TypeError) as caught:
            method(wrong)  # type: ignore[arg-type]
        assert "text" not in str(caught.value)
    assert buffer == b"abcdefgh"


@pytest.mark.parametrize("wrong", [None, 1.5, "1", [1]])
def test_what_is_no_offset(wrong: object, buffer: LockedBuffer) -> None:
    """TypeError, and nothing is copied."""
    with pytest.raises(TypeError, match="offset"):
        buffer.copy_from(b"a", wrong)  # type: ignore[arg-type]
    assert buffer == b"abcdefgh"


def test_bytes_cannot_be_moved(buffer: LockedBuffer) -> None:
    """They cannot be wiped, and the error says what to do instead."""
    for source in (b"12345678", memoryview(b"12345678")):
        with pytest.raises(TypeError, match=r"cannot be overwritten: copy_from\(\)"):
            buffer.move_from(source)
    with buffer.open() as view, pytest.raises(TypeError, match="copy_from"):
        LockedBuffer(8).move_from(view)
    assert buffer == b"abcdefgh"


def test_gaps_are_refused(buffer: LockedBuffer) -> None:
    """A memoryview with a step is not contiguous: nothing is copied or wiped."""
    source = bytearray(b"1-2-3-4-")
    with pytest.raises(BufferError):
        buffer.move_from(memoryview(source)[::2])
    assert source == b"1-2-3-4-"
    assert buffer == b"abcdefgh"


def test_frozen_is_for_reading_only(buffer: LockedBuffer) -> None:
    """No open for writing, no copy into it, until melt; reading, comparing and the end work."""
    assert not buffer.is_frozen
    buffer.freeze()
    buffer.freeze()
    assert buffer.is_frozen
    assert "frozen" in repr(buffer)
    source = bytearray(b"1")
    for use in (buffer.open("rw").__enter__, lambda: buffer.copy_from(source), lambda: buffer.move_from(source)):
        with pytest.raises(AccessError, match=r"frozen: melt\(\)"):
            use()
    with pytest.raises(AccessError, match="frozen"):
        LockedBuffer(8).move_from(buffer)
    assert source == b"1"
    assert buffer == b"abcdefgh"
    buffer.melt()
    buffer.melt()
    buffer.move_from(source)
    assert buffer == b"1bcdefgh"
    buffer.freeze()
    buffer.destroy()
    assert buffer.is_destroyed


def test_freezing_waits_for_nobody(buffer: LockedBuffer) -> None:
    """While a block may write, or what it gave out is kept, freezing is refused: the promise would be empty."""
    with buffer.open("rw") as view:
        with pytest.raises(BufferError, match=r"1 open block\(s\) may still write"):
            buffer.freeze()
        view[0] = 65
    with buffer.open("r"):
        buffer.freeze()
    assert buffer == b"Abcdefgh"
    buffer.melt()
    with pytest.raises(BufferError), buffer.open("rw") as view:
        kept = memoryview(view)
    with pytest.raises(BufferError, match="may still be written to"):
        buffer.freeze()
    del kept, view
    gc.collect()
    with pytest.raises(BufferError), buffer.open() as view:
        kept = memoryview(view)
    buffer.freeze()  # what was handed out for reading changes nothing
    assert bytes(kept) == b"Abcdefgh"


def test_equality(buffer: LockedBuffer) -> None:
    """Same bytes, whatever holds them; other lengths and other things are unequal; text is a mistake."""
    twin = LockedBuffer(8)
    twin.copy_from(buffer)
    assert buffer == twin == b"abcdefgh"
    assert buffer == Secret.build(8, lambda view: view.__setitem__(slice(None), b"abcdefgh"))
    assert buffer != b"abcdefgi"
    assert buffer != b"abcdefg"
    assert buffer != 5
    assert buffer is not None
    with buffer.open() as view:
        assert isinstance(view, View)
        assert buffer == view
    with pytest.raises(TypeError, match="not with str"):
        buffer == "abcdefgh"  # noqa: B015
    with pytest.raises(TypeError, match="unhashable"):
        hash(buffer)
    buffer.destroy()
    with pytest.raises(DestroyedError):
        buffer == twin  # noqa: B015
