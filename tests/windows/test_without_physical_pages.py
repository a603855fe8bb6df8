"""Physical pages where the system has only their names: Wine says so in one error, and nothing is left."""

import ctypes
import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

from strongroom import UnsupportedError, vm
from strongroom.vm import win32

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"),
    reason="needs Wine: Windows itself has physical pages, for who has the privilege",
)


def test_stores_are_refused() -> None:
    """AllocateUserPhysicalPages is not implemented there; the other kinds are not Windows'."""
    for backing in ("auto", "awe", "secretmem", "locked"):
        with pytest.raises(UnsupportedError, match="no such physical pages"):
            vm.physical(4096, backing=backing)


def test_windows_are_refused() -> None:
    """VirtualAlloc takes no MEM_PHYSICAL there."""
    with pytest.raises(UnsupportedError, match="no windows for physical pages"):
        vm.window(65536)


def test_windows_own_names_say_the_same() -> None:
    """ERROR_NOT_SUPPORTED, for both."""
    frames = [0] * 4
    with pytest.raises(win32.Win32Error) as raised:
        win32.AllocateUserPhysicalPages(-1, win32.DWORD(4), frames)
    assert raised.value.winerror == win32.ERROR_NOT_SUPPORTED
    assert frames == [0] * 4
    with pytest.raises(win32.Win32Error) as raised:
        win32.VirtualAlloc(None, 65536, win32.MEM_RESERVE | win32.MEM_PHYSICAL, win32.PAGE_READWRITE)
    assert raised.value.winerror == win32.ERROR_NOT_SUPPORTED
