"""vm.win32 with arguments that make no sense: which errors come, what they say, and that nothing was done."""

import inspect
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from strongroom.vm import win32
from strongroom.vm.win32 import DWORD, VirtualFree, Win32Error
from strongroom.vm.win32 import constants as c
from win32world import HAS_PHYSICAL, OWN, World

MARKER = f"SECRET-{uuid.uuid4()}"  # a name of a section too, which another run of these tests must not have


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
    ("PrefetchVirtualMemory", "hProcess", "-1"),
    ("PrefetchVirtualMemory", "hProcess", "index -1"),
    ("RtlMoveMemory", "Source", "bytes"),
}
#: Where there are physical pages.
if HAS_PHYSICAL:
    FINE |= {
        *(("MapUserPhysicalPages", "PageArray", "None"), ("MapUserPhysicalPagesScatter", "PageArray", "None")),
        *(("AllocateUserPhysicalPages", "hProcess", "-1"), ("AllocateUserPhysicalPages", "hProcess", "index -1")),
        *(("FreeUserPhysicalPages", "hProcess", "-1"), ("FreeUserPhysicalPages", "hProcess", "index -1")),
    }


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
