"""What Windows says of a process, and under Wine what the Linux kernel below it says.

VirtualQueryEx tells protections. It does not tell locks: Windows has QueryWorkingSetEx for that. Wine 8 never sets its
"locked" bit, but its processes are Linux processes, and the drive ``Z:`` shows their ``/proc``.
"""

import ctypes
import functools
import os
import sys
from types import TracebackType
from typing import Self

assert sys.platform == "win32"

from ctypes import wintypes  # noqa: E402

import observed_linux  # noqa: E402
from observed_linux import Mapping, parse_smaps  # noqa: E402

#: A closed buffer is readable: Windows unlocks pages that become inaccessible. There are no dumps and children to be
#: left out of, or no flags for it.
AT_REST, KEPT_OUT = "r--", frozenset({"lo"})

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
HAS_WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")

MEM_COMMIT, MEM_RESERVE, MEM_FREE = 0x1000, 0x2000, 0x10000
MEM_PRIVATE = 0x20000
PAGE_EXECUTE_READWRITE = 0x40
_PROTECTIONS = {1: "---", 2: "r--", 4: "rw-", 8: "rw-", 0x10: "--x", 0x20: "r-x", 0x40: "rwx", 0x80: "rwx"}
_MODIFIERS = 0x700  # PAGE_GUARD, PAGE_NOCACHE, PAGE_WRITECOMBINE
_PROCESS_VM_READ, _PROCESS_QUERY_INFORMATION = 0x10, 0x400
_WORKING_SET_LOCKED = 1 << 22  # PSAPI_WORKING_SET_EX_BLOCK
_LARGEST_ASKED_FOR_LOCKS = 64 << 20


class Region(ctypes.Structure):
    """MEMORY_BASIC_INFORMATION on 64-bit Windows."""

    _fields_ = (
        ("base", ctypes.c_size_t),
        ("allocation_base", ctypes.c_size_t),
        ("allocation_protection", wintypes.DWORD),
        ("partition", wintypes.WORD),
        ("size", ctypes.c_size_t),
        ("state", wintypes.DWORD),
        ("protection", wintypes.DWORD),
        ("kind", wintypes.DWORD),
    )


class _WorkingSetEntry(ctypes.Structure):
    _fields_ = (("address", ctypes.c_size_t), ("attributes", ctypes.c_size_t))


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("size", wintypes.DWORD),
        ("faults", wintypes.DWORD),
        ("peak", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    )


kernel32.GetCurrentProcess.restype = wintypes.HANDLE
kernel32.OpenProcess.restype = wintypes.HANDLE
kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
kernel32.VirtualQueryEx.argtypes = (wintypes.HANDLE, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
kernel32.VirtualQueryEx.restype = ctypes.c_size_t
kernel32.VirtualAlloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t, wintypes.DWORD, wintypes.DWORD)
kernel32.VirtualAlloc.restype = ctypes.c_size_t
kernel32.VirtualFree.argtypes = (ctypes.c_size_t, ctypes.c_size_t, wintypes.DWORD)
kernel32.VirtualProtect.argtypes = (ctypes.c_size_t, ctypes.c_size_t, wintypes.DWORD, ctypes.c_void_p)
kernel32.VirtualUnlock.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
kernel32.GetProcessHandleCount.argtypes = (wintypes.HANDLE, ctypes.c_void_p)
kernel32.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
kernel32.K32QueryWorkingSetEx.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
kernel32.ReadProcessMemory.argtypes = (
    wintypes.HANDLE, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)  # fmt: skip
_SELF = kernel32.GetCurrentProcess()


def executable(code: bytes) -> int:
    """Return the address of machine code that can be called; it stays for good."""
    address: int = kernel32.VirtualAlloc(0, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE)
    assert address != 0, ctypes.WinError(ctypes.get_last_error())
    ctypes.memmove(address, code, len(code))
    return address


@functools.cache
def unix_pid() -> int:
    """Return the Linux kernel's number of this process: Wine passes a bare system call through."""
    assert HAS_WINE
    getpid = b"\xb8\x27\x00\x00\x00\x0f\x05\xc3"  # mov eax, 39; syscall; ret
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(executable(getpid))())


def kernel_file(name: str) -> str:
    """Return what the Linux kernel says in a file of this process's ``/proc`` (``self`` would be Wine's server)."""
    with open(f"Z:\\proc\\{unix_pid()}\\{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def regions(process: int = _SELF) -> list[Region]:
    """Return every region that is not free, as VirtualQueryEx tells them."""
    found, address = [], 0
    while True:
        region = Region()
        if not kernel32.VirtualQueryEx(process, address, ctypes.byref(region), ctypes.sizeof(region)):
            return found
        if region.state != MEM_FREE:
            found.append(region)
        address = region.base + region.size


def region_at(address: int) -> Region:
    """Return the region of this process that an address lies in, a free one included."""
    region = Region()
    assert kernel32.VirtualQueryEx(_SELF, address, ctypes.byref(region), ctypes.sizeof(region))
    return region


def _permissions(region: Region) -> str:
    if region.state != MEM_COMMIT:
        return "---p"
    return _PROTECTIONS[region.protection & ~_MODIFIERS] + "p"


def _is_locked(region: Region) -> bool:
    if region.state != MEM_COMMIT or region.kind != MEM_PRIVATE or region.size > _LARGEST_ASKED_FOR_LOCKS:
        return False
    addresses = range(region.base, region.base + region.size, 4096)
    entries = (_WorkingSetEntry * len(addresses))(*((address, 0) for address in addresses))
    assert kernel32.K32QueryWorkingSetEx(_SELF, entries, ctypes.sizeof(entries))
    return all(entry.attributes & _WORKING_SET_LOCKED for entry in entries)


def _locked_below(region: Region, listing: list[Mapping]) -> bool:
    end = region.base + region.size
    parts = [m for m in listing if m.start < end and m.end > region.base]
    return bool(parts) and all("lo" in m.flags for m in parts)


def mappings(pid: int | str = "self") -> list[Mapping]:
    """Return every region of a process; for this one with the flag of locked pages."""
    if pid != "self":
        with Memory(int(pid)) as memory:
            return memory.mappings()
    below = parse_smaps(kernel_file("smaps")) if HAS_WINE else []
    found = []
    for region in regions():
        is_locked = _locked_below(region, below) if HAS_WINE else _is_locked(region)
        flags = frozenset({"lo"} if is_locked else ())
        found.append(Mapping(region.base, region.base + region.size, _permissions(region), "", flags))
    return found


def status_size(field: str) -> int:
    """Return ``VmRSS``, or under Wine any size in Linux's ``status``, in bytes."""
    if HAS_WINE:
        return observed_linux.status_field(kernel_file("status"), field)
    if field != "VmRSS":
        import pytest

        pytest.skip(f"Windows does not tell {field}: needs Wine")
    counters = _Counters(ctypes.sizeof(_Counters))
    assert kernel32.K32GetProcessMemoryInfo(_SELF, ctypes.byref(counters), ctypes.sizeof(counters))
    return int(counters.working_set)


def no_huge_pages(is_wanted: bool = True) -> None:
    """Do nothing: Windows has them on request only."""


def own_size() -> int:
    """Return under Wine what Linux says, and the working set elsewhere, in bytes."""
    return observed_linux.own_size(kernel_file("smaps_rollup")) if HAS_WINE else status_size("VmRSS")


def descriptors() -> int:
    """Return how many handles this process has open; under Wine, whose count is a stub, its Linux descriptors."""
    if HAS_WINE:
        return len(os.listdir(f"Z:\\proc\\{unix_pid()}\\fd"))
    count = wintypes.DWORD()
    assert kernel32.GetProcessHandleCount(_SELF, ctypes.byref(count))
    return count.value


class Memory(observed_linux.Memory):
    """Another process's memory, opened once."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = kernel32.OpenProcess(_PROCESS_VM_READ | _PROCESS_QUERY_INFORMATION, False, pid)
        assert self._handle, ctypes.WinError(ctypes.get_last_error())
        self._pagemap = None  # nothing tells which pages were touched

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kernel32.CloseHandle(self._handle)

    def mappings(self) -> list[Mapping]:
        """Return the process's regions, without flags."""
        return [
            Mapping(region.base, region.base + region.size, _permissions(region), "", frozenset())
            for region in regions(self._handle)
        ]

    def read(self, address: int, size: int) -> bytes | None:
        """Return the bytes, or None where Windows refuses."""
        content = (ctypes.c_char * size)()
        is_read = kernel32.ReadProcessMemory(self._handle, address, content, size, None)
        return content.raw if is_read else None
