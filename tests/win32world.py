"""What vm.win32 makes, something of everything, and for each function arguments that are fine."""

import sys
import uuid
from typing import Any

from strongroom.vm import win32
from strongroom.vm.win32 import (
    DWORD,
    MEMORY_BASIC_INFORMATION,
    WIN32_MEMORY_RANGE_ENTRY,
    RtlMoveMemory,
    VirtualAlloc,
    VirtualFree,
    VirtualQuery,
    memory,
    physical,
    regions,
    sections,
    securing,
)
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32 import mapping as views

OWN = c.INVALID_HANDLE_VALUE  # GetCurrentProcess
HAS_PHYSICAL = sys.platform != "win32"  # Windows wants a privilege, and Wine has the names alone


class World:
    """Something of everything, and what the system says of it."""

    def __init__(self) -> None:
        self.page = VirtualAlloc(None, 8192, c.MEM_COMMIT, c.PAGE_READWRITE)
        RtlMoveMemory(self.page, b"0123456789abcdef", 16)
        self.name = f"strongroom arguments {uuid.uuid4()}"
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
            "PrefetchVirtualMemory": {
                "hProcess": OWN,
                "NumberOfEntries": 1,
                "VirtualAddresses": [WIN32_MEMORY_RANGE_ENTRY(page, 8)],
                "Flags": 0,
            },
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
