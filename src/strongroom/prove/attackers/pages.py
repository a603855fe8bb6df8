"""What the kernel says about a process's memory: /proc/PID/maps, smaps and pagemap (proc(5), pagemap.rst)."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = mmap.PAGESIZE
PRESENT = 1 << 63
SWAPPED = 1 << 62
# A page of MADV_GUARD_INSTALL (6.13; glibc puts them under thread stacks): it holds nothing and refuses readers.
# The page table says so since 6.15 (pagemap.rst). Between the two such a page stays unexplained.
GUARD = 1 << 58
_SLOT_TYPE_BITS = 5  # bits 0-4 of a swapped page's entry: which swap area; bits 5-54: the page in it
_SLOT_OFFSET_MASK = (1 << 50) - 1

# The kernel's own pages in every process: no program can write to them, and [vvar] refuses readers.
KERNEL_PAGES = frozenset({"[vvar]", "[vvar_vclock]", "[vsyscall]"})


class Mapping:
    """One line of maps."""

    __slots__ = ("end", "inode", "offset", "path", "permissions", "start")

    def __init__(self, line: str) -> None:
        fields = line.split(None, 5)
        start, end = fields[0].split("-")
        self.start, self.end = int(start, 16), int(end, 16)
        self.permissions, self.offset, self.inode = fields[1], int(fields[2], 16), int(fields[4])
        self.path = fields[5].rstrip("\n") if len(fields) > 5 else ""

    @property
    def is_secretmem(self) -> bool:
        """True for memfd_secret(2)'s pages, which the kernel names so."""
        return self.path.startswith("/secretmem")

    @property
    def label(self) -> str:
        """What a person may see: no address. Files keep their last name only."""
        if self.is_secretmem:
            return "secretmem"
        if not self.path:
            return f"anonymous memory ({self.permissions})"
        return f"{self.path.rsplit('/', 1)[-1]} ({self.permissions})"


def mappings(pid: int | str) -> list[Mapping]:
    """Every mapping of a process, in order of address."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as lines:
        return [Mapping(line) for line in lines]


def swapped_secretmem(pid: int | str) -> int | None:
    """Bytes of secret memory that are in swap (smaps `Swap:`); None if the kernel does not tell."""
    try:
        told = list(_swapped(pid, lambda mapping: mapping.is_secretmem))
    except OSError:
        return None
    return None if None in told else sum(filter(None, told))


def swapped_stores(pid: int | str) -> int | None:
    """Bytes of strongroom's nameless shared memory, and of secret memory, in swap; None: there is none, or not told."""
    told = list(_swapped(pid, lambda mapping: mapping.is_secretmem or mapping.path.startswith("/memfd:strongroom")))
    return sum(filter(None, told)) if told and None not in told else None


def _swapped(pid: int | str, is_wanted: Callable[[Mapping], bool]) -> Iterator[int | None]:
    """Of each mapping that is wanted how many bytes are in swap; None if its rows of smaps do not say."""
    size, is_inside = None, False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            head = line.split(None, 1)[0]
            if not head.endswith(":"):
                if is_inside:
                    yield size
                size, is_inside = None, is_wanted(Mapping(line))
            elif head == "Swap:":
                size = int(line.split()[1]) * 1024
        if is_inside:
            yield size


def is_droppable(pid: int | str, address: int) -> bool:
    """Whether the mapping at an address is memory that the kernel may drop (smaps `VmFlags: dp`, Linux 6.11)."""
    is_inside = False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            head = line.split(None, 1)[0]
            if not head.endswith(":"):
                mapping = Mapping(line)
                is_inside = mapping.start <= address < mapping.end
            elif head == "VmFlags:" and is_inside:
                return "dp" in line.split()
    return False


def open_pagemap(pid: int | str) -> int:
    """A descriptor of /proc/PID/pagemap."""
    return os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)


def entries(pagemap: int, start: int, end: int) -> tuple[int, ...]:
    """The 64-bit entry of every page in [start, end); addresses the file does not cover give zeros."""
    count = (end - start) // PAGE
    data = os.pread(pagemap, count * 8, start // PAGE * 8)
    got = struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])
    return got + (0,) * (count - len(got))


def populated(pagemap: int, mapping: Mapping) -> list[tuple[int, int]]:
    """The runs of an anonymous mapping that hold anything; the rest has never been touched (or was dropped).

    Reading only these keeps the reader from faulting zero pages into the victim by the thousand.
    """
    runs: list[tuple[int, int]] = []
    address = mapping.start
    for entry in entries(pagemap, mapping.start, mapping.end):
        if entry & (PRESENT | SWAPPED):
            if runs and runs[-1][1] == address:
                runs[-1] = (runs[-1][0], address + PAGE)
            else:
                runs.append((address, address + PAGE))
        address += PAGE
    return runs


def swap_slot(entry: int) -> tuple[int, int] | None:
    """(swap area, page in it) of a swapped page; the kernel shows it to CAP_SYS_ADMIN only."""
    if not entry & SWAPPED:
        return None
    return entry & ((1 << _SLOT_TYPE_BITS) - 1), (entry >> _SLOT_TYPE_BITS) & _SLOT_OFFSET_MASK
