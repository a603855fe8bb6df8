"""The tracers being looked for, and what is being looked through: both in locked memory of the attacker.

Why locked: prove may put a swap file under the whole machine for a moment. Were the attacker's own copy of
a tracer (or a page it has just read, which may hold one) to be paged out there, it would be "found" and
blamed on the victim. The attacker never searches its own memory.

Each tracer is searched as two halves. Two halves in a row are a whole copy; a half alone is counted apart:
a copy with its head overwritten (freed memory often looks so) is still a leak.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from . import libc

PAGE = mmap.PAGESIZE
CHUNK = 1 << 20  # bytes read at a time: larger gains nothing, smaller costs system calls
SMALL_CHUNK = 32 << 10  # where the lock limit is tiny (64 KiB in many containers)


class LockedArea:
    """Anonymous memory that stays in RAM and in this process, with its address."""

    def __init__(self, size: int) -> None:
        self.memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.is_locked = libc.mlock(self.address, size)
        libc.madvise(self.address, size, libc.MADV_DONTFORK)
        libc.madvise(self.address, size, libc.MADV_DONTDUMP)


def haystack_area() -> LockedArea:
    """One page for what is carried over from the chunk before, then the chunk."""
    area = LockedArea(PAGE + CHUNK)
    return area if area.is_locked else LockedArea(PAGE + SMALL_CHUNK)


class Needles:
    """`count` tracers of `size` bytes, read from a descriptor straight into locked memory."""

    def __init__(self, descriptor: int, count: int, size: int) -> None:
        if size % 2 or not 0 < count * size <= PAGE:
            raise ValueError(f"{count} tracers of {size} bytes do not fit")
        self.count, self.size, self.half_size = count, size, size // 2
        self.area = LockedArea(PAGE)
        filled = 0
        while filled < count * size:
            done = os.readv(descriptor, [self.area.view[filled : count * size]])
            if done == 0:
                raise EOFError(f"{filled} of {count * size} bytes of tracers came")
            filled += done

    def halves(self) -> list[tuple[int, int, int]]:
        """(tracer, half, address) for every half."""
        start, half = self.area.address, self.half_size
        return [(i, h, start + i * self.size + h * half) for i in range(self.count) for h in (0, 1)]


class Sightings:
    """Where halves were seen: positions in a file or an address space, one set per tracer and half."""

    def __init__(self, needles: Needles) -> None:
        self.needles = needles
        self.seen: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in range(needles.count)]

    def search(self, area: LockedArea, offset: int, size: int, base: int) -> None:
        """Look through area[offset:offset+size], whose first byte is at position `base`."""
        half_size = self.needles.half_size
        for index, half, needle in self.needles.halves():
            start, left = area.address + offset, size
            while left >= half_size:
                hit = libc.memmem(start, left, needle, half_size)
                if hit is None:
                    break
                self.seen[index][half].add(base + hit - (area.address + offset))
                left -= hit + 1 - start
                start = hit + 1

    def copies(self, index: int) -> list[tuple[int, bool]]:
        """(position, is whole) of every copy of one tracer; a whole one is not counted again as halves."""
        first, second = self.seen[index]
        step = self.needles.half_size
        wholes = {p for p in first if p + step in second}
        lone = (first - wholes) | {p for p in second if p - step not in wholes}
        return sorted([(p, True) for p in wholes] + [(p, False) for p in lone])


class Sweep:
    """Read a range piece by piece and search it, pieces overlapping so that no copy is cut in two."""

    def __init__(self, sightings: Sightings, area: LockedArea) -> None:
        self.sightings, self.area = sightings, area
        self.room = len(area.view) - PAGE
        self.scanned_size = 0
        self.unreadable: list[tuple[int, int, int]] = []  # start, end, errno

    def run(self, read: Reader, start: int, end: int) -> None:
        """Search [start, end); what `read` refuses is noted page by page, and the sweep goes on."""
        position, carried = start, 0
        keep = self.sightings.needles.half_size - 1
        while position < end:
            done = read(position, min(self.room, end - position), self.area, PAGE)
            if done <= 0:
                step = min(PAGE - position % PAGE, end - position)
                self._refused(position, position + step, -done)
                position, carried = position + step, 0
                continue
            self.sightings.search(self.area, PAGE - carried, carried + done, position - carried)
            self.scanned_size += done
            kept = min(keep, carried + done)
            # mmap.move is memmove(3): a slice assignment would make a bytes object of it in ordinary memory.
            self.area.memory.move(PAGE - kept, PAGE + done - kept, kept)
            position, carried = position + done, kept

    def _refused(self, start: int, end: int, error: int) -> None:
        if self.unreadable and self.unreadable[-1][1] == start and self.unreadable[-1][2] == error:
            start = self.unreadable.pop()[0]
        self.unreadable.append((start, end, error))


def open_raw(path: str) -> tuple[int, bool]:
    """Open for direct reading; where the file system has none, drop the cached pages instead."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT), True
    except OSError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return descriptor, False


class Reader:
    """A road to the bytes: called with (position, size, area, offset), returns bytes read or -errno."""

    def __call__(self, position: int, size: int, area: LockedArea, offset: int) -> int:
        """Read once."""
        raise NotImplementedError


class FileReader(Reader):
    """pread(2) from a descriptor: a file, a device, or /proc/PID/mem."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __call__(self, position: int, size: int, area: LockedArea, offset: int) -> int:
        """Read once."""
        try:
            return os.preadv(self.descriptor, [area.view[offset : offset + size]], position)
        except OSError as error:
            return -(error.errno or 1)


class ProcessReader(Reader):
    """process_vm_readv(2)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __call__(self, position: int, size: int, area: LockedArea, offset: int) -> int:
        """Read once."""
        return libc.process_vm_readv(self.pid, area.address + offset, position, size)
