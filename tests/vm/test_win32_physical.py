"""Windows' own calls for physical pages, by their names, arguments and codes."""

import gc
from collections.abc import Callable
from functools import partial

import pytest

import observed
from pages import PAGE, needs_proc
from strongroom import _native, vm
from strongroom.vm import win32
from strongroom.vm.win32 import DWORD, Win32Error

pytestmark = needs_proc
ME = -1  # GetCurrentProcess()
PHYSICAL = win32.MEM_RESERVE | win32.MEM_PHYSICAL


def _locked() -> int:
    """What is locked by what is in use: not by what earlier tests left, and nobody has collected."""
    gc.collect()
    return observed.status_size("VmLck")


def _code(act: Callable[[], object]) -> int:
    with pytest.raises(Win32Error) as raised:
        act()
    return raised.value.winerror


def _allocated(count: int) -> list[int]:
    frames = [0] * count
    assert win32.AllocateUserPhysicalPages(ME, DWORD(count), frames) is True
    return frames


def _filled(count: int) -> tuple[int, list[int]]:
    """A window, and as many pages, each with its place in the list."""
    frames = _allocated(count)
    window = win32.VirtualAlloc(None, count * PAGE, PHYSICAL, win32.PAGE_READWRITE)
    assert win32.MapUserPhysicalPages(window, count, frames)
    for index in range(count):
        win32.RtlMoveMemory(window + index * PAGE, b"%04d" % index, 4)
    return window, frames


def _read(address: int) -> bytes:
    room = bytearray(4)
    win32.RtlMoveMemory(room, address, 4)
    return bytes(room)


def test_the_sequence_of_the_documents() -> None:
    """Reserve, allocate, map, write, map others: each page has what was written to it, and all goes back."""
    before = _locked()
    window, frames = _filled(4)
    assert len(set(frames)) == 4
    other = win32.VirtualAlloc(None, 2 * PAGE, PHYSICAL, win32.PAGE_READWRITE)
    assert win32.MapUserPhysicalPages(window, 4, None)
    assert win32.MapUserPhysicalPages(other, 2, [frames[3], frames[1]])
    assert [_read(other), _read(other + PAGE)] == [b"0003", b"0001"]
    assert win32.MapUserPhysicalPagesScatter([window + PAGE, other + PAGE], 2, [frames[1], 0])
    assert _read(window + PAGE) == b"0001"
    assert _code(lambda: _read(other + PAGE)) == win32.ERROR_NOACCESS
    assert win32.FreeUserPhysicalPages(ME, DWORD(4), frames)
    assert _code(lambda: _read(window + PAGE)) == win32.ERROR_NOACCESS
    assert win32.VirtualFree(window, 0, win32.MEM_RELEASE)
    assert win32.VirtualFree(other, 0, win32.MEM_RELEASE)
    assert _locked() == before


def test_pages_of_several_allocations_and_places_at_once() -> None:
    """A map takes pages from wherever they come, also when they change places; a refused one leaves what was shown."""
    window, first = _filled(4)
    second = _allocated(2)
    assert win32.MapUserPhysicalPages(window, 4, [first[2], second[0], first[0], second[1]])
    assert [_read(window), _read(window + PAGE), _read(window + 2 * PAGE)] == [b"0002", bytes(4), b"0000"]
    other = win32.VirtualAlloc(None, PAGE, PHYSICAL, win32.PAGE_READWRITE)
    assert win32.MapUserPhysicalPages(other, 1, [first[1]])
    wrong = [first[3], first[1], second[1], first[0]]  # the second is in the other window
    assert _code(lambda: win32.MapUserPhysicalPages(window, 4, wrong)) == win32.ERROR_INVALID_PARAMETER
    assert [_read(window), _read(window + 2 * PAGE), _read(other)] == [b"0002", b"0000", b"0001"]
    everything = [window + index * PAGE for index in range(4)]
    assert win32.MapUserPhysicalPagesScatter(everything, 4, None)
    assert {_code(partial(_read, at)) for at in everything} == {win32.ERROR_NOACCESS}
    for frames in (first, second):
        assert win32.FreeUserPhysicalPages(ME, DWORD(len(frames)), frames)
    for address in (window, other):
        assert win32.VirtualFree(address, 0, win32.MEM_RELEASE)


def test_what_is_freed_is_zeros_and_gone() -> None:
    """Pages freed one by one: their numbers are nobody's any more, the others stay; the memory goes with the last."""
    before = _locked()
    window, frames = _filled(3)
    assert win32.FreeUserPhysicalPages(ME, DWORD(1), frames[1:2])
    assert [_read(window), _read(window + 2 * PAGE)] == [b"0000", b"0002"]
    again = partial(win32.MapUserPhysicalPages, window, 1, frames[1:2])
    assert _code(again) == win32.ERROR_INVALID_PARAMETER
    assert _code(lambda: win32.FreeUserPhysicalPages(ME, DWORD(2), frames)) == win32.ERROR_INVALID_PARAMETER
    assert win32.FreeUserPhysicalPages(ME, DWORD(2), [frames[0], frames[2]])
    assert win32.VirtualFree(window, 0, win32.MEM_RELEASE)
    assert _locked() == before


def test_codes_of_what_is_wrong() -> None:
    """Each argument in turn, with Windows' code; nothing is shown, taken or given back."""
    window, frames = _filled(2)
    ordinary = win32.VirtualAlloc(None, PAGE, win32.MEM_RESERVE, win32.PAGE_READWRITE)
    one = DWORD(1)
    wrong: list[tuple[int, Callable[[], object]]] = [
        (6, lambda: win32.AllocateUserPhysicalPages(1234, one, [0])),
        (998, lambda: win32.AllocateUserPhysicalPages(ME, None, [0])),
        (87, lambda: win32.AllocateUserPhysicalPages(ME, DWORD(0), [0])),
        (87, lambda: win32.AllocateUserPhysicalPages(ME, DWORD(2), [0])),
        (87, lambda: win32.MapUserPhysicalPages(ordinary, 1, frames)),
        (87, lambda: win32.MapUserPhysicalPages(0, 1, frames)),
        (87, lambda: win32.MapUserPhysicalPages(window, 3, None)),
        (87, lambda: win32.MapUserPhysicalPages(window, 2, frames[:1])),
        (87, lambda: win32.MapUserPhysicalPages(window, 1, [7])),
        (87, lambda: win32.MapUserPhysicalPages(window, 2, [frames[0], frames[0]])),
        (87, lambda: win32.MapUserPhysicalPagesScatter([window, ordinary], 2, frames)),
        (6, lambda: win32.FreeUserPhysicalPages(1234, one, frames)),
        (998, lambda: win32.FreeUserPhysicalPages(ME, None, frames)),
        (87, lambda: win32.FreeUserPhysicalPages(ME, DWORD(2), [frames[0], frames[0]])),
        (87, lambda: win32.FreeUserPhysicalPages(ME, DWORD(2), [frames[0], 7])),
        (87, lambda: win32.VirtualAlloc(None, PAGE, PHYSICAL | win32.MEM_COMMIT, win32.PAGE_READWRITE)),
        (87, lambda: win32.VirtualAlloc(None, PAGE, PHYSICAL, win32.PAGE_READONLY)),
        (87, lambda: win32.VirtualAlloc(None, 0, PHYSICAL, win32.PAGE_READWRITE)),
        (50, lambda: win32.VirtualAlloc(0x10000, PAGE, PHYSICAL, win32.PAGE_READWRITE)),
        (50, lambda: win32.VirtualFree(window, PAGE, win32.MEM_DECOMMIT)),
        (998, lambda: win32.VirtualLock(window, PAGE)),
    ]
    for index, (code, act) in enumerate(wrong):
        assert _code(act) == code, index
    for no_sequence in (1, None, "12"):
        with pytest.raises(TypeError, match="PageArray must be a sequence"):
            win32.AllocateUserPhysicalPages(ME, one, no_sequence)  # type: ignore[arg-type]
    assert [_read(window), _read(window + PAGE)] == [b"0000", b"0001"]
    handle = win32.MmSecureVirtualMemory(window, PAGE, win32.PAGE_READWRITE)
    assert _code(lambda: win32.MapUserPhysicalPages(window, 2, None)) == win32.ERROR_INVALID_PARAMETER
    assert _code(lambda: win32.FreeUserPhysicalPages(ME, DWORD(2), frames)) == win32.ERROR_INVALID_PARAMETER
    win32.MmUnsecureVirtualMemory(handle)
    assert win32.FreeUserPhysicalPages(ME, DWORD(2), frames)
    for address in (window, ordinary):
        assert win32.VirtualFree(address, 0, win32.MEM_RELEASE)


def test_it_is_the_same_window() -> None:
    """What VirtualAlloc reserved is a vm.Window, and vm's calls and Windows' are of one mind."""
    window, frames = _filled(2)
    (found,) = [each for each in _native.regions() if each.address == window]
    assert isinstance(found, vm.Window)
    assert [(offset, size, page) for offset, size, _, page in found.shown()] == [(0, 2 * PAGE, 0)]
    old = DWORD()
    assert win32.VirtualProtect(window, PAGE, win32.PAGE_READONLY, old)
    assert old.value == win32.PAGE_READWRITE
    assert win32.FreeUserPhysicalPages(ME, DWORD(2), frames)
    assert win32.VirtualFree(window, 0, win32.MEM_RELEASE)
