"""vm.win32 with arguments that make no sense: which errors come, what they say, and that nothing was done."""

import ctypes
import inspect
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom import exceptions, vm
from strongroom.vm import win32
from strongroom.vm.win32 import (
    DWORD,
    MEMORY_BASIC_INFORMATION,
    RtlMoveMemory,
    VirtualAlloc,
    VirtualFree,
    VirtualProtect,
    VirtualQuery,
    Win32Error,
    memory,
    physical,
    regions,
    sections,
    securing,
)
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32 import mapping as views
from strongroom.vm.win32.errors import Translated

MARKER = "SECRET-0451"
OWN = c.INVALID_HANDLE_VALUE  # GetCurrentProcess
HAS_PHYSICAL = sys.platform != "win32"  # Windows wants a privilege, and Wine has the names alone


class Index:
    """An integer by way of ``__index__``."""

    def __init__(self, value: Any) -> None:
        self.value_of = value

    def __index__(self) -> int:
        if isinstance(self.value_of, Exception):
            raise self.value_of
        return self.value_of  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return MARKER


HOSTILE: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "float": 4096.0,
    "nan": float("nan"),
    "str": MARKER,
    "surrogate": MARKER + "\ud800",
    "bytes": MARKER.encode(),
    "strided": memoryview(MARKER.encode() * 2)[::2],
    "list": [MARKER],
    "dict": {MARKER: MARKER},
    "object": object(),
    "a class": DWORD,
    "-1": -1,
    "2**63": 2**63,
    "2**64": 2**64,
    "-2**63 - 1": -(2**63) - 1,
    "10**5000": 10**5000,
    "index -1": Index(-1),
    "index 2**70": Index(2**70),
    "index raises": Index(ZeroDivisionError(MARKER)),
    "index is a str": Index(MARKER),
    "index is a bool": Index(True),
}

#: What is fine after all: a NULL that stands for anywhere, more room than it takes, no name, False, no file.
FINE = {
    ("VirtualAlloc", "lpAddress", "None"),
    ("VirtualQuery", "lpAddress", "None"),
    ("VirtualQuery", "dwLength", "2**63"),
    ("CreateFileMapping", "hFile", "-1"),
    ("CreateFileMapping", "hFile", "index -1"),
    ("CreateFileMapping", "lpFileMappingAttributes", "None"),
    ("CreateFileMapping", "lpName", "None"),
    ("CreateFileMapping", "lpName", "str"),
    ("OpenFileMapping", "bInheritHandle", "False"),
    ("RtlMoveMemory", "Source", "bytes"),
}
#: Where there are physical pages.
if HAS_PHYSICAL:
    FINE |= {
        *(("MapUserPhysicalPages", "PageArray", "None"), ("MapUserPhysicalPagesScatter", "PageArray", "None")),
        *(("AllocateUserPhysicalPages", "hProcess", "-1"), ("AllocateUserPhysicalPages", "hProcess", "index -1")),
        *(("FreeUserPhysicalPages", "hProcess", "-1"), ("FreeUserPhysicalPages", "hProcess", "index -1")),
    }


class World:
    """Something of everything, and what the system says of it."""

    def __init__(self) -> None:
        self.page = VirtualAlloc(None, 8192, c.MEM_COMMIT, c.PAGE_READWRITE)
        RtlMoveMemory(self.page, b"0123456789abcdef", 16)
        self.name = f"strongroom arguments {id(self)}"
        self.section = win32.CreateFileMapping(c.INVALID_HANDLE_VALUE, None, c.PAGE_READWRITE, 0, 65536, self.name)
        self.view = win32.MapViewOfFile(self.section, c.FILE_MAP_ALL_ACCESS, 0, 0, 0)
        self.promise = win32.MmSecureVirtualMemory(self.page + 4096, 1, c.PAGE_READONLY)
        self.old, self.information = DWORD(77), MEMORY_BASIC_INFORMATION()
        self.count, self.frames, self.window = DWORD(1), [0], self.page
        if HAS_PHYSICAL:
            win32.AllocateUserPhysicalPages(OWN, self.count, self.frames)
            self.window = VirtualAlloc(None, 8192, c.MEM_RESERVE | c.MEM_PHYSICAL, c.PAGE_READWRITE)

    def arguments(self) -> dict[str, dict[str, Any]]:
        """For each function arguments that are fine."""
        page, view, section = self.page, self.view, self.section
        return {
            "VirtualAlloc": {
                "lpAddress": page,
                "dwSize": 8,
                "flAllocationType": c.MEM_COMMIT,
                "flProtect": c.PAGE_READWRITE,
            },
            "VirtualFree": {"lpAddress": page, "dwSize": 8, "dwFreeType": c.MEM_DECOMMIT},
            "VirtualProtect": {
                "lpAddress": page,
                "dwSize": 8,
                "flNewProtect": c.PAGE_READONLY,
                "lpflOldProtect": self.old,
            },
            "VirtualQuery": {"lpAddress": page, "lpBuffer": self.information, "dwLength": 48},
            "VirtualLock": {"lpAddress": page, "dwSize": 8},
            "VirtualUnlock": {"lpAddress": page, "dwSize": 8},
            "MmSecureVirtualMemory": {"Address": page, "Size": 8, "ProbeMode": c.PAGE_READONLY},
            "MmUnsecureVirtualMemory": {"SecureHandle": self.promise},
            "RtlMoveMemory": {"Destination": page, "Source": page + 8, "Length": 4},
            "CreateFileMapping": {
                "hFile": c.INVALID_HANDLE_VALUE,
                "lpFileMappingAttributes": None,
                "flProtect": c.PAGE_READWRITE,
                "dwMaximumSizeHigh": 0,
                "dwMaximumSizeLow": 10,
                "lpName": None,
            },
            "OpenFileMapping": {"dwDesiredAccess": c.FILE_MAP_READ, "bInheritHandle": False, "lpName": self.name},
            "MapViewOfFile": {
                "hFileMappingObject": section,
                "dwDesiredAccess": c.FILE_MAP_READ,
                "dwFileOffsetHigh": 0,
                "dwFileOffsetLow": 0,
                "dwNumberOfBytesToMap": 0,
            },
            "UnmapViewOfFile": {"lpBaseAddress": view},
            "FlushViewOfFile": {"lpBaseAddress": view, "dwNumberOfBytesToFlush": 8},
            "CloseHandle": {"hObject": section},
            "AllocateUserPhysicalPages": {"hProcess": OWN, "NumberOfPages": self.count, "PageArray": [0]},
            "MapUserPhysicalPages": {"VirtualAddress": self.window, "NumberOfPages": 1, "PageArray": self.frames},
            "MapUserPhysicalPagesScatter": {
                "VirtualAddresses": [self.window],
                "NumberOfPages": 1,
                "PageArray": self.frames,
            },
            "FreeUserPhysicalPages": {"hProcess": OWN, "NumberOfPages": self.count, "PageArray": self.frames},
            "CryptProtectMemory": {"pDataIn": page, "cbDataIn": 16, "dwFlags": 0},
            "CryptUnprotectMemory": {"pDataIn": page, "cbDataIn": 16, "dwFlags": 0},
        }

    def state(self) -> object:
        """All of it: what the system says, what the pages hold, what is allocated, open and secured."""
        seen = []
        for place in (self.page, self.page + 4096, self.view):
            info = MEMORY_BASIC_INFORMATION()
            VirtualQuery(place, info)
            data = bytearray(16)
            RtlMoveMemory(data, place, 16)
            seen.append(([getattr(info, name) for name in info.__slots__], bytes(data)))
        region = regions.region_at(self.page)
        assert region is not None
        tables = memory._allocations, views._views, sections._handles, securing._secured, physical._allocations
        return seen, region.pages(), [set(table) for table in tables], self.old.value, self.information.State

    def end(self) -> None:
        """Give everything back."""
        if HAS_PHYSICAL:
            VirtualFree(self.window, 0, c.MEM_RELEASE)
            win32.FreeUserPhysicalPages(OWN, self.count, self.frames)
        win32.MmUnsecureVirtualMemory(self.promise)
        win32.UnmapViewOfFile(self.view)
        win32.CloseHandle(self.section)
        VirtualFree(self.page, 0, c.MEM_RELEASE)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.end()


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function of vm.win32."""
    return {name: thing for name, thing in vars(win32).items() if inspect.isfunction(thing) and name in win32.__all__}


def test_none_is_left_out(world: World) -> None:
    """The tests below call every function, with every argument."""
    named = {name: list(arguments) for name, arguments in world.arguments().items()}
    assert named == {
        name: list(inspect.signature(f).parameters) for name, f in functions().items() if name != "GetLastError"
    }


@pytest.mark.parametrize("name", sorted(set(functions()) - {"GetLastError"}))
def test_nonsense_is_refused_in_silence(name: str, world: World) -> None:
    """Any argument, any nonsense: TypeError, ValueError or Win32Error without a word of it, and nothing was done."""
    before = world.state()
    for argument in world.arguments()[name]:
        for label, value in HOSTILE.items():
            arguments = world.arguments()[name] | {argument: value}
            if (name, argument, label) in FINE:
                continue
            with pytest.raises((TypeError, ValueError, Win32Error)) as caught:
                functions()[name](**arguments)
            where = (argument, label, repr(caught.value))
            assert MARKER not in str(caught.value), where
            assert len(str(caught.value)) < 400, where
            if isinstance(caught.value, TypeError):
                assert argument in str(caught.value), where
            assert world.state() == before, where


def test_what_is_fine_is_fine() -> None:
    """The exceptions above are ones: each of these calls succeeds."""
    for name, argument, label in sorted(FINE):
        world = World()
        arguments = world.arguments()[name] | {argument: HOSTILE[label]}
        result = functions()[name](**arguments)
        if name in ("CreateFileMapping", "OpenFileMapping"):
            win32.CloseHandle(result)
        elif name == "VirtualAlloc":
            VirtualFree(result, 0, c.MEM_RELEASE)
        elif name == "AllocateUserPhysicalPages":
            win32.FreeUserPhysicalPages(OWN, world.count, arguments["PageArray"])
        elif name == "FreeUserPhysicalPages":
            win32.AllocateUserPhysicalPages(OWN, world.count, world.frames)
        world.end()


@pytest.mark.parametrize(
    ("code", "name", "arguments"),
    [
        (c.ERROR_INVALID_HANDLE, "MapViewOfFile", (None, c.FILE_MAP_READ, 0, 0, 0)),
        (c.ERROR_INVALID_HANDLE, "CloseHandle", (None,)),
        (c.ERROR_INVALID_HANDLE, "MmUnsecureVirtualMemory", (None,)),
        (c.ERROR_INVALID_ADDRESS, "UnmapViewOfFile", (None,)),
        (c.ERROR_INVALID_ADDRESS, "FlushViewOfFile", (None, 0)),
        (c.ERROR_INVALID_PARAMETER, "VirtualFree", (None, 0, c.MEM_RELEASE)),
        (c.ERROR_INVALID_PARAMETER, "OpenFileMapping", (c.FILE_MAP_READ, False, None)),
        (c.ERROR_NOACCESS, "CryptProtectMemory", (None, 16, 0)),
        (c.ERROR_NOACCESS, "VirtualQuery", (None, None)),
        (c.ERROR_INVALID_ADDRESS, "RtlMoveMemory", (None, b"x", 1)),
        (c.ERROR_INVALID_PARAMETER, "RtlMoveMemory", (bytearray(4), b"abcd", -1)),
        (c.ERROR_INVALID_PARAMETER, "RtlMoveMemory", (bytearray(4), b"abcd", 5)),
        (c.ERROR_NOACCESS, "RtlMoveMemory", (b"abcd", b"efgh", 4)),
    ],
)
def test_codes_of_null_and_lengths(code: int, name: str, arguments: tuple[Any, ...]) -> None:
    """NULL is what Windows makes of it, a negative length is none, bytes cannot be written."""
    with pytest.raises(Win32Error) as caught:
        functions()[name](*arguments)
    assert caught.value.winerror == code


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
