"""MEM_RESET and MEM_RESET_UNDO by Windows' names: what is forgotten, what is kept, and with which code."""

import pytest

from pages import PAGE, needs_proc
from strongroom import _native
from strongroom.vm import win32

BOTH = win32.MEM_RESERVE | win32.MEM_COMMIT


def allocated() -> int:
    """Four pages that hold something."""
    address = win32.VirtualAlloc(0, 4 * PAGE, BOTH, win32.PAGE_READWRITE)
    win32.RtlMoveMemory(address, b"1337" * PAGE, 4 * PAGE)
    return address


def code_of(address: int, size: int, how: int) -> int:
    """The code with which it fails, 0 if it does not."""
    try:
        assert win32.VirtualAlloc(address, size, how, win32.PAGE_READWRITE) in range(address - PAGE, address + 1)
    except win32.Win32Error as error:
        return error.winerror
    return 0


@needs_proc
def test_a_reset_is_one() -> None:
    """The kernel may drop the pages, which it does when it is to page them out; then undoing fails with 170."""
    address = allocated()
    region = _native.find_region(address)
    assert region is not None
    assert code_of(address, 3 * PAGE, win32.MEM_RESET) == 0
    assert code_of(address, PAGE, win32.MEM_RESET_UNDO) == 0
    win32.RtlMoveMemory(address, b"\0" * PAGE, PAGE)  # as if it had been dropped
    assert code_of(address, 2 * PAGE, win32.MEM_RESET_UNDO) == win32.ERROR_BUSY
    assert code_of(address + 3 * PAGE, PAGE, win32.MEM_RESET_UNDO) == 0
    win32.VirtualFree(address, 0, win32.MEM_RELEASE)


def test_what_may_not_be_forgotten_is_kept() -> None:
    """Locked and secured pages keep what they hold, and the call succeeds: Windows promises no more of it."""
    address = allocated()
    handle = win32.MmSecureVirtualMemory(address, PAGE, win32.PAGE_READWRITE)
    win32.VirtualLock(address + PAGE, PAGE)
    assert code_of(address, PAGE, win32.MEM_RESET) == 0
    assert code_of(address + PAGE, PAGE, win32.MEM_RESET) == 0
    region = _native.find_region(address)
    assert region is not None
    assert region.read(0, 2 * PAGE) == b"1337" * (PAGE // 2)
    assert code_of(address + PAGE, PAGE, win32.MEM_RESET_UNDO) in (win32.ERROR_NOACCESS, win32.ERROR_NOT_SUPPORTED)
    win32.VirtualUnlock(address + PAGE, PAGE)
    win32.MmUnsecureVirtualMemory(handle)
    win32.VirtualFree(address, 0, win32.MEM_RELEASE)


@pytest.mark.parametrize("how", [win32.MEM_RESET, win32.MEM_RESET_UNDO])
def test_neither_goes_with_anything_else(how: int) -> None:
    """Both flags, or one with another, or of nothing: 87 and 487."""
    address = allocated()
    for other in (win32.MEM_COMMIT, win32.MEM_TOP_DOWN, win32.MEM_RESET | win32.MEM_RESET_UNDO):
        if other != how:
            assert code_of(address, PAGE, how | other) == win32.ERROR_INVALID_PARAMETER
    win32.VirtualFree(address, 0, win32.MEM_RELEASE)
    assert code_of(address, PAGE, how) == win32.ERROR_INVALID_ADDRESS
