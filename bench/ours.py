"""strongroom the way its users call it."""

from itertools import repeat
from mmap import mmap

from bench.rows import SkipError
from bench.timing import Loop
from strongroom import LockedBuffer, Secret, StrongroomError, vm


def _buffer(size: int, backing: str) -> LockedBuffer:
    try:
        return LockedBuffer(size, backing=backing)
    except StrongroomError as error:
        raise SkipError(str(error)) from error


def open_read_close(size: int, backing: str) -> Loop:
    """Return the loop over opening a buffer to read, one read, closing it."""
    buffer = _buffer(size, backing)

    def loop(count: int) -> int:
        byte = 0
        for _ in repeat(None, count):
            with buffer.open() as view:
                byte = view[0]
        return byte

    return loop


def allocate_and_destroy(size: int, backing: str) -> Loop:
    """Return the loop over making a buffer and destroying it."""
    _buffer(size, backing).destroy()

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            buffer = LockedBuffer(size, backing=backing)
            buffer.destroy()

    return loop


def open_close_sealed(size: int) -> Loop:
    """Return the loop over opening a sealed secret and closing it."""
    secret = Secret.random(size)

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
