"""VirtualLock and VirtualUnlock."""

from __future__ import annotations

from contextlib import suppress

from strongroom.exceptions import StrongroomError
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import number, pointer
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import fail_unless_committed, within

__all__ = ["VirtualLock", "VirtualUnlock"]


def VirtualLock(lpAddress: int, dwSize: int) -> bool:
    """Keep pages in RAM. Pages that are locked already get no second lock: one unlock undoes any number of these.

    Args:
        lpAddress: Where they begin, rounded down to a page; in an allocation or a mapped view.
        dwSize: Bytes; all pages that the range touches.

    Returns:
        True.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_PARAMETER (87): no size. ERROR_INVALID_ADDRESS (487): nothing is allocated there, or
            not all of it. ERROR_NOACCESS (998): a page is not committed, or not accessible. ERROR_WORKING_SET_QUOTA
            (1453): the system will keep no more of this process in RAM. ERROR_NOT_ENOUGH_MEMORY (8): another refusal.
            Nothing was locked then.

    Platform notes: on Windows the minimum working set is raised if it is too small.

    Does not protect against: hibernation, a fork, readers: docs/vm/locking.md.

    Source: VirtualLock (memoryapi.h); mlock(2).

    Version added: 0.1.
    """
    call, place = "VirtualLock", pointer("VirtualLock", "lpAddress", lpAddress)
    length = number(call, "dwSize", dwSize, 64)
    done = []
    with Translated(call):
        region, offset, size = _lockable(call, place, length)
        try:
            for run in region.pages(offset, size):
                if not run.locks:
                    region.lock(run.offset, run.size)
                    done.append(run)
        except StrongroomError:
            with suppress(StrongroomError):  # the region, and the locks with it, may be gone
                for run in done:
                    region.unlock(run.offset, run.size)
            raise
    return True


def VirtualUnlock(lpAddress: int, dwSize: int) -> bool:
    """Let the system page out again what VirtualLock kept.

    Args:
        lpAddress: Where the pages begin, rounded down to one.
        dwSize: Bytes; all pages that the range touches.

    Returns:
        True.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_PARAMETER (87), ERROR_INVALID_ADDRESS (487), ERROR_NOACCESS (998): as for VirtualLock.
            ERROR_NOT_LOCKED (158): a page is not locked by strongroom. Nothing was unlocked then.

    Platform notes: of a page that ``Region.lock`` locked, perhaps more than once, one lock is undone.

    Source: VirtualUnlock (memoryapi.h); munlock(2).

    Version added: 0.1.
    """
    call, place = "VirtualUnlock", pointer("VirtualUnlock", "lpAddress", lpAddress)
    length = number(call, "dwSize", dwSize, 64)
    with Translated(call):
        region, offset, size = _lockable(call, place, length)
        is_locked = all(run.locks for run in region.pages(offset, size))
        fail_unless(is_locked, call, c.ERROR_NOT_LOCKED, "a page of the range is not locked")
        region.unlock(offset, size)
    return True


def _lockable(call: str, place: int, size: int) -> tuple[Region, int, int]:
    fail_unless(size, call, c.ERROR_INVALID_PARAMETER, "no bytes")
    region, offset, size = within(call, place, size)
    fail_unless_committed(call, c.ERROR_NOACCESS, region, offset, size)
    return region, offset, size
