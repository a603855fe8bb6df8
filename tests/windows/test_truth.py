"""The readers that the other tests trust here: what they say of memory whose state is known."""

import ctypes
import mmap
import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from observed import Memory, address_of, descriptors, mapping_at, protection_at, status_size

under_wine = pytest.mark.skipif(not windows.HAS_WINE, reason="needs Wine: Windows has no Linux kernel below it to ask")


def made(protection: int) -> int:
    """Return the address of two pages: one with this protection, one only reserved."""
    address: int = windows.kernel32.VirtualAlloc(0, 2 * mmap.PAGESIZE, windows.MEM_RESERVE, protection)
    assert windows.kernel32.VirtualAlloc(address, mmap.PAGESIZE, windows.MEM_COMMIT, protection) == address
    return address


@pytest.mark.parametrize(("protection", "told"), [(1, "---"), (2, "r--"), (4, "rw-"), (0x20, "r-x"), (0x40, "rwx")])
def test_protections_are_told(protection: int, told: str) -> None:
    """Each page by itself; reserved pages are inaccessible, freed ones gone."""
    address = made(protection)
    assert protection_at(address) == told
    assert protection_at(address + mmap.PAGESIZE) == "---"
    assert windows.kernel32.VirtualFree(address, 0, 0x8000)
    assert protection_at(address) == "gone"


def test_a_lock_is_told() -> None:
    """VirtualLock shows on the page and in the process's sum, VirtualUnlock takes both back."""
    if not windows.HAS_WINE:
        pytest.skip("needs Wine for the sum of locked bytes; Windows does not tell it")
    address, before = made(4), status_size("VmLck")
    mapping = mapping_at(address)
    assert mapping is not None
    assert "lo" not in mapping.flags
    assert windows.kernel32.VirtualLock(ctypes.c_size_t(address), ctypes.c_size_t(mmap.PAGESIZE))
    mapping = mapping_at(address)
    assert mapping is not None
    assert "lo" in mapping.flags
    assert status_size("VmLck") == before + mmap.PAGESIZE
    assert windows.kernel32.VirtualUnlock(address, mmap.PAGESIZE)
    assert status_size("VmLck") == before
    assert windows.kernel32.VirtualFree(address, 0, 0x8000)


@under_wine
def test_the_kernel_below_is_asked_about_this_process() -> None:
    """The number that a bare system call gives is this process's: its listing has a page made just now, as made."""
    address = made(2)
    listing = windows.parse_smaps(windows.kernel_file("smaps"))
    mapping = mapping_at(address, listing)
    assert mapping is not None
    assert mapping.permissions[:3] == "r--"
    assert windows.kernel32.VirtualFree(address, 0, 0x8000)


def test_memory_is_read_and_searched() -> None:
    """Through the process's own handle: content, an address that is not mapped, and how often something occurs."""
    content = bytearray(range(200, 240))
    with Memory(windows.kernel32.GetCurrentProcessId()) as memory:
        assert memory.read(address_of(content), 40) == content
        assert memory.read(0, 1) is None
        assert memory.count(bytes(content)) >= 2  # here, and the argument


def test_open_handles_are_counted() -> None:
    """One file more, one handle more."""
    before = descriptors()
    with open(__file__, "rb"):
        assert descriptors() == before + 1
    assert descriptors() == before
