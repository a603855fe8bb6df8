"""VirtualAlloc and its family."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom.exceptions import AccessError, ForkedError, Win32Error
from strongroom.vm.mapping import MappedView
from strongroom.vm.protection import protection_name
from strongroom.vm.query import PageInfo, query
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import Translated, address, fail_unless
from strongroom.vm.win32.views import protect_view, view_within

if TYPE_CHECKING:
    from typing_extensions import Buffer

_STATES = {"free": c.MEM_FREE, "reserved": c.MEM_RESERVE, "committed": c.MEM_COMMIT}
_TYPES = {"": 0, "private": c.MEM_PRIVATE, "mapped": c.MEM_MAPPED, "image": c.MEM_IMAGE}
_KNOWN = c.MEM_COMMIT | c.MEM_RESERVE | c.MEM_RESET | c.MEM_TOP_DOWN | c.MEM_LARGE_PAGES
_UNABLE = c.MEM_WRITE_WATCH | c.MEM_PHYSICAL | c.MEM_RESET_UNDO

_allocations: dict[int, Region] = {}  # kept until VirtualFree, as Windows keeps them
_secured: dict[int, _native.SecureHandle] = {}


class DWORD:
    """A number that a call writes to."""

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value


class MEMORY_BASIC_INFORMATION:
    """What ``VirtualQuery`` fills in."""

    #: Bytes of the structure on 64-bit Windows: what VirtualQuery wants for dwLength, and returns.
    SIZE = 48
    __slots__ = ("AllocationBase", "AllocationProtect", "BaseAddress", "Protect", "RegionSize", "State", "Type")

    def __init__(self) -> None:
        self.BaseAddress = self.AllocationBase = self.AllocationProtect = 0
        self.RegionSize = self.State = self.Protect = self.Type = 0


def region_at(place: int) -> Region | None:
    """The region that an address lies in."""
    region = _native.find_region(place)
    return region if isinstance(region, Region) and not isinstance(region, MappedView) else None


def within(call: str, place: int, size: int, code: int = c.ERROR_INVALID_ADDRESS) -> tuple[Region, int, int]:
    """The region that a whole range lies in, with the range's offset and size in whole pages."""
    start = place - place % PAGE_SIZE
    size = -(-(place + size) // PAGE_SIZE) * PAGE_SIZE - start
    region = region_at(start)
    if region is None:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"nothing is allocated at {place:#x}")
    is_inside = start + size <= region.address + region.size
    fail_unless(is_inside, call, code, f"the range from {place:#x} on reaches beyond its allocation")
    return region, start - region.address, size


def _check_protection(call: str, protection: int) -> bool:
    """Whether private memory can have it here; an error if nothing could."""
    try:
        return _native.is_protection_possible(protection)
    except ValueError as error:
        raise Win32Error(call, c.ERROR_INVALID_PARAMETER, str(error)) from None


def _fail_unless_possible(call: str, protection: int) -> None:
    words = f"{protection_name(protection)} is not for private memory here"
    fail_unless(_check_protection(call, protection), call, c.ERROR_INVALID_PARAMETER, words)


def _fail_unless_committed(call: str, code: int, region: Region, offset: int, size: int) -> None:
    is_committed = all(run.is_committed for run in region.pages(offset, size))
    fail_unless(is_committed, call, code, "a page of the range is not committed")


def VirtualAlloc(lpAddress: int | None, dwSize: int, flAllocationType: int, flProtect: int) -> int:
    """Reserve, commit or both; returns the base address of what was allocated."""
    call, how, place = "VirtualAlloc", flAllocationType, address("VirtualAlloc", lpAddress)
    is_unable = how & _UNABLE and not how & ~(_KNOWN | _UNABLE)
    fail_unless(not is_unable, call, c.ERROR_NOT_SUPPORTED, "no write watches, physical pages or undone resets here")
    is_known = not how & ~_KNOWN and how & (c.MEM_COMMIT | c.MEM_RESERVE | c.MEM_RESET)
    is_known = is_known and (not how & c.MEM_RESET or how == c.MEM_RESET)
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"allocation type {how:#x}")
    is_within = 0 < dwSize <= c.ADDRESS_LIMIT - place
    fail_unless(is_within, call, c.ERROR_INVALID_PARAMETER, f"{dwSize:,} bytes from {place:#x} on")
    _check_protection(call, flProtect)
    if how & c.MEM_RESERVE or not place:
        _fail_unless_possible(call, flProtect)
        return _reserve(call, place, dwSize, how, flProtect).address
    region, offset, size = within(call, place, dwSize)
    if how & c.MEM_COMMIT:  # a reset says that the contents may be lost; keeping them is one way to do that
        _fail_unless_possible(call, flProtect)
        with Translated(call, c.ERROR_COMMITMENT_LIMIT):
            region.commit(offset, size, flProtect)
    return region.address + offset


def _reserve(call: str, place: int, size: int, how: int, protection: int) -> Region:
    base = place - place % c.ALLOCATION_GRANULARITY
    fail_unless(base or not place, call, c.ERROR_INVALID_PARAMETER, "nothing is allocated below 64 KiB")
    size += place - base
    with Translated(call, c.ERROR_INVALID_ADDRESS if place else c.ERROR_NOT_ENOUGH_MEMORY):
        if how & c.MEM_LARGE_PAGES:
            both = c.MEM_COMMIT | c.MEM_RESERVE
            is_whole = how & both == both and not place and size % (_native.large_page_size() or 1) == 0
            fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, "large pages: whole ones, reserved and committed")
            region = Region(size, large=protection)
        elif place:
            region = Region(size, address=base, allocation_protection=protection)
        else:
            region = Region(size, alignment=c.ALLOCATION_GRANULARITY, allocation_protection=protection)
    if how & c.MEM_COMMIT and not how & c.MEM_LARGE_PAGES:
        with Translated(call, c.ERROR_COMMITMENT_LIMIT):  # if that fails the region goes with its last reference
            region.commit(0, None, protection)
    _allocations[region.address] = region
    return region


def VirtualFree(lpAddress: int, dwSize: int, dwFreeType: int) -> bool:
    """Decommit pages, or release a whole allocation (``dwSize`` 0); returns True."""
    call, place = "VirtualFree", address("VirtualFree", lpAddress)
    is_known = dwFreeType in (c.MEM_DECOMMIT, c.MEM_RELEASE) and place and dwSize >= 0
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"free type {dwFreeType:#x}")
    is_whole = dwFreeType == c.MEM_DECOMMIT or not dwSize
    fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, "MEM_RELEASE takes the size 0: allocations go whole")
    region, offset, size = within(call, place, dwSize or 1, c.ERROR_INVALID_PARAMETER)
    if not dwSize:
        fail_unless(not offset, call, c.ERROR_INVALID_ADDRESS, "the size 0 stands for an allocation, named by its base")
        size = region.size
    with Translated(call):
        if dwFreeType == c.MEM_DECOMMIT:
            region.decommit(offset, size)
        else:
            region.release()
            _allocations.pop(region.address, None)
    return True


def VirtualProtect(lpAddress: int, dwSize: int, flNewProtect: int, lpflOldProtect: DWORD | None) -> bool:
    """Change the protection of committed pages; the first page's old one goes to ``lpflOldProtect.value``."""
    call, place = "VirtualProtect", address("VirtualProtect", lpAddress)
    if lpflOldProtect is None:
        raise Win32Error(call, c.ERROR_NOACCESS, "lpflOldProtect must be an object with a value")
    fail_unless(dwSize > 0, call, c.ERROR_INVALID_PARAMETER, f"{dwSize} bytes")
    _check_protection(call, flNewProtect)
    mapped = view_within(call, place, dwSize)
    if mapped is not None:
        lpflOldProtect.value = protect_view(call, *mapped, flNewProtect)
        return True
    region, offset, size = within(call, place, dwSize)
    _fail_unless_committed(call, c.ERROR_INVALID_ADDRESS, region, offset, size)
    _fail_unless_possible(call, flNewProtect)
    with Translated(call):
        lpflOldProtect.value = region.protect(offset, size, flNewProtect)
    return True


def VirtualQuery(
    lpAddress: int | None, lpBuffer: MEMORY_BASIC_INFORMATION, dwLength: int = MEMORY_BASIC_INFORMATION.SIZE
) -> int:
    """Describe the pages from ``lpAddress`` on that are alike; returns how many bytes Windows would have written."""
    call, place = "VirtualQuery", address("VirtualQuery", lpAddress)
    is_long = dwLength >= MEMORY_BASIC_INFORMATION.SIZE
    fail_unless(is_long, call, c.ERROR_BAD_LENGTH, f"dwLength is {MEMORY_BASIC_INFORMATION.SIZE}")
    fail_unless(place < c.ADDRESS_LIMIT, call, c.ERROR_INVALID_PARAMETER, f"{place:#x} is not in user space")
    info = query(place)
    lpBuffer.BaseAddress, lpBuffer.RegionSize = info.address, _size_whatever_the_locks(info)
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
    for run in region.pages(info.address - region.address):
        if run.protection != info.protection:
            break
        size += run.size
    return max(size, info.size)


def VirtualLock(lpAddress: int, dwSize: int) -> bool:
    """Keep pages in RAM; not counted, as on Windows: one unlock undoes any number. Returns True."""
    if _lock_mapped("VirtualLock", lpAddress, dwSize):
        return True
    region, offset, size = _lockable("VirtualLock", lpAddress, dwSize)
    done = []
    try:
        with Translated("VirtualLock"):
            for run in region.pages(offset, size):
                if not run.locks:
                    region.lock(run.offset, run.size)
                    done.append(run)
    except Win32Error:
        for run in done:
            region.unlock(run.offset, run.size)
        raise
    return True


def VirtualUnlock(lpAddress: int, dwSize: int) -> bool:
    """Let the system page out what ``VirtualLock`` kept; returns True."""
    if _lock_mapped("VirtualUnlock", lpAddress, dwSize):
        return True
    region, offset, size = _lockable("VirtualUnlock", lpAddress, dwSize)
    is_locked = all(run.locks for run in region.pages(offset, size))
    fail_unless(is_locked, "VirtualUnlock", c.ERROR_NOT_LOCKED, "a page of the range is not locked")
    with Translated("VirtualUnlock"):
        region.unlock(offset, size)
    return True


def _lock_mapped(call: str, place: int, size: int) -> bool:
    """Lock or unlock pages of a view; whether it is one."""
    mapped = view_within(call, address(call, place), size) if size > 0 else None
    if mapped is None:
        return False
    view, offset, size = mapped
    with Translated(call, c.ERROR_NOACCESS):
        (view.lock if call == "VirtualLock" else view.unlock)(offset, size)
    return True


def _lockable(call: str, place: int, size: int) -> tuple[Region, int, int]:
    fail_unless(size > 0, call, c.ERROR_INVALID_PARAMETER, f"{size} bytes")
    region, offset, size = within(call, address(call, place), size)
    _fail_unless_committed(call, c.ERROR_NOACCESS, region, offset, size)
    return region, offset, size


def MmSecureVirtualMemory(Address: int, Size: int, ProbeMode: int) -> int:
    """Secure a range; returns the handle. Windows returns NULL and no code: the codes here are strongroom's."""
    call = "MmSecureVirtualMemory"
    is_mode = ProbeMode in (c.PAGE_READONLY, c.PAGE_READWRITE) and Size > 0
    fail_unless(is_mode, call, c.ERROR_INVALID_PARAMETER, "ProbeMode is PAGE_READONLY or PAGE_READWRITE, Size positive")
    region, offset, size = within(call, address(call, Address), Size)
    _fail_unless_committed(call, c.ERROR_INVALID_ADDRESS, region, offset, size)
    with Translated(call):
        handle = region.secure(offset, size, ProbeMode)
    number = os.getpid() << 32 | 16  # another process's numbers are never ours
    while number in _secured:
        number += 16
    _secured[number] = handle
    return number


def MmUnsecureVirtualMemory(SecureHandle: int) -> None:
    """End what ``MmSecureVirtualMemory`` began, in the process that did."""
    handle = _secured.get(SecureHandle)
    try:
        if handle is None:
            raise AccessError("no such handle in this process")
        handle.unsecure()
    except (AccessError, ForkedError) as error:
        raise Win32Error("MmUnsecureVirtualMemory", c.ERROR_INVALID_HANDLE, str(error)) from None
    del _secured[SecureHandle]


def RtlMoveMemory(Destination: int | Buffer, Source: int | Buffer, Length: int) -> None:
    """Copy bytes; each side is an address in an allocation or a view, or a buffer. A forbidden page is an error."""
    call = "RtlMoveMemory"
    if not Length:
        return
    with Translated(call):
        if isinstance(Source, int):
            source, start = _holder(call, Source, Length)
            Source = source.read(start, Length)
        with memoryview(Source).cast("B") as data:
            fail_unless(Length <= len(data), call, c.ERROR_INVALID_PARAMETER, f"the source has {len(data)} bytes")
            if isinstance(Destination, int):
                target, start = _holder(call, Destination, Length)
                target.write(start, data[:Length])
                return
            with memoryview(Destination).cast("B") as room:
                fail_unless(Length <= len(room), call, c.ERROR_INVALID_PARAMETER, f"there is room for {len(room)}")
                room[:Length] = data[:Length]


def _holder(call: str, place: int, size: int) -> tuple[Region | MappedView, int]:
    """The region or view that a range of bytes lies in, and its offset there."""
    mapped = view_within(call, address(call, place), size)
    if mapped is None:
        region, _, _ = within(call, place, size)
        return region, place - region.address
    view, offset, length = mapped
    fail_unless(length == size, call, c.ERROR_NOACCESS, "the view ends before that")
    return view, offset
