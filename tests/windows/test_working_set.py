"""Pages that leave the working set and come back, and what Windows tells of it."""

import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import subprocess

import observed_windows as windows
from strongroom import AccessError, SecuredError, UnsupportedError, vm
from strongroom.vm import win32

PAGE = vm.PAGE_SIZE
no_wine = pytest.mark.skipif(windows.HAS_WINE, reason="needs Windows: Wine's call says yes and does nothing")


@pytest.fixture
def region() -> Iterator[vm.Region]:
    """Four pages with the same bytes in each."""
    with vm.allocate(4 * PAGE) as made:
        made.fill(0, None, 7)
        yield made


def test_paging_out_keeps_what_pages_hold(region: vm.Region) -> None:
    """Whatever became of the pages, it is counted, and they hold what they held."""
    moved = region.page_out()
    assert (moved.asked, moved.before) == (4, 4)
    assert region.read() == bytes([7]) * 4 * PAGE
    assert region.prefetch()[::2] == (4, 4)


@no_wine
def test_paging_out_empties_the_working_set(region: vm.Region) -> None:
    """QueryWorkingSetEx says that they have left, and a touch brings one back."""
    assert region.page_out()[:3] == (4, 4, 0)
    region.read(0, 1)
    assert region.prefetch(0, PAGE, wait=False).before == 1


def test_locked_pages_are_refused(region: vm.Region) -> None:
    """VirtualUnlock would end the lock; nothing is asked of the system."""
    region.lock(PAGE, PAGE)
    for act in (region.page_out, region.reset):
        with pytest.raises(AccessError, match="0x1000 is locked"):
            act()
    assert region.pages()[1].locks == 1


def test_other_memory_is_refused() -> None:
    """Whether somebody has it locked nobody here knows for sure."""
    address = windows.kernel32.VirtualAlloc(0, PAGE, windows.MEM_RESERVE | 0x1000, 4)
    with pytest.raises(UnsupportedError, match="regions"):
        vm.page_out(address, 0, PAGE)
    assert vm.prefetch(address, 0, PAGE).after == 1
    assert windows.kernel32.VirtualFree(address, 0, 0x8000)


def test_reset(region: vm.Region) -> None:
    """Each page holds what it held, or zeros; what is written afterwards stays; undoing says what it was."""
    assert region.reset(0, 2 * PAGE) == (0, 2 * PAGE)
    held = region.read(0, 2 * PAGE)
    assert all(held[page : page + PAGE] in (bytes(PAGE), bytes([7]) * PAGE) for page in (0, PAGE))
    is_whole = region.undo_reset(0, 2 * PAGE)
    assert not is_whole or region.read(0, 2 * PAGE) == bytes([7]) * 2 * PAGE
    region.write(0, b"new")
    assert region.read(0, 3) == b"new"
    assert region.read(2 * PAGE) == bytes([7]) * 2 * PAGE
    with region.secure(), pytest.raises(SecuredError):
        region.reset()


def test_faults() -> None:
    """One number for both kinds; Wine counts none."""
    with vm.allocate(64 * PAGE) as fresh:
        before = vm.faults()
        fresh.fill()
        after = vm.faults()
    assert before.major is after.major is None
    assert after.minor - before.minor >= (0 if windows.HAS_WINE else 64)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        told = vm.faults(other.pid)
        assert told.major is None
        assert told.minor >= 0
        other.communicate(b"x\n")
    with pytest.raises(UnsupportedError, match="thread"):
        vm.faults(thread=True)


def test_what_the_system_tells() -> None:
    """The addresses of programs, and nothing of frames and clusters."""
    layout = vm.layout()
    assert layout.user_start == vm.GRANULARITY
    assert layout.user_end <= 1 << 47
    assert (layout.bits, layout.kernel_start) == (48, (1 << 64) - (1 << 47))
    for ask in (vm.clustering, lambda: vm.translate(layout.user_start)):
        with pytest.raises(UnsupportedError):
            ask()


@pytest.mark.skipif(windows.HAS_WINE, reason="needs Windows: Wine's EnumPageFiles is a stub")
def test_page_files() -> None:
    """Each has a name, and is filled as far as it is large at most."""
    for file in vm.page_files():
        assert file.used <= file.size
        assert file.path


def test_what_no_memory_is_takes_no_time() -> None:
    """Terabytes of addresses that nothing lies at are refused at once, reserved ones too."""
    with vm.reserve(1 << 40) as region:
        for place in (region.address, 1 << 16):
            with pytest.raises(OSError, match="VirtualQuery"):
                vm.prefetch(place, 1 << 39, 1 << 40, wait=False)


def test_resets_by_windows_names() -> None:
    """MEM_RESET succeeds whatever it does; MEM_RESET_UNDO is true, or says that something is lost."""
    address = win32.VirtualAlloc(0, 2 * PAGE, win32.MEM_RESERVE | win32.MEM_COMMIT, win32.PAGE_READWRITE)
    win32.RtlMoveMemory(address, b"1337", 4)
    assert win32.VirtualAlloc(address, PAGE, win32.MEM_RESET, win32.PAGE_READWRITE) == address
    try:
        code = win32.VirtualAlloc(address, PAGE, win32.MEM_RESET_UNDO, win32.PAGE_READWRITE) - address
    except win32.Win32Error as error:
        code = error.winerror
    assert code in (0, win32.ERROR_BUSY)
    assert win32.VirtualFree(address, 0, win32.MEM_RELEASE)
