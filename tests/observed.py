"""What the operating system says of a process: the tests' own readers, none of them strongroom's.

Linux only. Sources: proc_pid_smaps(5), proc_pid_mem(5), proc_pid_status(5).
"""

import ctypes
import os
import re
from types import TracebackType
from typing import NamedTuple, Self

import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")

_ENTRY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)\n(?:[A-Z].*\n)*?VmFlags: (.*)$", re.MULTILINE)
_SCAN_STEP_SIZE = 1 << 20


class Mapping(NamedTuple):
    """One entry of smaps."""

    start: int
    end: int
    permissions: str
    path: str
    flags: frozenset[str]


def mappings(pid: int | str = "self") -> list[Mapping]:
    """Return every mapping of a process, with its flags."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return [
        Mapping(int(low, 16), int(high, 16), permissions, path, frozenset(flags.split()))
        for low, high, permissions, path, flags in _ENTRY.findall(text)
    ]


def mapping_at(address: int, among: list[Mapping] | None = None) -> Mapping | None:
    """Return the mapping that an address lies in, or None."""
    found = mappings() if among is None else among
    return next((m for m in found if m.start <= address < m.end), None)


def protection_at(address: int) -> str:
    """Return ``r--``, ``rw-`` or ``---`` for mapped memory of this process, ``gone`` for any other."""
    mapping = mapping_at(address)
    return "gone" if mapping is None else mapping.permissions[:3]


def pages(address: int, size: int) -> list[str]:
    """Return ``gone``, ``rw-`` or, if locked and sealed, ``rw- lo sl`` for each page of a range.

    Page by page, because what lies beside the range may be one mapping with it.
    """
    listing = mappings()
    among = [mapping_at(page, listing) for page in range(address, address + size, PAGE)]
    return ["gone" if m is None else " ".join([m.permissions[:3], *sorted({"lo", "sl"} & m.flags)]) for m in among]


def status_size(field: str, pid: int | str = "self") -> int:
    """Return a kB field of a process's status, in bytes."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{field}:"))


def descriptors() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def address_of(buffer: object) -> int:
    """Return where the bytes of any buffer begin; keeps nothing."""
    description = (ctypes.c_char * 256)()  # larger than any Py_buffer, whose first field is the address
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(description), 0)
    address = ctypes.c_void_p.from_buffer(description).value
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(description))
    assert address is not None
    return address


class Memory:
    """Another process's memory as the kernel shows it to us, opened once: later hardening does not shut it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except PermissionError:
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

    def read(self, address: int, size: int) -> bytes | None:
        """Return the bytes, or None where the kernel refuses (secret memory, nothing mapped)."""
        try:
            return os.pread(self._fd, size, address)
        except OSError:
            return None

    def count(self, needle: bytes) -> int:
        """Return how often ``needle`` lies in the process's memory, page protections notwithstanding."""
        return sum(self._count_in(m, needle) for m in mappings(self.pid) if not m.path.startswith(("[v", "/secretmem")))

    def _count_in(self, mapping: Mapping, needle: bytes) -> int:
        found = 0
        for start in range(mapping.start, mapping.end, _SCAN_STEP_SIZE):
            size = min(_SCAN_STEP_SIZE, mapping.end - start)
            overlap = min(len(needle) - 1, mapping.end - start - size)
            data = self.read(start, size + overlap)
            if data is not None:
                found += data.count(needle)
        return found
