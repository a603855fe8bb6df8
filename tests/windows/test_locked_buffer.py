"""A LockedBuffer's pages as VirtualQuery tells them, and its lock as the kernel below Wine does."""

import ctypes
import mmap
import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from observed import address_of, mapping_at, status_size
from strongroom import LockedBuffer, Secret

PAGE = mmap.PAGESIZE
READ_ONLY, READ_WRITE = 2, 4
under_wine = pytest.mark.skipif(not windows.HAS_WINE, reason="needs Wine: Windows does not tell what is locked in sum")


def first_page(buffer: LockedBuffer) -> int:
    """Return where the pages of a one-page buffer begin."""
    with buffer.open() as view:
        return address_of(view) // PAGE * PAGE


@pytest.mark.parametrize("size", [1, 32, PAGE, 5 * PAGE])
def test_pages_between_guards_in_one_reservation(size: int) -> None:
    """Committed pages, read-only at rest, between two reserved ones that nobody can touch; all private memory."""
    with LockedBuffer(size, isolated=True) as buffer:
        with buffer.open() as view:
            end = address_of(view) + size
        start = (end - size - 16) // PAGE * PAGE
        below, pages, above = (windows.region_at(address) for address in (start - PAGE, start, end))
        assert (below.state, below.size) == (windows.MEM_RESERVE, PAGE)
        assert (above.base, above.state, above.size) == (end, windows.MEM_RESERVE, PAGE)
        assert (pages.base, pages.base + pages.size) == (start, end)
        assert (pages.state, pages.protection, pages.kind) == (windows.MEM_COMMIT, READ_ONLY, windows.MEM_PRIVATE)
        assert below.allocation_base == pages.allocation_base == above.allocation_base == below.base
    assert windows.region_at(start).state == windows.MEM_FREE


def test_the_protection_follows_the_accesses() -> None:
    """Read-only while read, writable while written, read-only again after the writer."""
    with LockedBuffer(32, isolated=True) as buffer:
        start = first_page(buffer)
        with buffer.open():
            assert windows.region_at(start).protection == READ_ONLY
            with buffer.open("rw"):
                assert windows.region_at(start).protection == READ_WRITE
            assert windows.region_at(start).protection == READ_ONLY
        assert windows.region_at(start).protection == READ_ONLY


@under_wine
@pytest.mark.parametrize("pages", [1, 4])
def test_virtuallock_is_real(pages: int) -> None:
    """The kernel counts the pages as locked at rest, while open, and no more after the end."""
    before = status_size("VmLck")
    size = pages * PAGE - 16
    with LockedBuffer(size, isolated=True) as buffer:
        assert status_size("VmLck") == before + pages * PAGE
        with buffer.open("rw") as view:
            mapping = mapping_at(address_of(view))
            assert mapping is not None
            assert "lo" in mapping.flags
            assert status_size("VmLck") == before + pages * PAGE
        assert status_size("VmLck") == before + pages * PAGE
    assert status_size("VmLck") == before


@under_wine
def test_pages_that_become_inaccessible_keep_their_lock_only_here() -> None:
    """Why closed pages are readable: Windows unlocks them else (ERROR_WAS_UNLOCKED). Wine does not, so this run is no
    witness for the reason, only for the choice.
    """
    with LockedBuffer(32, isolated=True) as buffer:
        start, old = first_page(buffer), ctypes.c_ulong()
        assert windows.kernel32.VirtualProtect(start, PAGE, 1, ctypes.byref(old))
        mapping = mapping_at(start)
        assert mapping is not None
        assert mapping.permissions == "---p"
        assert "lo" in mapping.flags
        assert windows.kernel32.VirtualProtect(start, PAGE, old.value, ctypes.byref(old))


def states(buffer: LockedBuffer) -> dict[str, str]:
    """Return the words of a buffer's guarantees."""
    return {name: one.state for name, one in buffer.guarantees().items()}


def test_guarantees_are_read_back() -> None:
    """VirtualQuery shows guards and private pages; what Windows lacks is unavailable, and says why."""
    with LockedBuffer(32, isolated=True) as buffer:
        got = buffer.guarantees()
        words = states(buffer)
    assert (words["GUARDED"], words["NOT_IN_CHILD"]) == ("verified", "verified")
    rest = {name: state for name, state in words.items() if name not in ("LOCKED", "GUARDED", "NOT_IN_CHILD")}
    assert set(rest.values()) == {"unavailable"}
    assert "VirtualQuery" in got["GUARDED"].source
    assert "read-only" in got["CLOSED_AT_REST"].source


def test_a_lock_is_verified_by_its_bit() -> None:
    """QueryWorkingSetEx's Locked bit; under Wine, which never sets it, the lock stays what VirtualLock said."""
    with LockedBuffer(2 * PAGE, isolated=True) as buffer:
        one = buffer.guarantees()["LOCKED"]
    assert "QueryWorkingSetEx" in one.source
    assert one.state == ("requested" if windows.HAS_WINE else "verified")


def test_a_page_that_somebody_closed_is_no_longer_called_locked() -> None:
    """An inaccessible page has lost its lock on Windows: refused, though VirtualLock had succeeded."""
    with LockedBuffer(32, isolated=True) as buffer:
        start, old = first_page(buffer), ctypes.c_ulong()
        assert windows.kernel32.VirtualProtect(start, PAGE, 1, ctypes.byref(old))
        assert states(buffer)["LOCKED"] == "refused"
        assert windows.kernel32.VirtualProtect(start, PAGE, old.value, ctypes.byref(old))
        assert states(buffer)["LOCKED"] != "refused"


def test_a_guard_that_somebody_opened_is_seen() -> None:
    """Committing the page behind the last byte refutes GUARDED."""
    with LockedBuffer(32, isolated=True) as buffer:
        above = first_page(buffer) + PAGE
        assert windows.kernel32.VirtualAlloc(above, PAGE, windows.MEM_COMMIT, READ_WRITE) == above
        assert states(buffer)["GUARDED"] == "refused"


@under_wine
def test_an_opened_secret_is_in_locked_pages() -> None:
    """Room and key: locked, and a guard page right behind the last byte."""
    secret = Secret.random(40)
    with secret.open() as view:
        address = address_of(view)
        mapping = mapping_at(address)
        assert mapping is not None
        assert "lo" in mapping.flags
        assert windows.region_at(address + 40).state == windows.MEM_RESERVE
