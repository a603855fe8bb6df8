"""A raw buffer kept past its block: told at once, never faulting, never showing anything else, closed by itself."""

import ctypes
import gc
from collections.abc import Callable

import pytest

from observed import AT_REST, PAGE, address_of, mapping_at, protection_at
from samples import array_of
from strongroom import LockedBuffer, Secret, View

KEPT: dict[str, Callable[[View], object]] = {
    "memoryview": memoryview,
    "slice of a memoryview": lambda view: memoryview(view)[3:9],
    "strided memoryview": lambda view: memoryview(view)[::2],
    "memoryview of a slice": lambda view: memoryview(view[2:]),
    "cast memoryview": lambda view: memoryview(view).cast("I"),
    "numpy array": lambda view: array_of(view),
    "numpy slice": lambda view: array_of(view)[4:],
    "ctypes array": lambda view: (ctypes.c_char * 32).from_buffer(view),
}


def content_of(kept: object) -> bytes:
    """Return what a kept buffer shows."""
    return bytes(kept)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("kind", KEPT)
def test_keeping_is_told_and_nothing_faults(backing: str, kind: str) -> None:
    """BufferError at the end; the pages stay as they are until the buffer is dropped, then close by themselves."""
    buffer = LockedBuffer(32, backing=backing, isolated=True)
    with pytest.raises(BufferError, match="kept past the block"), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"k" * 32
        address = address_of(view)
        kept = KEPT[kind](view)
    del view
    gc.collect()
    assert protection_at(address) == "rw-"
    assert set(content_of(kept)) == {ord("k")}
    del kept
    gc.collect()
    assert protection_at(address) == AT_REST
    with buffer.open() as view:
        assert bytes(view) == b"k" * 32


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_an_exception_on_its_way_is_never_replaced(mode: str) -> None:
    """The user's own error arrives alone; the memory is quarantined all the same."""
    buffer = LockedBuffer(32, isolated=True)
    with pytest.raises(KeyError, match="mine") as caught, buffer.open(mode) as view:  # noqa: PT012
        address = address_of(view)
        kept = memoryview(view)
        raise KeyError("mine")
    assert caught.value.__context__ is None
    assert protection_at(address) == ("r--" if mode == "r" else "rw-")
    kept.release()
    assert protection_at(address) == AT_REST


def test_released_in_time_is_fine() -> None:
    """Control: the same buffers given back inside the block end without a word."""
    with LockedBuffer(32, isolated=True) as buffer, buffer.open("rw") as view:
        for make in KEPT.values():
            kept = make(view)
            del kept


def test_a_memoryviews_own_with_does_not_hide_a_slice() -> None:
    """``with memoryview(view)`` forgets about slices that outlive it; the block does not."""
    buffer = LockedBuffer(32, isolated=True)
    with pytest.raises(BufferError, match="memoryview"), buffer.open("rw") as view, memoryview(view) as raw:
        kept = raw[2:4]
    kept.release()


def test_a_quarantined_buffer_does_not_open_again(backing: str) -> None:
    """Opening it would show new content through the old buffer: BufferError that names it, until it is released."""
    buffer = LockedBuffer(32, backing=backing, isolated=True)
    with pytest.raises(BufferError), buffer.open("rw") as view:
        kept = memoryview(view)
    with pytest.raises(BufferError, match="'kept'"), buffer.open():
        pass
    kept.release()
    with buffer.open() as view:
        assert len(view) == 32


def test_destroy_wipes_at_once_and_gives_back_later(backing: str) -> None:
    """What was kept shows zeros immediately; the pages go when it goes."""
    buffer = LockedBuffer(32, backing=backing, isolated=True)
    with pytest.raises(BufferError), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"k" * 32
        address = address_of(view)
        kept = memoryview(view)
    assert bytes(kept) == b"k" * 32
    buffer.destroy()
    assert buffer.is_destroyed
    assert bytes(kept) == bytes(32)
    mapping = mapping_at(address)
    assert mapping is not None
    assert "lo" in mapping.flags
    kept.release()
    mapping = mapping_at(address)
    assert mapping is None or "lo" not in mapping.flags


def test_dropping_the_buffer_does_not_pull_the_memory_away() -> None:
    """The kept buffer keeps it, and takes it along when it goes."""
    buffer = LockedBuffer(32, backing="locked", isolated=True)
    with pytest.raises(BufferError), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"k" * 32
        address = address_of(view)
        kept = memoryview(view)
    del buffer, view
    gc.collect()
    assert bytes(kept) == b"k" * 32
    kept.release()
    del kept
    gc.collect()
    mapping = mapping_at(address)
    assert mapping is None or "lo" not in mapping.flags


def test_a_kept_buffer_of_an_ended_writer_leaves_readers_their_memory() -> None:
    """The writer ends with a BufferError; when the kept buffer goes, the pages are read-only for the reader left."""
    buffer = LockedBuffer(32, isolated=True)
    writer, reader = buffer.open("rw"), buffer.open()
    view, seen = writer.__enter__(), reader.__enter__()
    address = address_of(view)
    kept = memoryview(view)
    with pytest.raises(BufferError):
        writer.__exit__(None, None, None)
    assert seen[0] == 0
    kept.release()
    assert protection_at(address) == "r--"
    reader.__exit__(None, None, None)
    assert protection_at(address) == AT_REST


def test_ten_thousand_opens_never_show_through_a_kept_buffer() -> None:
    """Other secrets and buffers come and go; what was kept shows the wiped room and nothing else."""
    secret = Secret.build(32, lambda view: view.__setitem__(slice(None), b"s" * 32))
    with secret.open() as view:
        first = address_of(view)
    with secret.open() as view:
        assert address_of(view) == first  # control: without a kept buffer the room is used again
    with pytest.raises(BufferError, match="'kept'"), secret.open() as view:  # noqa: PT012
        kept = memoryview(view)[4:20]
        assert bytes(kept) == b"s" * 16
    assert bytes(kept) == bytes(16)
    others = [Secret.random(size) for size in (1, 16, 32, 4000)]
    shown = set()
    for turn in range(10_000):
        with others[turn % 4].open() as view:
            assert address_of(view) // PAGE != first // PAGE
            shown.add(bytes(kept))
    for _ in range(500):
        with LockedBuffer(32, isolated=True) as buffer, buffer.open("rw") as view:
            view[:] = b"o" * 32
            shown.add(bytes(kept))
    assert shown == {bytes(16)}
    with secret.open() as view:
        assert view == b"s" * 32
        assert bytes(kept) == bytes(16)
    kept.release()
