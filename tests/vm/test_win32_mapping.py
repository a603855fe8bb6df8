"""CreateFileMapping and its family: Windows' rules and codes, and what reaches files and other processes."""

import gc
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sections
from strongroom.vm.win32 import (
    DWORD,
    MEMORY_BASIC_INFORMATION,
    CloseHandle,
    CreateFileMapping,
    FlushViewOfFile,
    GetLastError,
    MapViewOfFile,
    OpenFileMapping,
    RtlMoveMemory,
    UnmapViewOfFile,
    VirtualAlloc,
    VirtualFree,
    VirtualLock,
    VirtualProtect,
    VirtualQuery,
    VirtualUnlock,
    Win32Error,
)
from strongroom.vm.win32.constants import (
    ALLOCATION_GRANULARITY,
    ERROR_ACCESS_DENIED,
    ERROR_ALREADY_EXISTS,
    ERROR_FILE_INVALID,
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_MAPPED_ALIGNMENT,
    ERROR_NOACCESS,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_SUPPORTED,
    ERROR_PATH_NOT_FOUND,
    FILE_MAP_ALL_ACCESS,
    FILE_MAP_COPY,
    FILE_MAP_EXECUTE,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    INVALID_HANDLE_VALUE,
    MEM_COMMIT,
    MEM_MAPPED,
    MEM_RELEASE,
    MEM_RESERVE,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    SEC_COMMIT,
    SEC_IMAGE,
    SEC_LARGE_PAGES,
    SEC_NOCACHE,
    SEC_RESERVE,
)

SIZE = 3 * ALLOCATION_GRANULARITY


def fails(code: int, call: Callable[..., Any], *arguments: Any) -> None:
    """The call raises exactly this code."""
    with pytest.raises(Win32Error) as caught:
        call(*arguments)
    assert caught.value.winerror == code, caught.value


def second(code: str, *arguments: str) -> str:
    """Run code in another process; return what it printed."""
    return sections.second(
        code, *arguments, prelude="import sys\nfrom strongroom.vm.win32 import *\nname = sys.argv[1]\n"
    )


def read(address: int, size: int) -> bytes:
    """Copy bytes from anywhere, by way of an allocation."""
    from strongroom.vm.win32.regions import region_at

    scratch = VirtualAlloc(None, size, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE)
    try:
        RtlMoveMemory(scratch, address, size)
        region = region_at(scratch)
        assert region is not None
        return region.read(0, size)
    finally:
        VirtualFree(scratch, 0, MEM_RELEASE)


@pytest.fixture
def memory() -> Iterator[int]:
    handle = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, SIZE, None)
    yield handle
    CloseHandle(handle)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * (SIZE // 256))
    return file


def test_three_processes_one_file(path: Path) -> None:
    """Two processes write into one file's section; a third maps the file after both ended and sees it all."""
    write = (
        "f = open(name, 'r+b'); h = CreateFileMapping(f.fileno(), None, PAGE_READWRITE, 0, 0, None); f.close()\n"
        "p = MapViewOfFile(h, FILE_MAP_WRITE, 0, 65536, 0); CloseHandle(h)\n"
        "RtlMoveMemory(p + int(sys.argv[2]), sys.argv[3].encode(), 5); FlushViewOfFile(p, 0); UnmapViewOfFile(p)"
    )
    second(write, str(path), "0", "first")
    second(write, str(path), "70000", "other")
    with path.open("rb") as file:
        handle = CreateFileMapping(file.fileno(), None, PAGE_READONLY, 0, 0, None)
    view = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, 0)
    assert (read(view + 65536, 5), read(view + 135536, 5)) == (b"first", b"other")
    assert UnmapViewOfFile(view)
    assert CloseHandle(handle)
    assert path.read_bytes()[65536:65541] == b"first"


def test_a_named_section_is_shared_and_gone_with_its_last_user() -> None:
    """Another process opens the name, finds what was written and answers; the last view's end ends the name."""
    name = f"Local\\strongroom {uuid.uuid4()}"
    handle = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, SIZE, name)
    assert GetLastError() == 0
    view = MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 0)
    RtlMoveMemory(view, b"ping", 4)
    answer = (
        "h = OpenFileMapping(FILE_MAP_ALL_ACCESS, False, name); p = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, 0)\n"
        "from strongroom import vm; print(vm.find_view(p).read(0, 4).decode()); RtlMoveMemory(p, b'pong', 4)\n"
        "CreateFileMapping(-1, None, PAGE_READWRITE, 0, 1, name); print(GetLastError())"
    )
    assert second(answer, name).split() == ["ping", str(ERROR_ALREADY_EXISTS)]
    assert read(view, 4) == b"pong"
    CloseHandle(handle)
    CloseHandle(OpenFileMapping(FILE_MAP_READ, False, name))  # a view keeps the name
    UnmapViewOfFile(view)
    fails(ERROR_FILE_NOT_FOUND, OpenFileMapping, FILE_MAP_READ, False, name)


def test_copy_on_write_stays_private(path: Path) -> None:
    """FILE_MAP_COPY: what is written is neither in the file nor in another view of the section."""
    before = path.read_bytes()
    with path.open("rb") as file:
        handle = CreateFileMapping(file.fileno(), None, PAGE_WRITECOPY, 0, 0, None)
    copy, other = MapViewOfFile(handle, FILE_MAP_COPY, 0, 0, 0), MapViewOfFile(handle, FILE_MAP_READ, 0, 0, 0)
    CloseHandle(handle)
    RtlMoveMemory(copy + 10, b"mine", 4)
    FlushViewOfFile(copy, 0)
    assert (read(copy + 10, 4), read(other + 10, 4)) == (b"mine", before[10:14])
    UnmapViewOfFile(copy)
    UnmapViewOfFile(other)
    assert path.read_bytes() == before


def test_offsets_and_sizes(memory: int) -> None:
    """Offsets are multiples of 64 KiB, a view lies within its section, 0 bytes mean up to the end."""
    for offset in (1, 4096, ALLOCATION_GRANULARITY - 1):
        fails(ERROR_MAPPED_ALIGNMENT, MapViewOfFile, memory, FILE_MAP_READ, 0, offset, 1)
    fails(ERROR_ACCESS_DENIED, MapViewOfFile, memory, FILE_MAP_READ, 0, 0, SIZE + 1)
    fails(ERROR_ACCESS_DENIED, MapViewOfFile, memory, FILE_MAP_READ, 0, SIZE, 1)
    fails(ERROR_ACCESS_DENIED, MapViewOfFile, memory, FILE_MAP_READ, 1, 0, 0)
    view = MapViewOfFile(memory, FILE_MAP_WRITE, 0, ALLOCATION_GRANULARITY, 0)
    RtlMoveMemory(view + 2 * ALLOCATION_GRANULARITY - 4, b"last", 4)
    fails(ERROR_INVALID_ADDRESS, RtlMoveMemory, view + 2 * ALLOCATION_GRANULARITY - 4, b"beyond", 6)
    UnmapViewOfFile(view)


def test_empty_and_small_files(tmp_path: Path) -> None:
    """An empty file without a size is ERROR_FILE_INVALID; with one it grows, unless it is only read."""
    path = tmp_path / "empty"
    with path.open("w+b") as file:
        fails(ERROR_FILE_INVALID, CreateFileMapping, file.fileno(), None, PAGE_READWRITE, 0, 0, None)
        fails(ERROR_NOT_ENOUGH_MEMORY, CreateFileMapping, file.fileno(), None, PAGE_READONLY, 0, 10, None)
        CloseHandle(CreateFileMapping(file.fileno(), None, PAGE_READWRITE, 0, 10, None))
    assert path.read_bytes() == bytes(10)


@pytest.mark.parametrize("protect", [0, 1, 0x10, 3, 0x104, PAGE_READWRITE | SEC_COMMIT | SEC_RESERVE, 1 << 33])
def test_protections_that_are_none(protect: int) -> None:
    """A section is not made with a protection that sections do not have."""
    fails(ERROR_INVALID_PARAMETER, CreateFileMapping, INVALID_HANDLE_VALUE, None, protect, 0, 4096, None)


def test_what_cannot_be_had(path: Path) -> None:
    """Images, reserved sections and named files are refused, by a code of their own."""
    for attribute in (SEC_IMAGE, SEC_RESERVE, SEC_LARGE_PAGES, SEC_NOCACHE):
        arguments = (INVALID_HANDLE_VALUE, None, PAGE_READWRITE | attribute, 0, 4096, None)
        fails(ERROR_NOT_SUPPORTED, CreateFileMapping, *arguments)
    with path.open("r+b") as file:
        fails(ERROR_NOT_SUPPORTED, CreateFileMapping, file.fileno(), None, PAGE_READWRITE, 0, 0, "name")
    fails(ERROR_PATH_NOT_FOUND, CreateFileMapping, INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 1, "a\\b")


def test_handles(path: Path, memory: int) -> None:
    """What is no handle, or one no more, is ERROR_INVALID_HANDLE; so is a descriptor that is closed."""
    fails(ERROR_INVALID_HANDLE, CloseHandle, 3)
    fails(ERROR_INVALID_HANDLE, MapViewOfFile, 3, FILE_MAP_READ, 0, 0, 0)
    handle = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 1, None)
    CloseHandle(handle)
    fails(ERROR_INVALID_HANDLE, CloseHandle, handle)
    with path.open("rb") as file:
        number = file.fileno()
    fails(ERROR_INVALID_HANDLE, CreateFileMapping, number, None, PAGE_READONLY, 0, 0, None)
    fails(ERROR_INVALID_PARAMETER, CreateFileMapping, INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 0, None)


def test_access(path: Path, memory: int) -> None:
    """Nobody gets more than the file, then the section, then the view allows."""
    with path.open("rb") as file:
        fails(ERROR_ACCESS_DENIED, CreateFileMapping, file.fileno(), None, PAGE_READWRITE, 0, 0, None)
        handle = CreateFileMapping(file.fileno(), None, PAGE_READONLY, 0, 0, None)
    fails(ERROR_ACCESS_DENIED, MapViewOfFile, handle, FILE_MAP_WRITE, 0, 0, 0)
    fails(ERROR_ACCESS_DENIED, MapViewOfFile, handle, FILE_MAP_READ | FILE_MAP_EXECUTE, 0, 0, 0)
    fails(ERROR_INVALID_PARAMETER, MapViewOfFile, memory, 0, 0, 0, 0)
    view = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, 0)
    fails(ERROR_NOACCESS, RtlMoveMemory, view, b"no", 2)
    fails(ERROR_INVALID_PARAMETER, VirtualProtect, view, 1, PAGE_READWRITE, DWORD())
    UnmapViewOfFile(view)
    CloseHandle(handle)


def test_virtual_calls_know_views(memory: int) -> None:
    """VirtualQuery says MEM_MAPPED and the base; VirtualProtect and VirtualLock work; VirtualFree does not."""
    view = MapViewOfFile(memory, FILE_MAP_ALL_ACCESS, 0, 0, 0)
    info, old = MEMORY_BASIC_INFORMATION(), DWORD()
    assert VirtualProtect(view + 4096, 1, PAGE_READONLY, old)
    assert old.value == PAGE_READWRITE
    VirtualQuery(view + 4097, info)
    assert (info.Type, info.State, info.Protect) == (MEM_MAPPED, MEM_COMMIT, PAGE_READONLY)
    assert (info.AllocationBase, info.BaseAddress, info.AllocationProtect) == (view, view + 4096, PAGE_READWRITE)
    fails(ERROR_NOACCESS, RtlMoveMemory, view + 4096, b"x", 1)
    assert VirtualLock(view, 4096)
    assert VirtualUnlock(view, 4096)
    fails(ERROR_INVALID_ADDRESS, VirtualFree, view, 0, MEM_RELEASE)
    fails(ERROR_INVALID_ADDRESS, UnmapViewOfFile, view + 4096)
    assert UnmapViewOfFile(view)
    fails(ERROR_INVALID_ADDRESS, UnmapViewOfFile, view)
    fails(ERROR_INVALID_ADDRESS, FlushViewOfFile, view, 0)


@pytest.mark.parametrize("order", ["handle first", "view first", "between the views"])
def test_any_order_of_closing(order: str) -> None:
    """Handles and views end in any order; views that are left keep working."""
    handle = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, SIZE, None)
    views = [MapViewOfFile(handle, FILE_MAP_WRITE, 0, 0, 0) for _ in range(2)]
    RtlMoveMemory(views[0], b"both", 4)
    if order == "handle first":
        CloseHandle(handle)
    UnmapViewOfFile(views[0])
    if order == "between the views":
        CloseHandle(handle)
    assert read(views[1], 4) == b"both"
    UnmapViewOfFile(views[1])
    if order == "view first":
        CloseHandle(handle)
    fails(ERROR_INVALID_HANDLE, CloseHandle, handle)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc: run on Linux")
def test_nothing_leaks_over_many_cycles(path: Path) -> None:
    """1,000 cycles of create, map, write, unmap, close: no mapping and no descriptor more."""
    import os

    def cycle() -> None:
        with path.open("r+b") as file:
            handle = CreateFileMapping(file.fileno(), None, PAGE_READWRITE, 0, 0, None)
        view = MapViewOfFile(handle, FILE_MAP_WRITE, 0, 0, 0)
        CloseHandle(handle)
        RtlMoveMemory(view, b"x", 1)
        UnmapViewOfFile(view)

    def state() -> tuple[int, int]:
        gc.collect()  # or what earlier tests left may be closed meanwhile
        return Path("/proc/self/maps").read_text().count(str(path)), len(os.listdir("/proc/self/fd"))

    before = state()
    for _ in range(1_000):
        cycle()
    assert state() == before
