"""What Linux says of a process. Sources: proc_pid_smaps(5), proc_pid_mem(5), proc_pid_status(5), prctl(2)."""

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, NoReturn, Self

_ENTRY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)\n(?:[A-Z].*\n)*?VmFlags: (.*)$", re.MULTILINE)
_SCAN_STEP_SIZE = 1 << 20

# proc_pid_pagemap(5): eight bytes for each page, and of the last of them the bits for "in memory" and "in swap".
_PAGE = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096
_ENTRY_SIZE = 8
_IS_TOUCHED = bytes(1 if byte & 0xC0 else 0 for byte in range(256))
_TOUCHED = re.compile(rb"\x01+")
_PAGES_AT_A_TIME = 1 << 16


class Mapping(NamedTuple):
    """One entry of smaps."""

    start: int
    end: int
    permissions: str
    path: str
    flags: frozenset[str]


def parse_smaps(text: str) -> list[Mapping]:
    """Return the mappings of a listing that has flags."""
    return [
        Mapping(int(low, 16), int(high, 16), permissions, path, frozenset(flags.split()))
        for low, high, permissions, path, flags in _ENTRY.findall(text)
    ]


def mappings(pid: int | str = "self") -> list[Mapping]:
    """Return every mapping of a process, with its flags."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        return parse_smaps(file.read())


def status_field(text: str, field: str) -> int:
    """Return a kB field of a status file, in bytes."""
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{field}:"))


def status_size(field: str, pid: int | str = "self") -> int:
    """Return a kB field of a process's status, in bytes."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return status_field(file.read(), field)


_PR_SET_THP_DISABLE = 41


def no_huge_pages(is_wanted: bool = True) -> None:
    """Have this process get its memory page by page from now on: a huge one more or less is two megabytes."""
    ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, int(is_wanted), 0, 0, 0)


def own_size(rollup: str | None = None) -> int:
    """Return how much memory of its own this process has, in memory or swapped out, in bytes.

    Counted page by page (smaps_rollup, Linux 4.14). VmRSS is not, from Linux 6.2 to 6.16: each processor that a process
    ran on may keep 32 pages and more of the sum to itself; and it has programs' text, which comes as it is run.
    """
    if rollup is None:
        with open("/proc/self/smaps_rollup", encoding="utf-8", errors="replace") as file:
            rollup = file.read()
    return status_field(rollup, "Anonymous") + status_field(rollup, "Swap")


def descriptors() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def _skip(reason: str) -> NoReturn:
    """Skip the test, which this process runs or, where it has not imported pytest, is a child of."""
    if "pytest" in sys.modules:
        import pytest

        pytest.skip(reason)
    import inside

    inside.skip(reason)


class Memory:
    """Another process's memory as the kernel shows it to us, opened once: later hardening does not shut it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except PermissionError:
            _skip(
                "reading a child's memory is forbidden here: needs ptrace (CAP_SYS_PTRACE, or yama's "
                "ptrace_scope at most 1, and a container profile that allows it)"
            )
        self._pagemap: int | None = None
        with contextlib.suppress(FileNotFoundError):  # some sandboxes have none
            self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)
        if self._pagemap is not None:
            os.close(self._pagemap)

    def mappings(self) -> list[Mapping]:
        """Return what the process has mapped."""
        return mappings(self.pid)

    def read(self, address: int, size: int) -> bytes | None:
        """Return the bytes, or None where the kernel refuses (secret memory, nothing mapped)."""
        try:
            return os.pread(self._fd, size, address)
        except OSError:
            return None

    def read_into(self, address: int, place: memoryview) -> bool:
        """Fill ``place`` with the bytes there; False where the kernel refuses all or a part of them."""
        try:
            return os.preadv(self._fd, [place], address) == len(place)
        except OSError:
            return False

    def count(self, needle: bytes) -> int:
        """Return how often ``needle`` lies in the process's memory, page protections notwithstanding."""
        return self.counts([needle])[needle]

    def counts(self, needles: Iterable[bytes]) -> dict[bytes, int]:
        """Return how often each of several lies there; in one pass, for a pass is what takes the time."""
        found = dict.fromkeys(needles, 0)
        for _address, needle, _mapping in self.find_all(found):
            found[needle] += 1
        return found

    def find(self, needle: bytes) -> Iterator[tuple[int, Mapping]]:
        """Yield where ``needle`` lies, and in which mapping."""
        for address, _needle, mapping in self.find_all([needle]):
            yield address, mapping

    def find_all(self, needles: Iterable[bytes]) -> Iterator[tuple[int, bytes, Mapping]]:
        """Yield where each of several lies, which of them it is, and in which mapping, in one pass."""
        wanted = list(dict.fromkeys(needles))
        longest = max(map(len, wanted), default=1)
        for mapping in self.mappings():
            if mapping.path.startswith(("[v", "/secretmem")):
                continue
            for first, last in self._touched(mapping):
                for start in range(first, last, _SCAN_STEP_SIZE):
                    size = min(_SCAN_STEP_SIZE, last - start)
                    data = self.read(start, min(size + longest - 1, mapping.end - start))
                    for needle in wanted if data else ():
                        for at in _places(data or b"", needle, size):
                            yield start + at, needle, mapping

    def _touched(self, mapping: Mapping) -> Iterator[tuple[int, int]]:
        """Yield the ranges of pages that may have content of their own; every page where that cannot be told.

        A page of anonymous memory that is neither in memory nor in swap is zeros, and one of a program's text or
        other private, read-only part of a file is the file's. To read these takes most of the time, or all of it.
        """
        is_private_file = mapping.path.startswith("/") and mapping.permissions.endswith("p")
        is_anonymous = not mapping.path or mapping.path.startswith("[")
        if self._pagemap is None or not (is_anonymous or (is_private_file and "w" not in mapping.permissions)):
            yield mapping.start, mapping.end
            return
        for start in range(mapping.start, mapping.end, _PAGES_AT_A_TIME * _PAGE):
            count = min(_PAGES_AT_A_TIME, (mapping.end - start) // _PAGE)
            entries = os.pread(self._pagemap, count * _ENTRY_SIZE, start // _PAGE * _ENTRY_SIZE)
            for run in _TOUCHED.finditer(entries[_ENTRY_SIZE - 1 :: _ENTRY_SIZE].translate(_IS_TOUCHED)):
                yield start + run.start() * _PAGE, start + run.end() * _PAGE


def _places(data: bytes, needle: bytes, size: int) -> Iterator[int]:
    """Yield where ``needle`` begins among the first ``size`` bytes; what begins later is the next step's."""
    end = size + len(needle) - 1
    at = data.find(needle, 0, end)
    while at >= 0:
        yield at
        at = data.find(needle, at + len(needle), end)
