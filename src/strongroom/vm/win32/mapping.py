"""Views of sections: MapViewOfFile, UnmapViewOfFile, FlushViewOfFile."""

from __future__ import annotations

from strongroom.exceptions import AccessError, DestroyedError, Win32Error
from strongroom.vm.mapping import MappedView, find_view
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import handle, number, pointer
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import within
from strongroom.vm.win32.sections import protection_of_access, section_of_handle

__all__ = ["FlushViewOfFile", "MapViewOfFile", "UnmapViewOfFile"]

#: What MapViewOfFile made, kept until UnmapViewOfFile, as Windows keeps it. Not by address, as memory.py's allocations:
#: once one is unmapped another thread may be given the same address.
_views: set[MappedView] = set()


def MapViewOfFile(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Show a part of a section in memory.

    Args:
        hFileMappingObject: What CreateFileMapping or OpenFileMapping returned.
        dwDesiredAccess: FILE_MAP_READ, FILE_MAP_WRITE, FILE_MAP_COPY or FILE_MAP_ALL_ACCESS, with or without
            FILE_MAP_EXECUTE.
        dwFileOffsetHigh: The upper 32 bits of where it begins, in bytes, a multiple of 64 KiB.
        dwFileOffsetLow: The lower 32.
        dwNumberOfBytesToMap: Bytes; 0: up to the section's end.

    Returns:
        The address.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_HANDLE (6): no section's, NULL. ERROR_INVALID_PARAMETER (87): an access that is none.
            ERROR_MAPPED_ALIGNMENT (1132): another offset. ERROR_ACCESS_DENIED (5): more than the section allows, or
            has. ERROR_NOT_ENOUGH_MEMORY (8): no address space.

    Platform notes: the address is a multiple of a page; on Windows of 64 KiB.

    Does not protect against: a file that is made shorter: touching what was there is a fault.

    Source: MapViewOfFile (memoryapi.h); mmap(2).

    Version added: 0.1.
    """
    call, key = "MapViewOfFile", handle("MapViewOfFile", "hFileMappingObject", hFileMappingObject)
    access = number(call, "dwDesiredAccess", dwDesiredAccess)
    offset = number(call, "dwFileOffsetHigh", dwFileOffsetHigh) << 32
    offset |= number(call, "dwFileOffsetLow", dwFileOffsetLow)
    size = number(call, "dwNumberOfBytesToMap", dwNumberOfBytesToMap, 64)
    section, protection = section_of_handle(call, key), protection_of_access(call, access)
    is_aligned = offset % c.ALLOCATION_GRANULARITY == 0
    fail_unless(is_aligned, call, c.ERROR_MAPPED_ALIGNMENT, "an offset is a multiple of 64 KiB")
    is_inside = offset < section.size and size <= section.size - offset
    fail_unless(is_inside, call, c.ERROR_ACCESS_DENIED, f"the section has {section.size:,} bytes")
    with Translated(call, None, ((AccessError, c.ERROR_ACCESS_DENIED), (DestroyedError, c.ERROR_INVALID_HANDLE))):
        view = section.map(offset, size or None, protection)
    _views.add(view)
    return view.address


def UnmapViewOfFile(lpBaseAddress: int) -> bool:
    """Take a view out of memory.

    Args:
        lpBaseAddress: What MapViewOfFile returned.

    Returns:
        True.

    Raises:
        TypeError: No integer.
        Win32Error: ERROR_INVALID_ADDRESS (487): no view of MapViewOfFile's begins there, also because another thread
            has just unmapped it; NULL. ERROR_INVALID_PARAMETER (87): a View or a SecureHandle holds its pages. Nothing
            was changed then.

    Source: UnmapViewOfFile (memoryapi.h); munmap(2).

    Version added: 0.1.
    """
    call, place = "UnmapViewOfFile", pointer("UnmapViewOfFile", "lpBaseAddress", lpBaseAddress)
    view = find_view(place)
    if view is None or view.address != place or view not in _views:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"no view begins at {place:#x}")
    with Translated(call, None):
        view.release()  # which does nothing the second time
    try:
        _views.remove(view)
    except KeyError:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, "another thread has just unmapped it") from None
    return True


def FlushViewOfFile(lpBaseAddress: int, dwNumberOfBytesToFlush: int) -> bool:
    """Have what was written through a view written to its file.

    Args:
        lpBaseAddress: An address in the view, rounded down to a page.
        dwNumberOfBytesToFlush: Bytes; the end is rounded up. 0: up to the view's end.

    Returns:
        True.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: ERROR_INVALID_ADDRESS (487): no view is there, or not all of it. What the file system says when it
            fails, ERROR_DISK_FULL (112) for one.

    Platform notes: waits for the disk on Unix; Windows hands the pages to the file system.

    Source: FlushViewOfFile (memoryapi.h); msync(2) MS_SYNC.

    Version added: 0.1.
    """
    call, place = "FlushViewOfFile", pointer("FlushViewOfFile", "lpBaseAddress", lpBaseAddress)
    size = number(call, "dwNumberOfBytesToFlush", dwNumberOfBytesToFlush, 64)
    view, offset, length = within(call, place, size or 1)
    if not isinstance(view, MappedView):
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"{place:#x} is in no view")
    with Translated(call, None):
        view.flush(offset, length if size else None)
    return True
