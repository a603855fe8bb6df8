"""VirtualAlloc, VirtualFree and VirtualProtect."""

from __future__ import annotations

from contextlib import suppress

from strongroom import _native
from strongroom.exceptions import AccessError, SecuredError, UnsupportedError
from strongroom.vm.mapping import MappedView
from strongroom.vm.physical import window
from strongroom.vm.protection import protection_name
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import HasValue, number, pointer, room_for_number
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import allocation_within, fail_unless_committed, within

__all__ = ["VirtualAlloc", "VirtualFree", "VirtualProtect"]

_RESETS = c.MEM_RESET | c.MEM_RESET_UNDO
_KNOWN = c.MEM_COMMIT | c.MEM_RESERVE | _RESETS | c.MEM_TOP_DOWN | c.MEM_LARGE_PAGES
_UNABLE = c.MEM_WRITE_WATCH

#: What VirtualAlloc made, kept until VirtualFree, as Windows keeps it. Not by address: the moment one is released
#: another thread may be given the same address. A set's own operations are atomic, so that no lock is needed, which a
#: fork, a signal handler or a finalizer could meet locked.
_allocations: set[Region] = set()


def _is_possible(call: str, protection: int) -> bool:
    """Whether private memory can have it here; an error if nothing could."""
    with Translated(call):
        return _native.is_protection_possible(protection)


def _fail_unless_possible(call: str, protection: int) -> None:
    words = f"{protection_name(protection)} is not for private memory here"
    fail_unless(_is_possible(call, protection), call, c.ERROR_INVALID_PARAMETER, words)


def VirtualAlloc(lpAddress: int | None, dwSize: int, flAllocationType: int, flProtect: int) -> int:
    """Reserve pages, commit them, or both.

    Args:
        lpAddress: Where; NULL (None or 0) for anywhere. A reservation's is rounded down to 64 KiB; pages to be
            committed lie in one that is there already.
        dwSize: Bytes; whole pages are taken, all that the range touches.
        flAllocationType: MEM_RESERVE, MEM_COMMIT or both, with MEM_TOP_DOWN or MEM_LARGE_PAGES; or MEM_RESET or
            MEM_RESET_UNDO alone. MEM_COMMIT with NULL does both. MEM_RESERVE | MEM_PHYSICAL, with NULL and
            PAGE_READWRITE: where MapUserPhysicalPages can show pages.
        flProtect: A PAGE_ constant, with or without one modifier.

    Returns:
        The address where the pages begin.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_PARAMETER (87): no size, a range outside user space, an allocation type or protection
            that is none, or one that private memory cannot have, a page that would become stricter than a
            SecureHandle or a View allows. ERROR_INVALID_ADDRESS (487): the range to reserve is taken, or that to commit
            is in no reservation. ERROR_NOT_ENOUGH_MEMORY (8): no more address space. ERROR_COMMITMENT_LIMIT (1455): no
            more memory. ERROR_BUSY (170): MEM_RESET_UNDO, and some of the contents may be lost. ERROR_NOACCESS (998):
            MEM_RESET_UNDO of pages that cannot be written or are locked. ERROR_NOT_SUPPORTED (50): MEM_WRITE_WATCH;
            MEM_PHYSICAL at an address; it, and MEM_RESET_UNDO, where the system has no such thing.

    Platform notes: MEM_RESET is ``Region.reset``. Where that refuses (locked, secured, a View, no such call here) it
    keeps what is there, which is one way to say that it may be lost. MEM_RESET_UNDO tells as ``Region.undo_reset`` does
    whether it was. Unix refuses to commit only what is absurd, and what is not there when it is touched ends the
    process.

    Does not protect against: other code in this process that unmaps or protects the same pages.

    Source: VirtualAlloc (memoryapi.h).

    Version added: 0.1.
    """
    call, place = "VirtualAlloc", pointer("VirtualAlloc", "lpAddress", lpAddress)
    size = number(call, "dwSize", dwSize, 64)
    how, protection = number(call, "flAllocationType", flAllocationType), number(call, "flProtect", flProtect)
    if how & c.MEM_PHYSICAL:
        return _reserve_window(call, place, size, how, protection).address
    is_unable = how & _UNABLE and not how & ~(_KNOWN | _UNABLE)
    fail_unless(not is_unable, call, c.ERROR_NOT_SUPPORTED, "no write watches here")
    is_known = not how & ~_KNOWN and how & (c.MEM_COMMIT | c.MEM_RESERVE | _RESETS)
    is_known = is_known and (not how & _RESETS or how in (c.MEM_RESET, c.MEM_RESET_UNDO))
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"allocation type {how:#x}")
    is_within = 0 < size <= c.ADDRESS_LIMIT - place
    fail_unless(is_within, call, c.ERROR_INVALID_PARAMETER, f"{size:,} bytes from {place:#x} on")
    _is_possible(call, protection)
    if how & c.MEM_RESERVE or not place:
        _fail_unless_possible(call, protection)
        return _reserve(call, place, size, how, protection).address
    region, offset, size = allocation_within(call, place, size)
    if how & _RESETS:
        _reset(call, region, offset, size, how == c.MEM_RESET_UNDO)
    else:
        _fail_unless_possible(call, protection)
        with Translated(call, c.ERROR_COMMITMENT_LIMIT):
            region.commit(offset, size, protection)
    return region.address + offset


def _reset(call: str, region: Region, offset: int, size: int, is_undone: bool) -> None:
    with Translated(call):
        if not is_undone:
            with suppress(AccessError, SecuredError, BufferError, UnsupportedError):
                region.reset(offset, size)
            return
        is_whole = region.undo_reset(offset, size)
    fail_unless(is_whole, call, c.ERROR_BUSY, "some of what the pages held may be lost")


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
    _allocations.add(region)
    return region


def _reserve_window(call: str, place: int, size: int, how: int, protection: int) -> Region:
    is_fine = how == c.MEM_RESERVE | c.MEM_PHYSICAL and protection == c.PAGE_READWRITE and 0 < size < c.ADDRESS_LIMIT
    fail_unless(is_fine, call, c.ERROR_INVALID_PARAMETER, "MEM_PHYSICAL is with MEM_RESERVE alone, and PAGE_READWRITE")
    fail_unless(not place, call, c.ERROR_NOT_SUPPORTED, "a window is put where there is room: lpAddress is NULL")
    with Translated(call):
        region = window(size)
    _allocations.add(region)
    return region


def VirtualFree(lpAddress: int, dwSize: int, dwFreeType: int) -> bool:
    """Decommit pages, or release a whole allocation.

    Args:
        lpAddress: Where the pages begin, rounded down to one; to release, exactly what VirtualAlloc returned for it.
        dwSize: Bytes, all pages that the range touches. 0: the whole allocation, named by its address; to release it
            must be 0.
        dwFreeType: MEM_DECOMMIT or MEM_RELEASE.

    Returns:
        True.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_PARAMETER (87): another type, NULL, MEM_RELEASE with a size, a range that reaches
            beyond its allocation, pages that a SecureHandle or a View holds. ERROR_INVALID_ADDRESS (487): nothing is
            allocated there, also because another thread has just released it; not the allocation's own address.
            ERROR_NOT_SUPPORTED (50): decommitting large pages. ERROR_NOT_ENOUGH_MEMORY (8): the system has no mapping
            left to split. Nothing was changed then.

    Does not protect against: what the pages held staying in free memory until the system uses it again: overwrite it
    first. An address used after that may be somebody else's.

    Source: VirtualFree (memoryapi.h).

    Version added: 0.1.
    """
    call, place = "VirtualFree", pointer("VirtualFree", "lpAddress", lpAddress)
    size, how = number(call, "dwSize", dwSize, 64), number(call, "dwFreeType", dwFreeType)
    is_known = how in (c.MEM_DECOMMIT, c.MEM_RELEASE) and place
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"free type {how:#x} at {place:#x}")
    is_whole = how == c.MEM_DECOMMIT or not size
    fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, "MEM_RELEASE takes the size 0: allocations go whole")
    region, offset, rounded = allocation_within(call, place, size or 1, c.ERROR_INVALID_PARAMETER)
    if not size:
        fail_unless(not offset, call, c.ERROR_INVALID_ADDRESS, "the size 0 stands for an allocation, named by its base")
    if how == c.MEM_DECOMMIT:
        with Translated(call):
            region.decommit(offset, rounded if size else None)
    else:
        _release(call, region)
    return True


def _release(call: str, region: Region) -> None:
    """Release it and stop keeping it; of several threads that do so one succeeds."""
    is_ours = region in _allocations  # else vm.reserve() or vm.allocate() made it, and its maker keeps it
    is_gone = not is_ours and region.is_released
    with Translated(call):
        region.release()  # which does nothing the second time
    try:
        if is_ours:
            _allocations.remove(region)  # it is here once, so that one thread can
    except KeyError:
        is_gone = True
    fail_unless(not is_gone, call, c.ERROR_INVALID_ADDRESS, "another thread has just released it")


def VirtualProtect(lpAddress: int, dwSize: int, flNewProtect: int, lpflOldProtect: HasValue | None) -> bool:
    """Change the protection of committed pages.

    Args:
        lpAddress: Where they begin, rounded down to a page; in an allocation or a mapped view.
        dwSize: Bytes; all pages that the range touches.
        flNewProtect: A PAGE_ constant, with or without one modifier.
        lpflOldProtect: What the first page's old protection is written to: an object with a ``value``, such as
            ``DWORD()``. That it can be is checked before anything is changed.

    Returns:
        True.

    Raises:
        TypeError: Integers that are none, an lpflOldProtect that no number can be written to.
        Win32Error: ERROR_NOACCESS (998): lpflOldProtect is NULL, or locked pages would become inaccessible (Windows).
            ERROR_INVALID_PARAMETER (87): no size, a protection that is none or that this memory cannot have, more than
            the view was mapped with, stricter than a SecureHandle or a View allows. ERROR_INVALID_ADDRESS (487):
            nothing is allocated there, not all of it, or a page is not committed. ERROR_NOT_ENOUGH_MEMORY (8): the
            system refused, for want of mappings. Nothing was changed then.

    Platform notes: elsewhere than on Windows a guard page is one-shot for strongroom's own calls, and a fault for any
    other touch.

    Does not protect against: other code in this process, which can change it back.

    Source: VirtualProtect (memoryapi.h).

    Version added: 0.1.
    """
    call, place = "VirtualProtect", pointer("VirtualProtect", "lpAddress", lpAddress)
    size, protection = number(call, "dwSize", dwSize, 64), number(call, "flNewProtect", flNewProtect)
    target = room_for_number(call, "lpflOldProtect", lpflOldProtect)
    fail_unless(size, call, c.ERROR_INVALID_PARAMETER, "no bytes")
    _is_possible(call, protection)
    with Translated(call):
        region, offset, size = within(call, place, size)
        fail_unless_committed(call, c.ERROR_INVALID_ADDRESS, region, offset, size)
        if isinstance(region, MappedView):
            with Translated(call, others=((AccessError, c.ERROR_INVALID_PARAMETER),)):  # STATUS_SECTION_PROTECTION
                old = region.protect(offset, size, protection)
        else:
            _fail_unless_possible(call, protection)
            old = region.protect(offset, size, protection)
    target.value = old
    return True
