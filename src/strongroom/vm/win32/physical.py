"""AllocateUserPhysicalPages, MapUserPhysicalPages, MapUserPhysicalPagesScatter and FreeUserPhysicalPages.

What these calls pass as page frame numbers are numbers of strongroom's, which mean something to them alone: no process
is told its frames elsewhere. Each allocation is a store of ``vm.physical``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from contextlib import suppress

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom.exceptions import AccessError, LockLimitError, Win32Error
from strongroom.vm.physical import PhysicalPages, Window, physical, window
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import HasValue, fail_unless_own, items, number, pointer, room_for_number
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import region_at

__all__ = [
    "AllocateUserPhysicalPages",
    "FreeUserPhysicalPages",
    "MapUserPhysicalPages",
    "MapUserPhysicalPagesScatter",
]

#: What is to be where: a window, an offset in it, and a page of a store; None for nothing.
_Place = tuple[Window, int, tuple[PhysicalPages, int] | None]


class _Allocation:
    """A store, the number that its first page goes by, and which of its pages were given back."""

    __slots__ = ("base", "freed", "store")

    def __init__(self, base: int, store: PhysicalPages) -> None:
        self.base = base
        self.store = store
        self.freed: set[int] = set()


#: A page that is shown elsewhere.
_SHOWN = (AccessError, c.ERROR_INVALID_PARAMETER)
#: In order of their numbers, which never come again. Replaced as a whole: another thread may be reading it.
_allocations: tuple[_Allocation, ...] = ()
_next_number = 0x100000


def _items(call: str, name: str, values: Sequence[int] | None, count: int) -> list[int]:
    return [number(call, name, value, 64) for value in items(call, name, values, count)]


def _page(call: str, frame: int) -> tuple[_Allocation, int]:
    index = bisect_right(_allocations, frame, key=lambda one: one.base) - 1
    if index >= 0:
        found, page = _allocations[index], frame - _allocations[index].base
        if page < len(found.store) and page not in found.freed:
            return found, page
    raise Win32Error(call, c.ERROR_INVALID_PARAMETER, f"{frame:#x} is no page that AllocateUserPhysicalPages gave")


def AllocateUserPhysicalPages(hProcess: int, NumberOfPages: HasValue | None, PageArray: MutableSequence[int]) -> bool:
    """Take pages of memory that are never paged out, to be shown in a window.

    Args:
        hProcess: -1, as GetCurrentProcess returns it.
        NumberOfPages: An object with a ``value``, such as ``DWORD(256)``: how many pages.
        PageArray: Where their numbers are written: a list with room for them, or an array.

    Returns:
        True. Windows may give fewer pages; these are all, or it is an error.

    Raises:
        TypeError: Objects of other kinds.
        Win32Error: ERROR_NO_SYSTEM_RESOURCES (1450): no memory, or no room under the lock limit. On Windows without the
            privilege ERROR_PRIVILEGE_NOT_HELD (1314). ERROR_NOT_SUPPORTED (50): this system has none.
            ERROR_INVALID_PARAMETER (87): no pages, too little room. ERROR_INVALID_HANDLE (6): another process.
            ERROR_NOACCESS (998): NumberOfPages is NULL.

    Platform notes: the numbers are strongroom's own; Windows' are those of the frames.

    Source: AllocateUserPhysicalPages (memoryapi.h).

    Version added: 0.1.
    """
    global _allocations, _next_number
    call = "AllocateUserPhysicalPages"
    fail_unless_own(call, hProcess)
    target = room_for_number(call, "NumberOfPages", NumberOfPages)
    count = number(call, "NumberOfPages", target.value, 64)
    fail_unless(count, call, c.ERROR_INVALID_PARAMETER, "no pages")
    _items(call, "PageArray", PageArray, count)
    with Translated(call, None, ((LockLimitError, c.ERROR_NO_SYSTEM_RESOURCES),)):
        store = physical(count * PAGE_SIZE)
    base, _next_number = _next_number, _next_number + count
    try:
        for index in range(count):
            PageArray[index] = base + index
    except Exception:  # a tuple, bytes, an array of small numbers
        store.release()
        raise TypeError(f"{call}: PageArray must take {count:,} numbers of 64 bits") from None
    _allocations = (*_allocations, _Allocation(base, store))
    return True


def MapUserPhysicalPages(VirtualAddress: int, NumberOfPages: int, PageArray: Sequence[int] | None) -> bool:
    """Show pages in a window, in place of what is shown there.

    Args:
        VirtualAddress: In memory that VirtualAlloc reserved with MEM_PHYSICAL; rounded down to a page.
        NumberOfPages: How many.
        PageArray: Their numbers; NULL (None) to show nothing there any more.

    Returns:
        True.

    Raises:
        TypeError: Objects of other kinds.
        Win32Error: ERROR_INVALID_PARAMETER (87): no window there, or a smaller one; a number that is no page's, a page
            that is shown already, pages that a SecureHandle or a View holds. ERROR_NO_SYSTEM_RESOURCES (1450): no room
            under the lock limit. What was shown still is.

    Source: MapUserPhysicalPages (memoryapi.h); mremap(2), mmap(2).

    Version added: 0.1.
    """
    call, place = "MapUserPhysicalPages", pointer("MapUserPhysicalPages", "VirtualAddress", VirtualAddress)
    count = number(call, "NumberOfPages", NumberOfPages, 64)
    shown, offset = _window_at(call, place)
    fits = count <= (shown.size - offset) // PAGE_SIZE
    fail_unless(fits, call, c.ERROR_INVALID_PARAMETER, f"the window has no {count:,} pages from {place:#x} on")
    frames = None if PageArray is None else _items(call, "PageArray", PageArray, count)
    wanted = [None] * count if frames is None else [_known(call, frame) for frame in frames]
    _show(call, [(shown, offset + index * PAGE_SIZE, page) for index, page in enumerate(wanted)])
    return True


def MapUserPhysicalPagesScatter(
    VirtualAddresses: Sequence[int], NumberOfPages: int, PageArray: Sequence[int] | None
) -> bool:
    """Show pages at addresses of their own, each in a window.

    Args:
        VirtualAddresses: An address for each page, in memory that VirtualAlloc reserved with MEM_PHYSICAL.
        NumberOfPages: How many.
        PageArray: Their numbers, 0 to show nothing there any more; NULL (None): nothing at any of them.

    Returns:
        True.

    Raises:
        TypeError, Win32Error: As for MapUserPhysicalPages.

    Source: MapUserPhysicalPagesScatter (memoryapi.h).

    Version added: 0.1.
    """
    call = "MapUserPhysicalPagesScatter"
    count = number(call, "NumberOfPages", NumberOfPages, 64)
    places = [_window_at(call, place) for place in _items(call, "VirtualAddresses", VirtualAddresses, count)]
    frames = [0] * count if PageArray is None else _items(call, "PageArray", PageArray, count)
    wanted = [_known(call, frame) if frame else None for frame in frames]
    _show(call, [(*place, page) for place, page in zip(places, wanted, strict=True)])
    return True


def FreeUserPhysicalPages(hProcess: int, NumberOfPages: HasValue | None, PageArray: Sequence[int]) -> bool:
    """Give pages back, overwritten with zeros; where one is shown nothing is shown then.

    Args:
        hProcess: -1, as GetCurrentProcess returns it.
        NumberOfPages: An object with a ``value``: how many pages.
        PageArray: Their numbers.

    Returns:
        True.

    Raises:
        TypeError: Objects of other kinds.
        Win32Error: ERROR_INVALID_PARAMETER (87): a number that is no page's, or that is there twice, pages that a
            SecureHandle or a View holds. ERROR_INVALID_HANDLE (6): another process. ERROR_NOACCESS (998): NULL.

    Platform notes: the memory goes back to the system when all pages of one AllocateUserPhysicalPages are freed.

    Source: FreeUserPhysicalPages (memoryapi.h).

    Version added: 0.1.
    """
    global _allocations
    call = "FreeUserPhysicalPages"
    fail_unless_own(call, hProcess)
    count = number(call, "NumberOfPages", room_for_number(call, "NumberOfPages", NumberOfPages).value, 64)
    frames = _items(call, "PageArray", PageArray, count)
    fail_unless(len(set(frames)) == count, call, c.ERROR_INVALID_PARAMETER, "a page is there twice")
    pages = [_page(call, frame) for frame in frames]
    wanted = {(id(found.store), page) for found, page in pages}
    with Translated(call):
        places = [at for at, page in _everything().items() if page and (id(page[0]), page[1]) in wanted]
    _show(call, [(*at, None) for at in places])
    with Translated(call):
        for found, page in pages:
            with window(PAGE_SIZE) as own:
                own.map(found.store[page])
                own.fill()
                own.unmap()
            found.freed.add(page)
            if len(found.freed) == len(found.store):
                found.store.release()
                _allocations = tuple(one for one in _allocations if one is not found)
    return True


def _known(call: str, frame: int) -> tuple[PhysicalPages, int]:
    found, page = _page(call, frame)
    return found.store, page


def _window_at(call: str, place: int) -> tuple[Window, int]:
    region = region_at(place)
    if not isinstance(region, Window):
        raise Win32Error(call, c.ERROR_INVALID_PARAMETER, f"at {place:#x} there is nothing reserved with MEM_PHYSICAL")
    return region, (place - region.address) // PAGE_SIZE * PAGE_SIZE


def _everything() -> dict[tuple[Window, int], tuple[PhysicalPages, int] | None]:
    """What is shown in each page of every window."""
    found: dict[tuple[Window, int], tuple[PhysicalPages, int] | None] = {}
    for each in _native.regions():
        if isinstance(each, Window):
            for offset, size, store, page in each.shown():
                for index in range(size // PAGE_SIZE):
                    known = (store, page + index) if isinstance(store, PhysicalPages) else None
                    found[each, offset + index * PAGE_SIZE] = known
    return found


def _show(call: str, places: list[_Place]) -> None:
    """Show all of it, or leave all as it is."""
    with Translated(call, None, ((LockLimitError, c.ERROR_NO_SYSTEM_RESOURCES), _SHOWN)):
        groups = _groups(places)
        if len(groups) <= 1:
            for group in groups:
                _show_group(group)
            return
        before = _everything()
        try:
            for shown, offset, _ in places:  # a page may change its place
                shown.unmap(offset, PAGE_SIZE)
            for group in groups:
                _show_group(group)
        except BaseException:
            for shown, offset, _ in places:
                with suppress(Exception):  # one that a View holds was not changed
                    shown.unmap(offset, PAGE_SIZE)
            for shown, offset, _ in places:
                if page := before.get((shown, offset)):
                    with suppress(Exception):
                        shown.map(page[0][page[1]], offset)
            raise


def _groups(places: list[_Place]) -> list[list[_Place]]:
    """Runs of places that one call can show: in one window, one after the other, of one store or empty."""
    groups: list[list[_Place]] = []
    for place in places:
        last = groups[-1][-1] if groups else None
        is_next = last is not None and last[0] is place[0] and last[1] + PAGE_SIZE == place[1]
        is_alike = last is not None and (last[2] and last[2][0]) is (place[2] and place[2][0])
        if is_next and is_alike:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _show_group(group: list[_Place]) -> None:
    shown, offset, first = group[0]
    if first is None:
        shown.unmap(offset, len(group) * PAGE_SIZE)
    else:
        shown.map(first[0][[page[1] for _, _, page in group if page]], offset)
