"""What a View can do in its block, and that it can do nothing after it."""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from samples import array_of
from strongroom import AccessError, LockedBuffer, View

CONTENT = bytes(range(32))


@pytest.fixture
def buffer() -> Iterator[LockedBuffer]:
    """32 bytes of known content."""
    with LockedBuffer(32) as made:
        with made.open("rw") as view:
            view[:] = CONTENT
        yield made


def test_reading(buffer: LockedBuffer) -> None:
    """Length, index, slices, iteration, membership, comparison and the buffer protocol."""
    with buffer.open() as view:
        anything: Any = view
        assert len(view) == 32
        assert (view[0], view[31], view[-1]) == (0, 31, 31)
        assert bytes(view[4:8]) == CONTENT[4:8]
        assert bytes(view[-4:]) == CONTENT[-4:]
        assert len(view[20:10]) == 0
        assert type(view[1:]) is View
        assert bytes(view[8:][8:][:4]) == CONTENT[16:20]
        assert list(anything) == list(CONTENT)
        assert 7 in anything
        assert 77 not in anything
        assert view == CONTENT
        assert view != CONTENT[:-1]
        assert view != bytes(32)
        assert view[:4] == CONTENT[:4]
        assert hashlib.sha256(view).digest() == hashlib.sha256(CONTENT).digest()
        assert hmac.digest(view, b"m", "sha256") == hmac.digest(CONTENT, b"m", "sha256")
        with memoryview(view) as raw:
            assert raw.readonly
            assert raw.tobytes() == CONTENT


def test_writing(buffer: LockedBuffer) -> None:
    """Index and slice assignment, through slices of Views, and through the buffer protocol."""
    with buffer.open("rw") as view:
        assert not view.readonly
        view[0] = 255
        view[1:4] = b"abc"
        view[4:8][1:3] = b"xy"
        view[8:12] = view[0:4]
        view[13:16] = view[12:15]  # overlapping
        with memoryview(view) as raw:
            raw[31] = 9
    expected = bytearray(CONTENT)
    expected[0], expected[1:4], expected[5:7], expected[31] = 255, b"abc", b"xy", 9
    expected[8:12] = expected[0:4]
    expected[13:16] = expected[12:15]
    with buffer.open() as view:
        assert bytes(view) == bytes(expected)


@pytest.mark.parametrize("index", [32, -33, 2**70])
def test_an_index_outside_is_an_index_error(buffer: LockedBuffer, index: int) -> None:
    """Never memory beyond the secret, in either direction."""
    with buffer.open("rw") as view:
        with pytest.raises(IndexError):
            view[index]
        with pytest.raises(IndexError):
            view[index] = 0


@pytest.mark.parametrize("value", [256, -1, 2**70, None, 1.5, b"a"])
def test_a_byte_takes_0_to_255(buffer: LockedBuffer, value: object) -> None:
    """Anything else is refused and nothing changes."""
    with buffer.open("rw") as view:
        with pytest.raises((ValueError, TypeError)):
            view[0] = value  # type: ignore[call-overload]
        assert view == CONTENT


def test_a_slice_keeps_its_size(buffer: LockedBuffer) -> None:
    """Too long or too short is refused, told in numbers only."""
    with buffer.open("rw") as view:
        for wrong in (b"hunter2", b""):
            with pytest.raises(ValueError, match="keeps its size") as caught:
                view[0:4] = wrong
            assert "hunter2" not in str(caught.value)
        with pytest.raises(TypeError):
            del view[0]
        with pytest.raises(TypeError):
            view[0:2] = "ab"  # type: ignore[call-overload]
        assert view == CONTENT


@pytest.mark.parametrize("step", [2, -1])
def test_slices_have_step_1(buffer: LockedBuffer, step: int) -> None:
    """A strided view would be no plain buffer."""
    with buffer.open() as view, pytest.raises(ValueError, match="step"):
        view[::step]


def test_a_read_only_view_refuses_to_be_written(buffer: LockedBuffer) -> None:
    """By assignment and through every writable buffer."""
    with buffer.open() as view:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
        with pytest.raises(TypeError):
            view[0:1] = b"a"
        with pytest.raises(TypeError), memoryview(view) as raw:
            raw[0] = 1
        array = array_of(view)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        del array


def test_comparison_with_text_is_a_mistake(buffer: LockedBuffer) -> None:
    """A str is never equal to bytes; silence would hide it."""
    with buffer.open() as view, pytest.raises(TypeError, match="str"):
        assert view == "0123"


USES: dict[str, Callable[[Any], object]] = {
    "len": len,
    "index": lambda view: view[0],
    "negative index": lambda view: view[-1],
    "slice": lambda view: view[1:3],
    "assign": lambda view: view.__setitem__(0, 1),
    "assign slice": lambda view: view.__setitem__(slice(0, 2), b"ab"),
    "memoryview": memoryview,
    "bytes": bytes,
    "bytearray": bytearray,
    "equal": lambda view: view == CONTENT,
    "not equal": lambda view: view != CONTENT,
    "iteration": list,
    "membership": lambda view: 1 in view,
    "bool": bool,
    "numpy": lambda view: array_of(view),
    "hashlib": lambda view: hashlib.sha256().update(view),
    "hmac": lambda view: hmac.digest(view, b"", "sha256"),
    "join": lambda view: b"".join([view]),
    "concatenation": lambda view: b"" + view,
    "text": lambda view: str(view, "latin-1"),
}


#: The interpreter turns whatever a buffer raises here into its own "a bytes-like object is required".
REPLACED_BY_PYTHON = {"join", "concatenation", "text"}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("part", ["whole", "slice"])
def test_a_view_after_its_block_raises_on_every_use(buffer: LockedBuffer, use: str, part: str) -> None:
    """Views and slices of Views: AccessError, while the buffer is closed and while somebody else has it open."""
    with buffer.open("rw") as view:
        kept = view if part == "whole" else view[2:20]
        USES[use](kept)  # control: inside the block each of these works
        with buffer.open("rw") as again:
            again[:] = CONTENT
    error = TypeError if use in REPLACED_BY_PYTHON else AccessError
    with pytest.raises(error):
        USES[use](kept)
    with buffer.open() as other:
        with pytest.raises(error):
            USES[use](kept)
        assert other == CONTENT


def test_the_repr_of_an_ended_view_still_works(buffer: LockedBuffer) -> None:
    """Debuggers and tracebacks ask for it."""
    with buffer.open() as view:
        assert repr(view) == "<View 32 bytes, read-only>"
    assert repr(view) == "<View 32 bytes, ended>"


class Ending:
    """An index that ends the block while it is being converted."""

    def __init__(self, end: Callable[[], object]) -> None:
        self.end = end

    def __index__(self) -> int:
        self.end()
        return 0


@pytest.mark.parametrize("use", ["index", "slice", "assign index", "assign value", "assign slice"])
def test_a_key_that_ends_the_block_gets_nothing(buffer: LockedBuffer, use: str) -> None:
    """Python code that runs inside an operation and closes the memory: AccessError, not a crash."""
    access = buffer.open("rw")
    view = access.__enter__()
    key = Ending(lambda: access.__exit__(None, None, None))
    with pytest.raises(AccessError):  # noqa: PT012
        if use == "index":
            view[key]
        elif use == "slice":
            view[key:]
        elif use == "assign index":
            view[key] = 1
        elif use == "assign value":
            view[0] = key
        else:
            view[key:] = CONTENT


def test_views_and_accesses_are_not_made_by_hand() -> None:
    """Both only come from open()."""
    from strongroom import Access

    for kind in (View, Access):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            type("Mine", (kind,), {})


def test_a_view_is_no_number(buffer: LockedBuffer) -> None:
    """``int`` would take it for digits, and quote all of it where they are none."""
    with buffer.open() as view, pytest.raises(TypeError, match="never a number") as caught:
        int(view)
    assert "digits" not in str(caught.value)
    with buffer.open() as view:
        assert int.from_bytes(view) >= 0


def test_a_mode_that_is_none_of_the_two(buffer: LockedBuffer) -> None:
    """Each wrong mode is said to be wrong, None too."""
    for wrong, kind in ((None, TypeError), ("w", ValueError), (1, TypeError)):
        with pytest.raises(kind):
            buffer.open(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mode must be 'r' or 'rw', not None"):
        buffer.open(None)  # type: ignore[arg-type]
