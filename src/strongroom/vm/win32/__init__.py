"""Windows' own calls by their own names, on every system: a thin face over ``strongroom.vm``.

    constants       PAGE_, MEM_, ERROR_ and the others, with Windows' values
    memory          VirtualAlloc, VirtualFree, VirtualProtect
    querying        VirtualQuery
    locking         VirtualLock, VirtualUnlock
    prefetching     PrefetchVirtualMemory
    securing        MmSecureVirtualMemory, MmUnsecureVirtualMemory
    copying         RtlMoveMemory
    sections        CreateFileMapping, OpenFileMapping, CloseHandle, GetLastError
    mapping         MapViewOfFile, UnmapViewOfFile, FlushViewOfFile
    physical        AllocateUserPhysicalPages, MapUserPhysicalPages, MapUserPhysicalPagesScatter, FreeUserPhysicalPages
    crypt           CryptProtectMemory, CryptUnprotectMemory; vault does it where the system does not
    arguments       what the calls are given, converted once; DWORD
    errors          from Python's errors to Windows' codes
    regions, views  which allocation or mapped view an address lies in

Names, argument order and return values are Windows'. Where Windows returns NULL or FALSE, these raise ``Win32Error``,
an ``OSError`` with the code in ``.winerror`` on every system. What Windows writes through a pointer is written into an
object: ``DWORD().value``, the fields of a ``MEMORY_BASIC_INFORMATION``.

Differences that remain are in docs/vm/win32.md, each measured against Windows' own calls under Wine.
"""

from __future__ import annotations

from strongroom.exceptions import Win32Error
from strongroom.vm.win32 import constants
from strongroom.vm.win32.arguments import DWORD
from strongroom.vm.win32.constants import *
from strongroom.vm.win32.copying import RtlMoveMemory
from strongroom.vm.win32.crypt import CryptProtectMemory, CryptUnprotectMemory
from strongroom.vm.win32.locking import VirtualLock, VirtualUnlock
from strongroom.vm.win32.mapping import FlushViewOfFile, MapViewOfFile, UnmapViewOfFile
from strongroom.vm.win32.memory import VirtualAlloc, VirtualFree, VirtualProtect
from strongroom.vm.win32.physical import (
    AllocateUserPhysicalPages,
    FreeUserPhysicalPages,
    MapUserPhysicalPages,
    MapUserPhysicalPagesScatter,
)
from strongroom.vm.win32.prefetching import WIN32_MEMORY_RANGE_ENTRY, PrefetchVirtualMemory
from strongroom.vm.win32.querying import MEMORY_BASIC_INFORMATION, VirtualQuery
from strongroom.vm.win32.sections import CloseHandle, CreateFileMapping, GetLastError, OpenFileMapping
from strongroom.vm.win32.securing import MmSecureVirtualMemory, MmUnsecureVirtualMemory

__all__ = [
    "DWORD",
    "MEMORY_BASIC_INFORMATION",
    "WIN32_MEMORY_RANGE_ENTRY",
    "AllocateUserPhysicalPages",
    "CloseHandle",
    "CreateFileMapping",
    "CryptProtectMemory",
    "CryptUnprotectMemory",
    "FlushViewOfFile",
    "FreeUserPhysicalPages",
    "GetLastError",
    "MapUserPhysicalPages",
    "MapUserPhysicalPagesScatter",
    "MapViewOfFile",
    "MmSecureVirtualMemory",
    "MmUnsecureVirtualMemory",
    "OpenFileMapping",
    "PrefetchVirtualMemory",
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
