"""strongroom the way its users call it."""

import random
from array import array
from collections.abc import Iterator
from itertools import chain, islice, repeat
from mmap import mmap

from bench.rows import SkipError
from bench.timing import Loop
from strongroom import LockedBuffer, LockLimitError, Secret, StrongroomError, vm


def _isolated(size: int, backing: str) -> LockedBuffer:
    try:
        return LockedBuffer(size, backing=backing, isolated=True)
    except StrongroomError as error:
        raise SkipError(str(error)) from error


def open_read_close(size: int, backing: str) -> Loop:
    """Return the loop over opening a buffer in pages of its own to read, one read, closing it."""
    buffer = _isolated(size, backing)

    def loop(count: int) -> int:
        byte = 0
        for _ in repeat(None, count):
            with buffer.open() as view:
                byte = view[0]
        return byte

    return loop


def allocate_and_destroy(size: int, backing: str) -> Loop:
    """Return the loop over making a buffer in pages of its own and destroying it."""
    _isolated(size, backing).destroy()

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            LockedBuffer(size, backing=backing, isolated=True).destroy()

    return loop


def take_and_give_slot(size: int) -> Loop:
    """Return the loop over making a small buffer and destroying it."""
    kept = LockedBuffer(size)

    def loop(count: int) -> LockedBuffer:
        for _ in repeat(None, count):
            LockedBuffer(size).destroy()
        return kept  # a program that makes one more has one already: the shared pages stay

    return loop


def make_and_drop_bytearray(size: int) -> Loop:
    """Return the loop over making ordinary memory of that size and dropping it."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            bytearray(size)

    return loop


def _positions(live: int) -> Iterator[int]:
    """Return positions without end, every one of ``live`` once in each round, shuffled the same way each time."""
    order = array("I", random.Random(live).sample(range(live), live))  # kept as objects, they too would be far apart
    return chain.from_iterable(repeat(order))


def replace_slots(size: int, live: int) -> Loop:
    """Return the loop that destroys a random one of ``live`` buffers and makes another in its place.

    Raises:
        SkipError: The lock limit has no room for so many.
    """
    try:
        buffers = [LockedBuffer(size) for _ in range(live)]
    except LockLimitError as error:
        raise SkipError(str(error)) from error
    positions = _positions(live)

    def loop(count: int) -> None:
        for i in islice(positions, count):
            buffers[i].destroy()
            buffers[i] = LockedBuffer(size)

    return loop


def replace_bytearrays(size: int, live: int) -> Loop:
    """Return the loop that does the same with ordinary memory, dropped without being wiped."""
    arrays = [bytearray(size) for _ in range(live)]
    positions = _positions(live)

    def loop(count: int) -> None:
        for i in islice(positions, count):
            arrays[i] = bytearray(size)

    return loop


def open_close_slot(size: int) -> Loop:
    """Return the loop over opening a small buffer to read and closing it."""
    buffer = LockedBuffer(size)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            with buffer.open() as _view:
                pass

    return loop


def open_close_memoryview(size: int) -> Loop:
    """Return the loop over a ``memoryview`` of ordinary memory, released by its ``with`` block."""
    array = bytearray(size)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            with memoryview(array) as _view:
                pass

    return loop


def open_close_sealed(size: int, shielded: bool = False) -> Loop:
    """Return the loop over opening a sealed secret and closing it."""
    secret = Secret.random(size, shielded=shielded)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            with secret.open():
                pass

    return loop


def seal_random(size: int) -> Loop:
    """Return the loop over ``Secret.random``, each secret dropped at once."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            Secret.random(size)

    return loop


def seal_copy(size: int) -> Loop:
    """Return the loop over ``Secret.from_buffer`` of ``bytes``, each secret dropped at once."""
    content = bytes(size)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            Secret.from_buffer(content, wipe=False)

    return loop


def reserve_commit_release(size: int) -> Loop:
    """Return the loop over reserving address space, committing its first page, releasing it."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            region = vm.reserve(size)
            region.commit(0, 1)
            region.release()

    return loop


def map_and_close(size: int) -> Loop:
    """Return the loop over Python's own anonymous mapping: it reserves and commits in one."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            mmap(-1, size).close()

    return loop
