"""vm.win32 when it refuses: each error of ours has a code, and what is in use, locked or secured stays so."""

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom import exceptions, vm
from strongroom.vm import win32
from strongroom.vm.win32 import DWORD, VirtualAlloc, VirtualFree, VirtualProtect, Win32Error, regions
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import Translated
from win32world import World


def test_an_old_protection_that_cannot_be_written_is_found_first(world: World) -> None:
    """VirtualProtect changes nothing if it could not say what was there; None is ERROR_NOACCESS."""
    before = world.state()
    frozen = type("Frozen", (), {"__slots__": (), "value": 0})()
    for target in (frozen, 5, object(), DWORD, ctypes.c_ubyte(), ctypes.c_char(), SimpleNamespace()):
        with pytest.raises(TypeError, match="lpflOldProtect"):
            VirtualProtect(world.page, 1, c.PAGE_NOACCESS, target)  # type: ignore[arg-type]
    with pytest.raises(Win32Error) as caught:
        VirtualProtect(world.page, 1, c.PAGE_NOACCESS, None)
    assert caught.value.winerror == c.ERROR_NOACCESS
    assert world.state() == before
    old = ctypes.c_ulong(5)
    assert VirtualProtect(world.page, 1, c.PAGE_READWRITE, old)
    assert old.value == c.PAGE_READWRITE
    with pytest.raises(Win32Error):
        VirtualProtect(world.page, 0, c.PAGE_READWRITE, world.old)
    assert world.old.value == 77


def test_a_view_in_use_holds_its_pages(world: World) -> None:
    """What a View relies on is refused with the code of secured pages, and stays."""
    region, view = regions.region_at(world.page), vm.find_view(world.view)
    assert region is not None
    assert view is not None
    calls: list[tuple[Any, ...]] = [
        (VirtualFree, world.page, 0, c.MEM_RELEASE),
        (VirtualFree, world.page, 1, c.MEM_DECOMMIT),
        (VirtualProtect, world.page, 1, c.PAGE_NOACCESS, DWORD()),
        (VirtualAlloc, world.page, 1, c.MEM_COMMIT, c.PAGE_NOACCESS),
        (VirtualProtect, world.view, 1, c.PAGE_NOACCESS, DWORD()),
        (win32.UnmapViewOfFile, world.view),
    ]
    with region.view(0, 16), view.view(0, 16):
        before = world.state()
        for function, *arguments in calls:
            with pytest.raises(Win32Error) as caught:
                function(*arguments)
            assert caught.value.winerror == c.ERROR_INVALID_PARAMETER, function
            assert world.state() == before, function


def test_every_error_of_ours_has_a_code() -> None:
    """No class of strongroom.exceptions, and none that the layers below raise by themselves, comes through as it is."""
    errors: list[Exception] = [BufferError("x"), MemoryError(), ValueError("x"), OSError(2, "x")]
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        if issubclass(kind, exceptions.LockLimitError):
            errors.append(kind("mlock", 12, 4096, None, None, ""))
        elif issubclass(kind, exceptions.SystemCallError):
            errors.append(kind("mlock", 12))
        elif issubclass(kind, exceptions.StrongroomError):
            errors.append(kind("x"))
    assert len(errors) > 12
    for error in errors:
        for code in (c.ERROR_COMMITMENT_LIMIT, None):
            with pytest.raises(Win32Error), Translated("VirtualAlloc", code):
                raise error
    with pytest.raises(TypeError), Translated("VirtualAlloc"):
        raise TypeError("x")


def test_numbers_of_secured_memory_never_come_again(world: World) -> None:
    """A number that was given back is not given out anew."""
    seen = set()
    for _ in range(100):
        number = win32.MmSecureVirtualMemory(world.page, 1, c.PAGE_READONLY)
        assert number not in seen
        seen.add(number)
        win32.MmUnsecureVirtualMemory(number)
        with pytest.raises(Win32Error) as caught:
            win32.MmUnsecureVirtualMemory(number)
        assert caught.value.winerror == c.ERROR_INVALID_HANDLE


@pytest.mark.skipif(sys.platform == "win32", reason="counts of strongroom's own: Windows has none")
def test_locks_by_either_name(world: World) -> None:
    """VirtualLock adds nothing to a locked page; VirtualUnlock undoes what Region.lock counted one by one."""
    region = regions.region_at(world.page)
    assert region is not None
    for _ in range(3):
        win32.VirtualLock(world.page, 1)
    assert region.pages(0, 1)[0].locks == 1
    win32.VirtualUnlock(world.page, 1)
    assert region.pages(0, 1)[0].locks == 0
    region.lock(0, 1)
    region.lock(0, 1)
    win32.VirtualLock(world.page, 1)
    assert [win32.VirtualUnlock(world.page, 1) and region.pages(0, 1)[0].locks for _ in range(2)] == [1, 0]
    with pytest.raises(Win32Error) as caught:
        win32.VirtualUnlock(world.page, 1)
    assert caught.value.winerror == c.ERROR_NOT_LOCKED
