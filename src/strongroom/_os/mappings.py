"""What the system says is mapped at an address of this process, in Windows' words."""

from __future__ import annotations

from bisect import bisect_right
from collections import namedtuple

from strongroom import _native
from strongroom._os import PLATFORM, procfs
from strongroom.exceptions import UnsupportedError

__all__ = ["KNOWS_RESERVATIONS", "Listing", "Span", "checked", "is_writable", "shown"]

#: Whether the system itself tells reserved pages from inaccessible ones, and knows modifiers.
KNOWS_RESERVATIONS = PLATFORM == "windows"

_P = _native.PROTECTIONS
_STATES = {0x1000: "committed", 0x2000: "reserved", 0x10000: "free"}
_TYPES = {0x20000: "private", 0x40000: "mapped", 0x1000000: "image"}
#: By the letters of a line of /proc/self/maps. What is executable without being readable is so since pkeys(7).
_BY_LETTERS = {
    "---": _P["NO_ACCESS"],
    "r--": _P["READ_ONLY"],
    "rw-": _P["READ_WRITE"],
    "-w-": _P["READ_WRITE"],
    "--x": _P["EXECUTE"],
    "r-x": _P["EXECUTE_READ"],
    "rwx": _P["EXECUTE_READ_WRITE"],
    "-wx": _P["EXECUTE_READ_WRITE"],
}
#: What the letters do not tell apart.
_SHOWN = {
    _P["EXECUTE"]: _P["EXECUTE_READ"],
    _P["WRITE_COPY"]: _P["READ_WRITE"],
    _P["EXECUTE_WRITE_COPY"]: _P["EXECUTE_READ_WRITE"],
}
#: What maps calls private large pages, behind which is a file of the kernel's own; HUGETLB_ANON_FILE, linux/hugetlb.h.
_LARGE_PAGES = "/anon_hugepage (deleted)"
#: Where the user half of the address space ends, as far as Linux hands it out unasked; arch/x86/include/asm/page_64.h.
_USER_END = 1 << 47

Span = namedtuple("Span", "address size state protection allocation allocation_protection type")


def checked(value: int, what: str = "address") -> int:
    """An address or size: an integer that is not negative and fits a pointer."""
    return _native.checked_number(value, what)


def is_writable(protection: int) -> bool:
    """Whether pages with this protection can be written."""
    writable = ("READ_WRITE", "WRITE_COPY", "EXECUTE_READ_WRITE", "EXECUTE_WRITE_COPY")
    return any(protection & _P[name] for name in writable)


def shown(protection: int) -> int:
    """The protection that the system shows for one that strongroom gave: it does not know them all."""
    if KNOWS_RESERVATIONS:
        return protection
    if protection & _P["GUARD"]:
        return _P["NO_ACCESS"]
    return _SHOWN.get(protection, protection)


def _type_of(mapping: procfs.Mapping) -> str:
    is_unnamed = not mapping.path or mapping.path.startswith("[")
    is_large = mapping.path == _LARGE_PAGES and mapping.permissions.endswith("p")
    return "private" if is_unnamed or is_large else "mapped"


class Listing:
    """What the system says is mapped, of one moment: Linux tells of everything at once. Windows is asked each time."""

    __slots__ = ("_ends", "_mappings")

    def __init__(self) -> None:
        self._mappings = procfs.read_maps() if PLATFORM == "linux" else []
        self._ends = [mapping.end for mapping in self._mappings]

    def at(self, address: int) -> Span:
        """Return what the pages from ``address`` on are; an address within a page is rounded down above."""
        if PLATFORM == "linux":
            return self._linux_at(address)
        if PLATFORM == "windows":
            start, size, state, protection, allocation, allocation_protection, kind = _native.query(address)
            committed = protection if state == 0x1000 else 0
            return Span(start, size, _STATES[state], committed, allocation, allocation_protection, _TYPES.get(kind, ""))
        raise UnsupportedError("what is mapped at an address cannot be asked on this system in this version")

    def _linux_at(self, address: int) -> Span:
        index = bisect_right(self._ends, address)
        if index == len(self._ends):
            end = _USER_END if address < _USER_END else 1 << 64
            return Span(address, end - address, "free", 0, 0, 0, "")
        mapping = self._mappings[index]
        if address < mapping.start:  # in the gap before it
            return Span(address, mapping.start - address, "free", 0, 0, 0, "")
        protection = _BY_LETTERS[mapping.permissions[:3]]
        size = mapping.end - address
        return Span(address, size, "committed", protection, mapping.start, protection, _type_of(mapping))
