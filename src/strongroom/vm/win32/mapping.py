"""CreateFileMapping and its family."""

from __future__ import annotations

import errno
import itertools
import threading
from types import TracebackType

from strongroom.exceptions import AccessError, SystemCallError, Win32Error
from strongroom.vm.mapping import MappedView, Section, create_section, open_section
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import address, fail_unless
from strongroom.vm.win32.views import view_within

_SECTIONS = (c.PAGE_READONLY, c.PAGE_READWRITE, c.PAGE_WRITECOPY)
_EXECUTE_SECTIONS = (c.PAGE_EXECUTE_READ, c.PAGE_EXECUTE_READWRITE, c.PAGE_EXECUTE_WRITECOPY)
_ATTRIBUTES = ~0xFF
_UNABLE = c.SEC_IMAGE | c.SEC_NOCACHE | c.SEC_WRITECOMBINE | c.SEC_LARGE_PAGES
#: Windows' codes for what Unix answers; on Windows the system's own are passed on.
_CODES = {
    errno.EACCES: c.ERROR_ACCESS_DENIED,
    errno.EPERM: c.ERROR_ACCESS_DENIED,
    errno.EBADF: c.ERROR_INVALID_HANDLE,
    errno.ENODEV: c.ERROR_INVALID_HANDLE,
    errno.ENOENT: c.ERROR_FILE_NOT_FOUND,
    errno.ENOSPC: c.ERROR_DISK_FULL,
    errno.EINVAL: c.ERROR_INVALID_PARAMETER,
    errno.EOVERFLOW: c.ERROR_ACCESS_DENIED,
}

_handles: dict[int, Section] = {}
_numbers = itertools.count(0x1000, 4)
_views: dict[int, MappedView] = {}  # kept until UnmapViewOfFile, as Windows keeps them
_last = threading.local()


class _Answered:
    """Inside the block the system's refusals become Windows' codes."""

    __slots__ = ("_call",)

    def __init__(self, call: str) -> None:
        self._call = call

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(value, OSError) and not isinstance(value, Win32Error):
            number = value.code if isinstance(value, SystemCallError) else value.errno
            code = number if hasattr(value, "winerror") else _CODES.get(number or 0, c.ERROR_NOT_ENOUGH_MEMORY)
            raise Win32Error(self._call, code or c.ERROR_INVALID_HANDLE, str(value)) from value


def GetLastError() -> int:
    """What the last CreateFileMapping that succeeded says: ERROR_ALREADY_EXISTS, or 0. Failures raise their code."""
    return int(getattr(_last, "code", 0))


def _handle(section: Section) -> int:
    number = next(_numbers)
    _handles[number] = section
    return number


def _name(call: str, name: str) -> str:
    name = name.removeprefix("Local\\")
    is_plain = "\\" not in name.removeprefix("Global\\")
    fail_unless(is_plain, call, c.ERROR_PATH_NOT_FOUND, "a backslash is only for Global\\ and Local\\")
    fail_unless(name and "\0" not in name, call, c.ERROR_INVALID_PARAMETER, "an empty name, or a NUL in it")
    fail_unless(len(name) <= 200, call, c.ERROR_INVALID_PARAMETER, "a name has at most 200 characters")
    return name


def CreateFileMapping(
    hFile: int,
    lpFileMappingAttributes: None,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Make a section of a file (its descriptor) or of memory (INVALID_HANDLE_VALUE); returns its handle."""
    call = "CreateFileMapping"
    fail_unless(lpFileMappingAttributes is None, call, c.ERROR_NOT_SUPPORTED, "security attributes must be None")
    protection, attributes = flProtect & 0xFF, flProtect & _ATTRIBUTES
    is_known = protection in (*_SECTIONS, *_EXECUTE_SECTIONS) and flProtect >= 0
    is_known = is_known and not attributes & ~(_UNABLE | c.SEC_COMMIT | c.SEC_RESERVE)
    is_known = is_known and attributes & (c.SEC_COMMIT | c.SEC_RESERVE) != c.SEC_COMMIT | c.SEC_RESERVE
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"protection {flProtect:#x}")
    has_file = hFile not in (c.INVALID_HANDLE_VALUE, -1)
    is_able = not attributes & _UNABLE and (has_file or not attributes & c.SEC_RESERVE)
    fail_unless(is_able, call, c.ERROR_NOT_SUPPORTED, "images, reserved sections, large pages, caching: not here")
    size = address(call, dwMaximumSizeHigh << 32 | dwMaximumSizeLow)
    fail_unless(0 <= dwMaximumSizeLow < 1 << 32, call, c.ERROR_INVALID_PARAMETER, "dwMaximumSizeLow has 32 bits")
    fail_unless(has_file or size, call, c.ERROR_INVALID_PARAMETER, "memory without a file needs a size")
    fail_unless(size < 1 << 62, call, c.ERROR_NOT_ENOUGH_MEMORY, f"{size:,} bytes")
    is_either = not has_file or lpName is None
    fail_unless(is_either, call, c.ERROR_NOT_SUPPORTED, "only memory has names here: share a file by opening it")
    fail_unless(not has_file or 0 <= hFile < 1 << 31, call, c.ERROR_INVALID_HANDLE, f"{hFile:#x} is no descriptor")
    name = None if lpName is None else _name(call, lpName)
    try:
        with _Answered(call):
            section = create_section(size, file=hFile if has_file else None, name=name, protection=protection)
    except ValueError as error:
        raise Win32Error(call, c.ERROR_FILE_INVALID, str(error)) from None
    _last.code = c.ERROR_ALREADY_EXISTS if section.existed else 0
    return _handle(section)


def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str) -> int:
    """Open a section by the name that its maker gave it; returns the handle."""
    call = "OpenFileMapping"
    fail_unless(not bInheritHandle, call, c.ERROR_NOT_SUPPORTED, "handles are not inherited")
    name = _name(call, lpName)
    with _Answered(call):
        return _handle(open_section(name, _wanted(call, dwDesiredAccess)))


def _wanted(call: str, access: int) -> int:
    """The protection that an access asks for."""
    is_known = access & c.FILE_MAP_ALL_ACCESS & 7 and not access & ~(c.FILE_MAP_ALL_ACCESS | c.FILE_MAP_EXECUTE)
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"access {access:#x}")
    index = 1 if access & c.FILE_MAP_WRITE else 2 if access & c.FILE_MAP_COPY else 0
    return (_EXECUTE_SECTIONS if access & c.FILE_MAP_EXECUTE else _SECTIONS)[index]


def MapViewOfFile(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Show a part of a section in memory (0 bytes: up to its end); returns the address."""
    call = "MapViewOfFile"
    section = _handles.get(hFileMappingObject)
    if section is None:
        raise Win32Error(call, c.ERROR_INVALID_HANDLE, f"{hFileMappingObject:#x} is no section's handle")
    protection = _wanted(call, dwDesiredAccess)
    fail_unless(0 <= dwFileOffsetLow < 1 << 32, call, c.ERROR_INVALID_PARAMETER, "dwFileOffsetLow has 32 bits")
    offset = address(call, dwFileOffsetHigh << 32 | dwFileOffsetLow)
    size = address(call, dwNumberOfBytesToMap)
    is_aligned = offset % c.ALLOCATION_GRANULARITY == 0
    fail_unless(is_aligned, call, c.ERROR_MAPPED_ALIGNMENT, "an offset is a multiple of 64 KiB")
    is_inside = offset < section.size and size <= section.size - offset
    fail_unless(is_inside, call, c.ERROR_ACCESS_DENIED, f"the section has {section.size:,} bytes")
    try:
        with _Answered(call):
            view = section.map(offset, size or None, protection)
    except AccessError as error:
        raise Win32Error(call, c.ERROR_ACCESS_DENIED, str(error)) from None
    _views[view.address] = view
    return view.address


def UnmapViewOfFile(lpBaseAddress: int) -> bool:
    """Take a view out of memory, by the address MapViewOfFile returned; returns True."""
    call = "UnmapViewOfFile"
    view = _views.get(address(call, lpBaseAddress))
    if view is None:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"no view begins at {lpBaseAddress:#x}")
    with _Answered(call):
        view.release()
    _views.pop(view.address, None)
    return True


def FlushViewOfFile(lpBaseAddress: int, dwNumberOfBytesToFlush: int) -> bool:
    """Have what was written through a view (0 bytes: up to its end) written to its file; returns True."""
    call = "FlushViewOfFile"
    place, size = address(call, lpBaseAddress), address(call, dwNumberOfBytesToFlush)
    found = view_within(call, place, size)
    if found is None:
        raise Win32Error(call, c.ERROR_INVALID_ADDRESS, f"{place:#x} is in no view")
    view, offset, length = found
    with _Answered(call):
        view.flush(offset, length if size else None)
    return True


def CloseHandle(hObject: int) -> bool:
    """End the use of a section's handle; its views stay. Returns True."""
    section = _handles.pop(hObject, None)
    if section is None:
        raise Win32Error("CloseHandle", c.ERROR_INVALID_HANDLE, f"{hObject:#x} is no section's handle")
    section.close()
    return True
