"""Pages of a range as the system shows them, and what other code in the process may do to them.

The state comes from /proc (Linux): the readers here are the tests' own, none of them strongroom's. Tests that only use
strongroom's calls need none of this and run everywhere; the others carry ``needs_proc``. Sources: proc_pid_smaps(5),
proc_pid_pagemap(5), proc_pid_mem(5), mprotect(2).
"""

import ctypes
import errno
import mmap
import os
import sys
from typing import NamedTuple

import pytest

from observed_linux import Mapping, mappings
from strongroom import vm

PAGE = vm.PAGE_SIZE
#: For regions that are given back while a test still looks at where they were. The system looks for room from the top
#: of the addresses downwards, or from a third of them upwards, and has terabytes of it before it would come here: no
#: other mapping of this process, such as the heap may need at any moment, comes to lie in the hole.
FAR_AWAY = 1 << 40

IS_LINUX = sys.platform.startswith("linux")
needs_proc = pytest.mark.skipif(not IS_LINUX, reason="what the system says of pages is read from /proc: needs Linux")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork()")

#: What maps shows for each protection that private memory can have there; proc_pid_maps(5).
LETTERS = {
    vm.NO_ACCESS: "---",
    vm.READ_ONLY: "r--",
    vm.READ_WRITE: "rw-",
    vm.EXECUTE: "r-x",
    vm.EXECUTE_READ: "r-x",
    vm.EXECUTE_READ_WRITE: "rwx",
}
BASES = {
    "NO_ACCESS": vm.NO_ACCESS,
    "READ_ONLY": vm.READ_ONLY,
    "READ_WRITE": vm.READ_WRITE,
    "WRITE_COPY": vm.WRITE_COPY,
    "EXECUTE": vm.EXECUTE,
    "EXECUTE_READ": vm.EXECUTE_READ,
    "EXECUTE_READ_WRITE": vm.EXECUTE_READ_WRITE,
    "EXECUTE_WRITE_COPY": vm.EXECUTE_WRITE_COPY,
}
MODIFIERS = {"plain": 0, "GUARD": vm.GUARD, "NO_CACHE": vm.NO_CACHE, "WRITE_COMBINE": vm.WRITE_COMBINE}
#: PROT_* of other code's own mprotect; on the systems here all have these values.
PROT_NONE, PROT_READ, PROT_READ_WRITE = 0, 1, 3


class Index:
    """Something that is not an int but can stand for one."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Seen(NamedTuple):
    """One page: ``---`` to ``rwx`` or ``gone``, and whether the system keeps it in RAM."""

    letters: str
    is_locked: bool


_GONE = Seen("gone", False)


def seen(address: int, size: int, among: list[Mapping] | None = None) -> list[Seen]:
    """Return what each page of a range is, as smaps says."""
    pages = [_GONE] * (size // PAGE)
    for m in mappings() if among is None else among:
        for page in range(max(0, m.start - address) // PAGE, max(0, min(m.end, address + size) - address) // PAGE):
            pages[page] = Seen(m.permissions[:3], "lo" in m.flags)
    return pages


def letters(region: vm.Region, offset: int = 0, size: int | None = None) -> list[str]:
    """Return the protection of each page of a region."""
    return [page.letters for page in seen(region.address + offset, size or region.size)]


def locked(region: vm.Region) -> list[int]:
    """Return the numbers of the pages that the system keeps in RAM."""
    return [number for number, page in enumerate(seen(region.address, region.size)) if page.is_locked]


def resident(address: int, size: int) -> int:
    """Return how many pages of a range have a frame; bit 63 of proc_pid_pagemap(5)."""
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(address // PAGE * 8)
        entries = memoryview(file.read(size // PAGE * 8)).cast("Q")
    return sum(entry >> 63 for entry in entries)


def content(address: int, size: int) -> bytes:
    """Return bytes of this process whatever their protection: /proc/self/mem minds none."""
    file = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return os.pread(file, size, address)
    finally:
        os.close(file)


def is_mapped(address: int) -> bool:
    """Whether anything is mapped there; msync(2) fails with ENOMEM where not."""
    return _call("msync", address, PAGE, 1) != errno.ENOMEM  # MS_ASYNC: no effect on private memory


# ---- what other code does, past strongroom ----


def _call(name: str, address: int, *arguments: int) -> int:
    """Call the C library; return 0 or the errno."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    result = function(ctypes.c_void_p(address), *(ctypes.c_size_t(argument) for argument in arguments))
    return ctypes.get_errno() if result != 0 else 0


def others_protect(address: int, size: int, protection: int) -> int:
    """Call mprotect(2); return 0 or the errno."""
    return _call("mprotect", address, size, protection)


def others_unmap(address: int, size: int) -> int:
    """Call munmap(2); return 0 or the errno."""
    return _call("munmap", address, size)


def others_lock(address: int, size: int) -> int:
    """Call mlock(2); return 0 or the errno."""
    return _call("mlock", address, size)


def others_unlock(address: int, size: int) -> int:
    """Call munlock(2); return 0 or the errno."""
    return _call("munlock", address, size)


def others_map(size: int) -> mmap.mmap:
    """Map anonymous memory wherever the system likes."""
    return mmap.mmap(-1, size)
