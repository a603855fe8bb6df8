"""Addresses that lie in allocations and in mapped views, for the calls that take any address."""

from __future__ import annotations

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom.exceptions import Win32Error
from strongroom.vm.mapping import MappedView
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import fail_unless

__all__ = ["allocation_within", "fail_unless_committed", "region_at", "within"]


def region_at(place: int) -> Region | None:
    """The allocation, or the mapped view, that an address lies in."""
    region = _native.find_region(place)
    return region if isinstance(region, Region) else None


def within(call: str, place: int, size: int, code: int = c.ERROR_INVALID_ADDRESS) -> tuple[Region, int, int]:
    """The allocation or view that a whole range lies in, with the range's offset and size in whole pages."""
    start = place - place % PAGE_SIZE
    size = -(-(place + size) // PAGE_SIZE) * PAGE_SIZE - start
    region = region_at(start)
    if region is None:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"nothing is allocated at {place:#x}")
    is_inside = start + size <= region.address + -(-region.size // PAGE_SIZE) * PAGE_SIZE
    fail_unless(is_inside, call, code, f"the range from {place:#x} on reaches beyond its allocation")
    return region, start - region.address, size


def allocation_within(call: str, place: int, size: int, code: int = c.ERROR_INVALID_ADDRESS) -> tuple[Region, int, int]:
    """The same for what VirtualAlloc made: a view is neither committed nor freed."""
    found = within(call, place, size, code)
    is_view = isinstance(found[0], MappedView)
    fail_unless(not is_view, call, c.ERROR_INVALID_ADDRESS, f"at {place:#x} there is a view of a section")
    return found


def fail_unless_committed(call: str, code: int, region: Region, offset: int, size: int) -> None:
    """Raise the code's error if a page of the range is only reserved."""
    is_committed = all(run.is_committed for run in region.pages(offset, size))
    fail_unless(is_committed, call, code, "a page of the range is not committed")
