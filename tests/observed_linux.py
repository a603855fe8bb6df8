"""What Linux says of a process. Sources: proc_pid_smaps(5), proc_pid_mem(5), proc_pid_status(5)."""

import os
import re
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

_ENTRY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)\n(?:[A-Z].*\n)*?VmFlags: (.*)$", re.MULTILINE)
_SCAN_STEP_SIZE = 1 << 20


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


def descriptors() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


class Memory:
    """Another process's memory as the kernel shows it to us, opened once: later hardening does not shut it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except PermissionError:
            import pytest  # children import this module too

            pytest.skip(
                "reading a child's memory is forbidden here: needs ptrace (CAP_SYS_PTRACE, or yama's "
                "ptrace_scope at most 1, and a container profile that allows it)"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)

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
        return sum(1 for _ in self.find(needle))

    def find(self, needle: bytes) -> Iterator[tuple[int, Mapping]]:
        """Yield where ``needle`` lies, and in which mapping."""
        for mapping in self.mappings():
            if not mapping.path.startswith(("[v", "/secretmem")):
                yield from ((address, mapping) for address in self._find_in(mapping, needle))

    def _find_in(self, mapping: Mapping, needle: bytes) -> Iterator[int]:
        for start in range(mapping.start, mapping.end, _SCAN_STEP_SIZE):
            size = min(_SCAN_STEP_SIZE, mapping.end - start)
            overlap = min(len(needle) - 1, mapping.end - start - size)
            data = self.read(start, size + overlap)
            at = -1 if data is None else data.find(needle)
            while data is not None and at >= 0:
                yield start + at
                at = data.find(needle, at + len(needle))
