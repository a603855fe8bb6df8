"""How tests make the system drop what it may drop, and see that it did: droppable pages, and the pages of short files.

Sources: madvise(2) MADV_PAGEOUT, process_madvise(2), msync(2), proc_pid_mem(5); mm/vmscan.c and fs/ext4/page-io.c.
"""

import contextlib
import ctypes
import functools
import itertools
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, Self

import observed
from strongroom import UnsupportedError, View, VolatileBuffer

#: The kinds of memory that may vanish.
Kind = Literal["droppable", "partial"]

PAGE = observed.PAGE
#: What the sentinels on either side of the contents take, and what of a partial page lies before the file's end.
SENTINEL_SIZE, HEAD_SIZE = 16, 512

_MADV_PAGEOUT, _MS_SYNC = 21, 4
#: So often at once, then with pauses: whoever has a page in his hands at this moment may not be let run for a while.
_TRIES, _MORE_SECONDS, _PAUSE_SECONDS = 200, 30, 0.002
#: Process_madvise, pidfd_open: the same numbers on every architecture.
SYS_PROCESS_MADVISE, SYS_PIDFD_OPEN = 440, 434

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None


def page_of(buffer: VolatileBuffer) -> int:
    """Where the one page of a buffer begins."""
    start, end, _ = buffer._layout()
    assert end - start == PAGE
    return start


def push(page: int, backing: str) -> None:
    """Have the kernel drop a page, if it can do so at this moment."""
    assert _libc is not None
    call, how = (_libc.madvise, _MADV_PAGEOUT) if backing == "droppable" else (_libc.msync, _MS_SYNC)
    assert call(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), how) == 0, os.strerror(ctypes.get_errno())


def contents(page: int) -> bytes:
    """Read a page past its protection."""
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return os.pread(memory, PAGE, page)
    finally:
        os.close(memory)


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Stay where the page was touched: there one call drops it, or moves it out, where systems have such a call."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cpus_in_turn() -> Iterator[None]:
    """Move this thread from one CPU to the next, hundreds of times, slowly in the end; and back when that is over."""
    allowed = os.sched_getaffinity(0)
    deadline = time.monotonic() + _MORE_SECONDS
    try:
        for number in itertools.count():
            if number >= _TRIES:
                if time.monotonic() > deadline:
                    return
                time.sleep(_PAUSE_SECONDS)
            os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
            yield
    finally:
        os.sched_setaffinity(0, allowed)


def is_gone(page: int) -> bool:
    """Whether there is nothing in a page."""
    return not any(contents(page))


def drop(buffer: VolatileBuffer) -> None:
    """Have the kernel drop what a buffer holds, and see that it did."""
    drop_page(page_of(buffer), buffer.backing)


def drop_page(page: int, backing: str) -> None:
    """The same for whoever knows where it lies.

    A page that was just touched waits in a list of the CPU that touched it, and is not dropped from there: a call on
    that very CPU empties the list. So this goes from CPU to CPU.
    """
    push(page, backing)
    if is_gone(page):
        return
    for _ in cpus_in_turn():
        push(page, backing)
        if is_gone(page):
            return
    raise AssertionError(f"{backing}: the kernel keeps the page, for {_MORE_SECONDS} seconds")


def mend(page: int, sentinels: list[tuple[int, bytes]]) -> None:
    """Write bytes into a page behind everybody's back, whatever its protection: a saboteur who hides a loss."""
    assert _libc is not None
    before = observed.protection_at(page)
    address, size = ctypes.c_void_p(page), ctypes.c_size_t(PAGE)
    assert _libc.mprotect(address, size, 3) == 0
    for place, content in sentinels:
        ctypes.memmove(place, content, len(content))
    assert _libc.mprotect(address, size, {"---": 0, "r--": 1, "rw-": 3}[before]) == 0


def sentinels_of(buffer: VolatileBuffer) -> list[tuple[int, bytes]]:
    """Where the two sentinels of an intact buffer stand, and what they are."""
    page = page_of(buffer)
    found, end = contents(page), page + PAGE
    before = PAGE - len(buffer) - 2 * SENTINEL_SIZE
    return [
        (page + before, found[before : before + SENTINEL_SIZE]),
        (end - SENTINEL_SIZE, found[PAGE - SENTINEL_SIZE :]),
    ]


@functools.cache
def reason_to_skip(backing: Kind) -> str | None:
    """Why this system has no such buffers, or None."""
    if not sys.platform.startswith("linux"):
        return "needs Linux: drops pages with its calls and reads /proc"
    try:
        VolatileBuffer(1, backing=backing).destroy()
    except UnsupportedError as error:
        if backing == "droppable":
            return f"no droppable pages: needs Linux 6.11 ({error})"
        return f"no partial pages: needs TMPDIR, /var/tmp or /tmp on a disk, ext4 or xfs for example ({error})"
    return None


def require(backing: Kind) -> None:
    """Skip where there are no such buffers, and say why."""
    reason = reason_to_skip(backing)
    if reason is not None:
        import pytest  # children import this module too, and it takes its time

        pytest.skip(reason)


class Witness:
    """A partial page of the tests' own that nobody drops on purpose: if it is lost, others may be."""

    def __init__(self) -> None:
        self.page = 0

    def __enter__(self) -> Self:
        if reason_to_skip("partial") is None and _libc is not None:
            with tempfile.TemporaryFile(dir=disk_directory()) as file:
                file.truncate(HEAD_SIZE)
                _libc.mmap.restype = ctypes.c_void_p
                self.page = _libc.mmap(None, ctypes.c_size_t(PAGE), 3, mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
            ctypes.memset(self.page + HEAD_SIZE, 1, PAGE - HEAD_SIZE)
        return self

    def is_there(self) -> bool:
        """Whether it was kept; so it is where there are no such pages."""
        return not self.page or ctypes.string_at(self.page + PAGE - 1, 1) == b"\1"

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.page and _libc is not None:
            _libc.munmap(ctypes.c_void_p(self.page), ctypes.c_size_t(PAGE))


@functools.cache
def disk_directory() -> str:
    """A directory whose files lie on a disk; skips where there is none."""
    import pytest

    for place in (os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir()):
        if place and os.path.isdir(place):
            try:
                VolatileBuffer(1, backing="partial", directory=place).destroy()
            except (UnsupportedError, OSError):
                continue
            return place
    raise pytest.skip.Exception("no directory on a disk: needs TMPDIR, /var/tmp or /tmp there (ext4 or xfs, not tmpfs)")


#: What a buffer holds that is to vanish.
MARK = b"the contents that may vanish...."
MARK_SIZE = len(MARK)
#: Bytes that a Filler fills.
FILLER_SIZE = 64


class Filler:
    """Fills a View with one byte, another each time, after doing something else."""

    def __init__(self) -> None:
        self.calls = 0
        self.zeros = True
        self.first: Any = lambda view: None
        self.last: Any = lambda view: None

    def __call__(self, view: View) -> None:
        self.calls += 1
        self.zeros &= bytes(view) == bytes(FILLER_SIZE)
        self.first(view)
        view[:] = self.content
        self.last(view)

    @property
    def content(self) -> bytes:
        """What it stored last."""
        return bytes([self.calls]) * FILLER_SIZE
