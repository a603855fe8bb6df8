"""PrefetchVirtualMemory: what comes back into memory, what is passed over, and with which code it is refused."""

import ctypes
import mmap
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pages
import vanishing
from pages import PAGE, needs_proc
from strongroom import vm
from strongroom.vm import win32
from strongroom.vm.win32 import PrefetchVirtualMemory, Win32Error

Range = win32.WIN32_MEMORY_RANGE_ENTRY
ME = -1  # GetCurrentProcess()
PAGES = 8
SIZE = PAGES * PAGE
MARKER = "SECRET-0451"
#: Seconds that a disk may take; nothing here waits for them on purpose.
DEADLINE_SECONDS = 20


class Entry(ctypes.Structure):
    """The structure as a C program has it."""

    _fields_ = (("VirtualAddress", ctypes.c_void_p), ("NumberOfBytes", ctypes.c_size_t))


def in_memory(address: int) -> list[int]:
    """The pages from there on that are, as mincore(2) tells other code."""
    libc, told = ctypes.CDLL(None, use_errno=True), ctypes.c_ubyte()
    places = [ctypes.c_void_p(address + page * PAGE) for page in range(PAGES)]
    answers = [(libc.mincore(place, ctypes.c_size_t(PAGE), ctypes.byref(told)), told.value & 1) for place in places]
    return [page for page, answer in enumerate(answers) if answer == (0, 1)]


def come(address: int, wanted: list[int]) -> list[int]:
    """What is in memory once it is what was wanted, or the time is over: nobody waits for the disk in the call."""
    end = time.monotonic() + DEADLINE_SECONDS
    while (found := in_memory(address)) != wanted and time.monotonic() < end:
        time.sleep(0.001)
    return found


def code_of(act: Callable[[], object]) -> int:
    """The code with which it fails, 0 if it does not."""
    try:
        assert act() is True
    except Win32Error as error:
        return error.winerror
    return 0


@pytest.fixture
def view(tmp_path: Path) -> Iterator[int]:
    """Eight pages of a file on its disk, none of them in memory."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    if kind.strip() in ("tmpfs", "ramfs"):
        pytest.skip("needs temporary files on a disk: set TMPDIR")
    path = tmp_path / "file"
    with path.open("w+b") as file:
        section = win32.CreateFileMapping(file.fileno(), None, win32.PAGE_READWRITE, 0, SIZE, None)
        address = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0)
        win32.RtlMoveMemory(address, bytes([7]) * SIZE, SIZE)
        win32.FlushViewOfFile(address, 0)
        for _ in vanishing.cpus_in_turn():  # a page may wait on one, unseen by others
            if vm.page_out(address, 0, SIZE).after == 0:
                break
        assert in_memory(address) == []
        yield address
        win32.UnmapViewOfFile(address)
        win32.CloseHandle(section)


@pytest.fixture
def memory() -> Iterator[int]:
    """Eight pages: 0 and 1 hold something, 2 and 3 nothing yet, 4 guards, 5 allows nothing, 6 and 7 are reserved."""
    address = win32.VirtualAlloc(None, SIZE, win32.MEM_RESERVE, win32.PAGE_READWRITE)
    win32.VirtualAlloc(address, 6 * PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
    win32.RtlMoveMemory(address, b"1337" * (PAGE // 2), 2 * PAGE)
    old = win32.DWORD()
    win32.VirtualProtect(address + 4 * PAGE, PAGE, win32.PAGE_READWRITE | win32.PAGE_GUARD, old)
    win32.VirtualProtect(address + 5 * PAGE, PAGE, win32.PAGE_NOACCESS, old)
    yield address
    win32.VirtualFree(address, 0, win32.MEM_RELEASE)


def picture(address: int) -> list[tuple[int, ...]]:
    """What VirtualQuery says of each page."""
    found: list[tuple[int, ...]] = []
    for page in range(PAGES):
        info = win32.MEMORY_BASIC_INFORMATION()
        win32.VirtualQuery(address + page * PAGE, info)
        found.append((info.State, info.Protect, info.Type, info.AllocationBase - address))
    return found


@needs_proc
def test_what_left_memory_comes_back(view: int) -> None:
    """All pages that the ranges touch, and no other; what they hold is the file's."""
    ranges = [Range(view + 6 * PAGE, 1), Range(view + 2 * PAGE - 1, 2)]
    assert PrefetchVirtualMemory(ME, 1, ranges, 0) is True
    assert come(view, [6]) == [6]
    assert PrefetchVirtualMemory(ME, 2, ranges, 0) is True
    assert come(view, [1, 2, 6]) == [1, 2, 6]
    assert vm.find_view(view).read() == bytes([7]) * SIZE  # type: ignore[union-attr]


@needs_proc
def test_structures_of_ctypes_will_do(view: int) -> None:
    """An array as a C program would pass it, NULL and all."""
    ranges = (Entry * 2)(Entry(None, PAGE), Entry(view + PAGE, 2 * PAGE))
    assert PrefetchVirtualMemory(ctypes.c_void_p(-1).value or 0, 2, ranges, 0) is True
    assert come(view, [1, 2]) == [1, 2]


@needs_proc
def test_what_is_not_there_is_passed_over(view: int, memory: int, tmp_path: Path) -> None:
    """NULL, what is free, and a hole in a range: no error, and what lies before and behind it comes all the same."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    with vm.reserve(SIZE, near=pages.FAR_AWAY) as gone:
        free = gone.address
    with (tmp_path / "file").open("rb") as file:  # another mapping of what the view shows
        place, size = ctypes.c_void_p(free + SIZE), ctypes.c_size_t(SIZE)
        other = libc.mmap(place, size, pages.PROT_READ, mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
    try:
        assert pages.others_unmap(other + 3 * PAGE, PAGE) == 0
        assert not pages.is_mapped(other + 3 * PAGE)
        assert not pages.is_mapped(free)
        places = [(None, PAGE), (free, PAGE), (memory, SIZE), (other, 6 * PAGE), (other + 7 * PAGE, 1)]
        ranges = [Range(*each) for each in places]
        assert PrefetchVirtualMemory(ME, len(ranges), ranges, 0) is True
        assert come(view, [0, 1, 2, 4, 5, 7]) == [0, 1, 2, 4, 5, 7]
    finally:
        assert pages.others_unmap(other, 3 * PAGE) == 0
        assert pages.others_unmap(other + 4 * PAGE, 4 * PAGE) == 0


def test_no_page_becomes_another(memory: int) -> None:
    """A guard guards on, what is reserved or forbidden stays so, what is locked is, and contents are the same."""
    win32.VirtualLock(memory, PAGE)
    before = picture(memory)
    for ranges in ([Range(memory, SIZE)], [Range(memory + page * PAGE, PAGE) for page in range(PAGES)]):
        assert PrefetchVirtualMemory(ME, len(ranges), ranges, 0) is True
    assert picture(memory) == before
    assert before[4][1] == win32.PAGE_READWRITE | win32.PAGE_GUARD
    assert win32.VirtualUnlock(memory, PAGE) is True
    held = bytearray(2 * PAGE)
    win32.RtlMoveMemory(held, memory, 2 * PAGE)
    assert held == b"1337" * (PAGE // 2)
    with pytest.raises(Win32Error) as raised:
        win32.RtlMoveMemory(held, memory + 4 * PAGE, 1)
    assert raised.value.winerror == win32.ERROR_NOACCESS  # the touch that it waited for


@needs_proc
def test_what_was_never_touched_takes_no_memory(memory: int) -> None:
    """There is nothing to bring: two pages have frames, before and after; touching a third one shows."""
    assert pages.resident(memory, 4 * PAGE) == 2
    assert PrefetchVirtualMemory(ME, 1, [Range(memory, SIZE)], 0) is True
    assert pages.resident(memory, 4 * PAGE) == 2
    win32.RtlMoveMemory(memory + 2 * PAGE, b"x", 1)
    assert pages.resident(memory, 4 * PAGE) == 3


def test_any_memory_of_the_process_and_physical_pages() -> None:
    """What strongroom did not allocate may be named, and a window too, whose pages are never paged out."""
    with mmap.mmap(-1, 2 * PAGE) as other:
        address = ctypes.addressof(ctypes.c_char.from_buffer(other))
        assert PrefetchVirtualMemory(ME, 1, [Range(address, 2 * PAGE)], 0) is True
    if sys.platform != "win32":  # Windows wants a privilege, and Wine has the names alone
        frames = [0]
        win32.AllocateUserPhysicalPages(ME, win32.DWORD(1), frames)
        window = win32.VirtualAlloc(None, 2 * PAGE, win32.MEM_RESERVE | win32.MEM_PHYSICAL, win32.PAGE_READWRITE)
        win32.MapUserPhysicalPages(window, 1, frames)
        win32.RtlMoveMemory(window, b"1337", 4)
        assert PrefetchVirtualMemory(ME, 1, [Range(window, 2 * PAGE)], 0) is True
        held = bytearray(4)
        win32.RtlMoveMemory(held, window, 4)
        assert held == b"1337"
        win32.FreeUserPhysicalPages(ME, win32.DWORD(1), frames)
        win32.VirtualFree(window, 0, win32.MEM_RELEASE)


def test_codes(memory: int) -> None:
    """Each argument in turn, with Windows' code."""
    one, end = [Range(memory, 1)], win32.ADDRESS_LIMIT
    wrong: list[tuple[int, tuple[Any, ...]]] = [
        (6, (None, 1, one, 0)),
        (6, (1234, 1, one, 0)),
        (87, (ME, 0, one, 0)),
        (87, (ME, 0, None, 0)),
        (87, (ME, 2, one, 0)),
        (87, (ME, 1, [], 0)),
        (87, (ME, 1, one, 1)),
        (87, (ME, -1, one, 0)),
        (87, (ME, 1, one, 1 << 32)),
        (998, (ME, 1, None, 0)),
        (87, (ME, 1, [Range(memory, 0)], 0)),
        (87, (ME, 1, [Range()], 0)),
        (87, (ME, 2, [Range(memory, 1), Range(memory, 0)], 0)),
        (87, (ME, 1, [Range(memory, end)], 0)),
        (87, (ME, 1, [Range(end, 1)], 0)),
        (87, (ME, 1, [Range(end - 1, 2)], 0)),
        (87, (ME, 1, [Range((1 << 64) - PAGE, PAGE)], 0)),
        (87, (ME, 1, [Range(memory, -1)], 0)),
        (87, (ME, 1, [Range(memory, 1 << 64)], 0)),
        (87, (ME, 1, [Range(-PAGE, 1)], 0)),
        (0, (ME, 1, [Range(end - 1, 1)], 0)),  # the controls: the last address, more room than it takes
        (0, (ME, 1, (Range(memory, 1), None), 0)),
        (0, ((1 << 64) - 1, 1, one, 0)),
    ]
    for index, (code, arguments) in enumerate(wrong):
        assert code_of(lambda arguments=arguments: PrefetchVirtualMemory(*arguments)) == code, index  # type: ignore[misc]


class Hostile:
    """A sequence, or a range, that raises what its words should not reach anybody."""

    def __getattr__(self, name: str) -> object:
        raise ZeroDivisionError(MARKER) if name == "VirtualAddress" else AttributeError(name)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> object:
        raise ZeroDivisionError(MARKER)


@pytest.mark.parametrize(
    ("ranges", "named"),
    [
        (7, "VirtualAddresses must be a sequence"),
        (MARKER, "VirtualAddresses must be a sequence"),
        ({0: Range(0, 1)}, "VirtualAddresses must be a sequence"),
        (Range(0, 1), "VirtualAddresses must be a sequence"),
        (Hostile(), "VirtualAddresses must be a sequence"),
        ([MARKER], r"VirtualAddresses\[0\] must be a WIN32_MEMORY_RANGE_ENTRY, not str"),
        ([Hostile()], r"VirtualAddresses\[0\] must be a WIN32_MEMORY_RANGE_ENTRY, not Hostile"),
        ([Range(MARKER, 1)], r"VirtualAddresses\[0\].VirtualAddress must be an integer, not str"),  # type: ignore[arg-type]
        ([Range(0, None)], r"VirtualAddresses\[0\].NumberOfBytes must be an integer, not None"),  # type: ignore[arg-type]
        ([Range(0, True)], r"VirtualAddresses\[0\].NumberOfBytes must be an integer, not bool"),
    ],
)
def test_wrong_types(ranges: Any, named: str) -> None:
    """A TypeError names the argument, the entry and the field, and quotes nothing."""
    with pytest.raises(TypeError, match=named) as raised:
        PrefetchVirtualMemory(ME, 1, ranges, 0)
    assert MARKER not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@needs_proc
def test_what_is_wrong_is_found_first(view: int) -> None:
    """One bad entry at the end, and nothing is brought in; without it all is."""
    good = Range(view, 4 * PAGE)
    for bad, error in ((Range(view, 0), Win32Error), (object(), TypeError), (Range(1.5, 1), TypeError)):  # type: ignore[arg-type]
        with pytest.raises(error):
            PrefetchVirtualMemory(ME, 2, [good, bad], 0)  # type: ignore[list-item]
    assert in_memory(view) == []
    time.sleep(0.05)  # long enough for what would have been begun
    assert in_memory(view) == []
    assert PrefetchVirtualMemory(ME, 1, [good], 0) is True
    assert come(view, [0, 1, 2, 3]) == [0, 1, 2, 3]
