"""LockedBuffer: what it takes, where it lies, and when it ends. The kernel is asked, not the buffer."""

import functools
import gc
from typing import Any

import numpy as np
import pytest

import needs
from observed import AT_REST, KEPT_OUT, PAGE, address_of, mapping_at, mappings, protection_at
from strongroom import DestroyedError, FileBuffer, LockedBuffer, VolatileBuffer

CANARY = 16


@pytest.mark.parametrize("size", [0, -1, 2**63, 2**200, -(2**200)])
def test_impossible_sizes_are_named(size: int) -> None:
    """A number that is no size is a ValueError that says which number."""
    with pytest.raises(ValueError, match=f"{size:,}"):
        LockedBuffer(size, isolated=True)


@pytest.mark.parametrize("size", [1.5, None, True, False])
def test_what_is_not_a_number_of_bytes_is_named(size: object) -> None:
    """Floats, None and booleans are mistakes, and their value may be told."""
    with pytest.raises((TypeError, ValueError), match=str(size)):
        LockedBuffer(size, isolated=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["hunter2", b"hunter2", bytearray(b"hunter2"), ["hunter2"]])
def test_content_passed_as_a_size_is_not_echoed(size: object) -> None:
    """Somebody passes the secret where the size belongs: the error names the type only."""
    with pytest.raises(TypeError, match=type(size).__name__) as caught:
        LockedBuffer(size, isolated=True)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_a_size_may_be_any_integer_type() -> None:
    """NumPy's integers are integers."""
    with LockedBuffer(np.int64(33), isolated=True) as buffer:  # type: ignore[arg-type]
        assert len(buffer) == 33


@pytest.mark.parametrize(
    "size",
    [1, 32, PAGE - CANARY, PAGE - CANARY + 1, PAGE, PAGE + 1, 3 * PAGE, pytest.param(100_000, marks=needs.much_locked)],
)
def test_every_size_holds_its_bytes(backing: str, size: int) -> None:
    """Fresh memory is zeros, what is written stays, and the last byte lies against the guard page."""
    content = bytes(i % 251 for i in range(size))
    with LockedBuffer(size, backing=backing, isolated=True) as buffer:
        with buffer.open("rw") as view:
            assert bytes(view) == bytes(size)
            view[:] = content
            start = address_of(view)
        assert (start + size) % PAGE == 0
        with buffer.open() as view:
            assert bytes(view) == content
            assert address_of(view) == start
        listing = mappings()
        pages, above = mapping_at(start, listing), mapping_at(start + size, listing)
        below = mapping_at((start - CANARY) // PAGE * PAGE - 1, listing)
        assert pages is not None
        assert above is not None
        assert below is not None
        assert pages.permissions[:3] == AT_REST
        assert above.permissions[:3] == below.permissions[:3] == "---"
        assert pages.flags >= KEPT_OUT
        assert not {"lo", "hg", "mg"} & above.flags
        assert pages.path.startswith("/secretmem") == (backing == "secretmem")


def test_the_listing_tells_locked_memory_from_ordinary() -> None:
    """Control for all tests that read flags: ordinary memory has none of them."""
    kept = bytearray(100_000)  # what is given back may be unmapped
    ordinary = mapping_at(address_of(kept))
    assert ordinary is not None
    assert not KEPT_OUT & ordinary.flags
    assert ordinary.permissions[:2] == "rw"


@needs.linux
def test_guarantees_agree_with_the_kernel(backing: str) -> None:
    """Each verified flag is one that our own reading of smaps shows too."""
    with LockedBuffer(32, backing=backing, isolated=True) as buffer:
        got = buffer.guarantees()
        assert {got[name].state for name in ("LOCKED", "NO_DUMP", "NOT_IN_CHILD", "GUARDED", "CLOSED_AT_REST")} == {
            "verified"
        }
        assert (got["UNREADABLE_BY_OTHERS"].state == "verified") == (backing == "secretmem")
        with buffer.open():
            assert buffer.guarantees()["CLOSED_AT_REST"].state != "verified"


@needs.linux
def test_guarantees_notice_a_lock_that_was_taken_away() -> None:
    """Somebody calls munlock behind our back: the next read-back says so (the flag is read, not remembered)."""
    import ctypes

    with LockedBuffer(32, backing="locked", isolated=True) as buffer:
        with buffer.open("rw") as view:
            start = address_of(view) // PAGE * PAGE
        assert ctypes.CDLL(None).munlock(ctypes.c_void_p(start), ctypes.c_size_t(PAGE)) == 0
        assert buffer.guarantees()["LOCKED"].state == "refused"


def test_destroy_gives_the_memory_back(backing: str) -> None:
    """Pages and both guards are unmapped; a second destroy is fine; is_destroyed says so."""
    buffer = LockedBuffer(32, backing=backing, isolated=True)
    with buffer.open("rw") as view:
        end = address_of(view) + 32
    assert not buffer.is_destroyed
    buffer.destroy()
    buffer.destroy()
    assert buffer.is_destroyed
    leftover = [m for m in mappings() if m.start <= end - 1 < m.end and "lo" in m.flags]
    assert leftover == []


@pytest.mark.parametrize("use", ["open", "guarantees", "enter"])
def test_use_after_destroy_is_refused(use: str) -> None:
    """Everything but destroy, repr and the properties raises DestroyedError."""
    buffer = LockedBuffer(32, isolated=True)
    buffer.destroy()
    with pytest.raises(DestroyedError, match="LockedBuffer"):  # noqa: PT012
        if use == "open":
            with buffer.open():
                pass
        elif use == "enter":
            with buffer:
                pass
        else:
            buffer.guarantees()


def test_an_access_made_before_destroy_does_not_open_after_it() -> None:
    """open() alone holds nothing open."""
    buffer = LockedBuffer(32, isolated=True)
    access = buffer.open()
    buffer.destroy()
    with pytest.raises(DestroyedError), access:
        pass


def test_a_dropped_buffer_is_given_back() -> None:
    """The last reference going is as good as destroy."""
    buffer = LockedBuffer(32, backing="locked", isolated=True)
    with buffer.open("rw") as view:
        address = address_of(view)
    del buffer, view
    gc.collect()
    mapping = mapping_at(address)
    assert mapping is None or "lo" not in mapping.flags


def test_leaving_the_block_of_a_buffer_destroys_it() -> None:
    """Also when an exception leaves it, which arrives unchanged."""
    with pytest.raises(KeyError, match="mine"), LockedBuffer(32, isolated=True) as buffer:
        raise KeyError("mine")
    assert buffer.is_destroyed


@pytest.mark.parametrize("mode", ["w", "r+", "", "RW"])
def test_modes_are_r_and_rw(mode: str) -> None:
    """Anything else is refused before memory is touched."""
    with LockedBuffer(32, isolated=True) as buffer, pytest.raises(ValueError, match="'r' or 'rw'"):
        buffer.open(mode)


class Mine(LockedBuffer):
    """A class of the user's."""


@pytest.mark.parametrize("kind", [LockedBuffer, VolatileBuffer, FileBuffer, Mine])
def test_wrong_arguments_are_told_by_the_name_of_the_class(kind: Any) -> None:
    """Too few, too many, an unknown word: nobody is told of a function that they never called."""
    enough = (1, "/") if kind is FileBuffer else (1,)
    said = rf"^{kind.__name__}\(\) (takes exactly|got an unexpected keyword argument 'hunter2')"
    for make in (kind, functools.partial(kind.__new__, kind)):
        for arguments, words in (((), {}), ((*enough, 2), {}), (enough, {"hunter2": 3}), ((), {"hunter2": 3})):
            with pytest.raises(TypeError, match=said) as caught:
                make(*arguments, **words)
            assert type(caught.value.args[0]) is str
        with pytest.raises(TypeError, match=r"^size must be an integer"):
            make("hunter2", *enough[1:])


def test_repr_tells_the_state() -> None:
    """Size, backing, state; no address, no content."""
    buffer = LockedBuffer(32, backing="locked", isolated=True)
    assert repr(buffer) == "<LockedBuffer 32 bytes, locked, closed>"
    with buffer.open():
        assert repr(buffer) == "<LockedBuffer 32 bytes, locked, open>"
    buffer.destroy()
    assert repr(buffer) == "<LockedBuffer 32 bytes, locked, destroyed>"


def test_an_unmapped_address_reads_as_gone() -> None:
    """Control for protection_at."""
    assert protection_at(0) == "gone"
