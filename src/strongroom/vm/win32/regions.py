"""Addresses that lie in allocations, for the calls that take any address; views.py has those in mapped views."""

from __future__ import annotations

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom.exceptions import Win32Error
from strongroom.vm.mapping import MappedView
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import fail_unless

__all__ = ["fail_unless_committed", "region_at", "within"]


def region_at(place: int) -> Region | None:
    """The allocation that an address lies in; a mapped view is none."""
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


def fail_unless_committed(call: str, code: int, region: Region, offset: int, size: int) -> None:
    """Raise the code's error if a page of the range is only reserved."""
    is_committed = all(run.is_committed for run in region.pages(offset, size))
    fail_unless(is_committed, call, code, "a page of the range is not committed")
