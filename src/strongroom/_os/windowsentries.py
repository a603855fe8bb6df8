"""What Windows tells of a process's memory: a row for each run of pages that are alike, reserved ones included.

``native/os_windows_asking.c`` puts what VirtualQueryEx and GetMappedFileName answer one behind the other, and asserts
where in a row each number is. Source: memoryapi.h, psapi.h, winnt.h.
"""

from __future__ import annotations

from struct import Struct

from strongroom import _native
from strongroom._os.entries import Entry, unreadable

__all__ = ["CALL", "parse"]

CALL = "VirtualQueryEx"

#: BaseAddress, RegionSize, AllocationBase, AllocationProtect, State, Protect, Type, and bytes of the name behind them.
_ROW = Struct("<QQQLLLLL")
_STATES = {0x1000: "committed", 0x2000: "reserved", 0x10000: "free"}
_TYPES = {0x20000: "private", 0x40000: "mapped", 0x1000000: "image"}
_COPIED = _native.PROTECTIONS["WRITE_COPY"] | _native.PROTECTIONS["EXECUTE_WRITE_COPY"]
_PAGE = 4096
_TOP = 1 << 64
_UNTOLD = (None,) * 13  # from the place in the file on


def parse(raw: bytes) -> list[Entry]:
    """The rows, in the order in which they were told. What of them is in memory is not in it.

    Only committed pages have a protection; what is free has no allocation, type and name. Others see what is written
    to a view unless that was mapped to be copied, as images are.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    found: list[Entry] = []
    names: dict[bytes, str] = {}
    at, room, make = 0, len(raw), Entry._make
    while at < room:
        if room - at < _ROW.size:
            raise unreadable(CALL, len(found) + 1)
        address, size, allocation, made_with, number, protection, kind, length = _ROW.unpack_from(raw, at)
        at += _ROW.size + length
        state, type_ = _STATES.get(number), _TYPES.get(kind, "")
        is_free = state == "free"
        if (
            (at > room or length % 2 or address % _PAGE or size % _PAGE or not 0 < size <= _TOP - address)
            or state is None
            or (not is_free and (not type_ or allocation > address))
            or (length and (is_free or type_ == "private"))
        ):
            raise unreadable(CALL, len(found) + 1)
        name = raw[at - length : at]
        if name not in names:
            names[name] = name.decode("utf-16-le", "surrogatepass")
        path: str | None = names[name]
        if is_free:
            allocation = made_with = 0
            type_, path = "", None
        if state != "committed":
            protection = 0
        is_shared = None if is_free else type_ == "mapped" and not made_with & _COPIED
        found.append(make((address, size, state, protection, allocation, made_with, type_, is_shared, path, *_UNTOLD)))
    return found
