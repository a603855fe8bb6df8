"""VirtualQuery, and what it fills in."""

from __future__ import annotations

from strongroom.exceptions import DestroyedError, Win32Error
from strongroom.vm.pageinfo import PageInfo
from strongroom.vm.query import query
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import number, pointer
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import region_at

__all__ = ["MEMORY_BASIC_INFORMATION", "VirtualQuery"]

_STATES = {"free": c.MEM_FREE, "reserved": c.MEM_RESERVE, "committed": c.MEM_COMMIT}
_TYPES = {"": 0, "private": c.MEM_PRIVATE, "mapped": c.MEM_MAPPED, "image": c.MEM_IMAGE}


class MEMORY_BASIC_INFORMATION:
    """What ``VirtualQuery`` fills in.

    Attributes: ``BaseAddress``, where the run of pages that are alike begins, and ``RegionSize``, its bytes;
    ``AllocationBase`` and ``AllocationProtect``, where the allocation begins and what it was made with, 0 where that is
    not known; ``State``, ``Protect`` and ``Type``, MEM_ and PAGE_ constants; ``SIZE``, the structure's own bytes on
    64-bit Windows.

    Source: winnt.h.

    Version added: 0.1.
    """

    #: Bytes of the structure on 64-bit Windows: what VirtualQuery wants for dwLength, and returns.
    SIZE = 48
    __slots__ = ("AllocationBase", "AllocationProtect", "BaseAddress", "Protect", "RegionSize", "State", "Type")

    def __init__(self) -> None:
        self.BaseAddress = self.AllocationBase = self.AllocationProtect = 0
        self.RegionSize = self.State = self.Protect = self.Type = 0


def VirtualQuery(
    lpAddress: int | None, lpBuffer: MEMORY_BASIC_INFORMATION, dwLength: int = MEMORY_BASIC_INFORMATION.SIZE
) -> int:
    """Describe the pages from an address on that are alike.

    Args:
        lpAddress: Any, rounded down to a page; NULL is None or 0.
        lpBuffer: What is filled in.
        dwLength: Bytes of the structure on 64-bit Windows.

    Returns:
        How many bytes Windows would have written: 48.

    Raises:
        TypeError: An lpBuffer of another type, integers that are none.
        Win32Error: ERROR_BAD_LENGTH (24): dwLength is less than that. ERROR_INVALID_PARAMETER (87): an address outside
            user space. ERROR_NOACCESS (998): lpBuffer is NULL.

    Platform notes: elsewhere than on Windows the system is asked, and strongroom knows modifiers, reserved pages and
    allocations of its own regions and views only.

    Does not protect against: the answer being wrong a moment later.

    Source: VirtualQuery (memoryapi.h); proc_pid_maps(5).

    Version added: 0.1.
    """
    call, place = "VirtualQuery", pointer("VirtualQuery", "lpAddress", lpAddress)
    is_long = number(call, "dwLength", dwLength, 64) >= MEMORY_BASIC_INFORMATION.SIZE
    if lpBuffer is None:
        raise Win32Error(call, c.ERROR_NOACCESS, "lpBuffer is NULL")
    if not isinstance(lpBuffer, MEMORY_BASIC_INFORMATION):
        raise TypeError(f"{call}: lpBuffer must be a MEMORY_BASIC_INFORMATION, not {type(lpBuffer).__name__}")
    fail_unless(is_long, call, c.ERROR_BAD_LENGTH, f"dwLength is {MEMORY_BASIC_INFORMATION.SIZE}")
    fail_unless(place < c.ADDRESS_LIMIT, call, c.ERROR_INVALID_PARAMETER, f"{place:#x} is not in user space")
    with Translated(call):
        info = query(place)
        size = _size_whatever_the_locks(info)
    lpBuffer.BaseAddress, lpBuffer.RegionSize = info.address, size
    lpBuffer.AllocationBase, lpBuffer.AllocationProtect = info.allocation, info.allocation_protection
    lpBuffer.State, lpBuffer.Type = _STATES[info.state], _TYPES[info.type]
    lpBuffer.Protect = c.PAGE_NOACCESS if info.state == "free" else info.protection
    return MEMORY_BASIC_INFORMATION.SIZE


def _size_whatever_the_locks(info: PageInfo) -> int:
    """Windows does not tell locked pages from others; ``query`` does."""
    region = region_at(info.address)
    if region is None:
        return info.size
    size = 0
    try:
        for run in region.pages(info.address - region.address):
            if run.protection != info.protection:
                break
            size += run.size
    except DestroyedError:  # another thread has released it since
        return info.size
    return max(size, info.size)
