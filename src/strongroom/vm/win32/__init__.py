"""Windows' own calls by their own names, on every system: a thin face over ``strongroom.vm``.

    constants       PAGE_, MEM_, ERROR_ and the others, with Windows' values
    memory          VirtualAlloc, VirtualFree, VirtualProtect, VirtualQuery, VirtualLock, MmSecureVirtualMemory
    mapping         CreateFileMapping, OpenFileMapping, MapViewOfFile, UnmapViewOfFile, FlushViewOfFile, CloseHandle
    crypt           CryptProtectMemory, CryptUnprotectMemory
    errors          Win32Error: what Windows would leave for GetLastError

Names, argument order and return values are Windows'. Where Windows returns NULL or FALSE, these raise ``Win32Error``,
an ``OSError`` with the code in ``.winerror`` on every system. What Windows writes through a pointer is written into an
object: ``DWORD().value``, the fields of a ``MEMORY_BASIC_INFORMATION``.

Differences that remain are in docs/vm/win32.md, each measured against Windows' own calls under Wine.
"""

from __future__ import annotations

from strongroom.exceptions import Win32Error
from strongroom.vm.win32 import constants
from strongroom.vm.win32.constants import *
from strongroom.vm.win32.crypt import CryptProtectMemory, CryptUnprotectMemory
from strongroom.vm.win32.mapping import (
    CloseHandle,
    CreateFileMapping,
    FlushViewOfFile,
    GetLastError,
    MapViewOfFile,
    OpenFileMapping,
    UnmapViewOfFile,
)
from strongroom.vm.win32.memory import (
    DWORD,
    MEMORY_BASIC_INFORMATION,
    MmSecureVirtualMemory,
    MmUnsecureVirtualMemory,
    RtlMoveMemory,
    VirtualAlloc,
    VirtualFree,
    VirtualLock,
    VirtualProtect,
    VirtualQuery,
    VirtualUnlock,
)

__all__ = [
    "DWORD",
    "MEMORY_BASIC_INFORMATION",
    "CloseHandle",
    "CreateFileMapping",
    "CryptProtectMemory",
    "CryptUnprotectMemory",
    "FlushViewOfFile",
    "GetLastError",
    "MapViewOfFile",
    "MmSecureVirtualMemory",
    "MmUnsecureVirtualMemory",
    "OpenFileMapping",
    "RtlMoveMemory",
    "UnmapViewOfFile",
    "VirtualAlloc",
    "VirtualFree",
    "VirtualLock",
    "VirtualProtect",
    "VirtualQuery",
    "VirtualUnlock",
    "Win32Error",
]
__all__ += constants.__all__
