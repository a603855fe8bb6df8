"""Memory that nothing locks, beside what else a Python program could map."""

import tempfile
from itertools import repeat
from mmap import mmap
from typing import Literal

from bench.rows import SkipError
from bench.timing import Loop
from strongroom import FileBuffer, StrongroomError, VolatileBuffer

_PAGE_SIZE = 4096

Kind = Literal["droppable", "partial"]


def _volatile(size: int, backing: Kind) -> VolatileBuffer:
    try:
        return VolatileBuffer(size, backing=backing)
    except StrongroomError as error:
        raise SkipError(str(error)) from error


def make_and_destroy_volatile(size: int, backing: Kind) -> Loop:
    """Return the loop over making a volatile buffer and destroying it.

    Raises:
        SkipError: There is no such memory here.
    """
    _volatile(size, backing).destroy()

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            VolatileBuffer(size, backing=backing).destroy()

    return loop


def open_read_close_volatile(size: int) -> Loop:
    """Return the loop over opening droppable pages to read, one read, closing them.

    Raises:
        SkipError: There are no such pages here.
    """
    buffer = _volatile(size, "droppable")

    # The same lines as of a LockedBuffer, in a loop of their own: in a shared one the interpreter's caches would meet
    # two types in turn, and the figures would be of that.
    def loop(count: int) -> int:
        byte = 0
        for _ in repeat(None, count):
            with buffer.open() as view:
                byte = view[0]
        return byte

    return loop


def map_touch_and_close() -> Loop:
    """Return the loop over a page of Python's own, written to, which nobody wipes."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            page = mmap(-1, _PAGE_SIZE)
            page[0] = 1
            page.close()

    return loop


def read_mapped() -> Loop:
    """Return the loop over a ``memoryview`` of such a page, with one read."""
    page = mmap(-1, _PAGE_SIZE)

    def loop(count: int) -> int:
        byte = 0
        for _ in repeat(None, count):
            with memoryview(page) as view:
                byte = view[0]
        return byte

    return loop


def make_and_destroy_file(size: int) -> Loop:
    """Return the loop over making a buffer in a private file and burning it.

    Raises:
        SkipError: The directory for temporary files lies in memory.
    """
    directory = tempfile.gettempdir()
    try:
        FileBuffer(size, directory).destroy()
    except StrongroomError as error:
        raise SkipError(str(error)) from error

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            FileBuffer(size, directory).destroy()

    return loop


def map_file_and_flush() -> Loop:
    """Return the loop over what Python has for that: a temporary file mapped, overwritten, flushed, closed."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            with tempfile.TemporaryFile() as file:
                file.truncate(_PAGE_SIZE)
                with mmap(file.fileno(), _PAGE_SIZE) as page:
                    page[:] = bytes(_PAGE_SIZE)
                    page.flush()

    return loop
