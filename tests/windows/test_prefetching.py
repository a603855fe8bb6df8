"""PrefetchVirtualMemory beside kernel32's own, call by call; and what becomes of pages that have left."""

import ctypes
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from strongroom import vm
from strongroom.vm import win32

PAGE = vm.PAGE_SIZE
ME = -1  # GetCurrentProcess()


class Entry(ctypes.Structure):
    """WIN32_MEMORY_RANGE_ENTRY as C has it."""

    _fields_ = (("VirtualAddress", ctypes.c_void_p), ("NumberOfBytes", ctypes.c_size_t))


def theirs(process: int, count: int, entries: "ctypes.Array[Entry] | None", flags: int) -> int:
    """Kernel32's own: the code with which it fails, 0 if it does not."""
    ctypes.set_last_error(0)
    call = windows.kernel32.PrefetchVirtualMemory
    done = call(ctypes.c_void_p(process), ctypes.c_size_t(count), entries, ctypes.c_uint32(flags))
    return 0 if done else ctypes.get_last_error()


def ours(process: int, count: int, entries: "ctypes.Array[Entry] | None", flags: int) -> int:
    """The same of strongroom's, with the same structures."""
    try:
        assert win32.PrefetchVirtualMemory(process, count, entries, flags) is True
    except win32.Win32Error as error:
        return error.winerror
    return 0


@pytest.fixture
def memory() -> Iterator[int]:
    """Eight pages: 0 and 1 committed, 2 a guard, 3 closed, 4 to execute, the rest reserved."""
    address = win32.VirtualAlloc(None, 8 * PAGE, win32.MEM_RESERVE, win32.PAGE_READWRITE)
    win32.VirtualAlloc(address, 2 * PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
    for page, protection in ((2, 0x104), (3, win32.PAGE_NOACCESS), (4, win32.PAGE_EXECUTE_READ)):
        win32.VirtualAlloc(address + page * PAGE, PAGE, win32.MEM_COMMIT, protection)
    yield address
    win32.VirtualFree(address, 0, win32.MEM_RELEASE)


def test_the_same_codes(memory: int) -> None:
    """Each kind of page, ranges that are odd, empty or nowhere, and pointers to nothing: kernel32's code each time."""
    image = windows.kernel32._handle
    cases: list[tuple[int, list[tuple[int | None, int]] | None]] = [
        *((1, [(memory + page * PAGE, PAGE)]) for page in range(8)),
        (1, [(memory, 8 * PAGE)]),
        (1, [(memory + 5, PAGE)]),
        (1, [(memory - 64 * PAGE, 128 * PAGE)]),
        (1, [(image, PAGE)]),
        (1, [(None, PAGE)]),
        (3, [(memory, 1), (None, PAGE), (memory + PAGE, 1)]),
        (1, [(memory, 0)]),
        (2, [(memory, PAGE), (memory, 0)]),
        (0, [(memory, PAGE)]),
        (0, None),
        (1, None),
    ]
    codes = set()
    for index, (count, ranges) in enumerate(cases):
        entries = None if ranges is None else (Entry * len(ranges))(*[Entry(*each) for each in ranges])
        code = theirs(ME, count, entries, 0)
        assert ours(ME, count, entries, 0) == code, (index, code)
        codes.add(code)
    assert codes == {0, win32.ERROR_INVALID_PARAMETER, win32.ERROR_NOACCESS}


def test_what_wine_takes_and_we_do_not(memory: int) -> None:
    """Flags, other processes, ranges beyond user space: refused here, as docs/vm/win32.md has it."""
    here = (Entry * 1)(Entry(memory, PAGE))
    beyond = (Entry * 1)(Entry(memory, win32.ADDRESS_LIMIT))
    cases = ((ME, here, 1, 87), (ME, here, 0x80000000, 87), (1234, here, 0, 6), (0, here, 0, 6), (ME, beyond, 0, 87))
    for process, entries, flags, code in cases:
        assert ours(process, 1, entries, flags) == code
        if windows.HAS_WINE:
            assert theirs(process, 1, entries, flags) == 0, "Wine has changed: so must docs/vm/win32.md"


def test_pages_hold_what_they_held(memory: int) -> None:
    """Paged out or not, they come back; a guard page guards on, and no state changes."""
    region = win32.regions.region_at(memory)
    assert region is not None
    win32.RtlMoveMemory(memory, b"1337" * (PAGE // 2), 2 * PAGE)
    before = region.pages()
    region.page_out(0, 2 * PAGE)
    ranges = [win32.WIN32_MEMORY_RANGE_ENTRY(memory, 8 * PAGE)]
    assert win32.PrefetchVirtualMemory(ME, 1, ranges, 0) is True
    assert region.pages() == before
    assert windows.region_at(memory + 2 * PAGE).protection == 0x104
    assert region.read(0, 2 * PAGE) == b"1337" * (PAGE // 2)
