"""Sections by their handles: CreateFileMapping, OpenFileMapping, CloseHandle; GetLastError."""

from __future__ import annotations

import itertools
import threading

from strongroom.exceptions import Win32Error
from strongroom.vm.mapping import Section, create_section, open_section
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import boolean, handle, number, text
from strongroom.vm.win32.errors import Translated, fail_unless

__all__ = [
    "CloseHandle",
    "CreateFileMapping",
    "GetLastError",
    "OpenFileMapping",
    "protection_of_access",
    "section_of_handle",
]

_SECTIONS = (c.PAGE_READONLY, c.PAGE_READWRITE, c.PAGE_WRITECOPY)
_EXECUTE_SECTIONS = (c.PAGE_EXECUTE_READ, c.PAGE_EXECUTE_READWRITE, c.PAGE_EXECUTE_WRITECOPY)
_UNABLE = c.SEC_IMAGE | c.SEC_NOCACHE | c.SEC_WRITECOMBINE | c.SEC_LARGE_PAGES

_handles: dict[int, Section] = {}
_numbers = itertools.count(0x1000, 4)
_last = threading.local()


def _handle(section: Section) -> int:
    result = next(_numbers)
    _handles[result] = section
    return result


def _name(call: str, name: str) -> str:
    name = name.removeprefix("Local\\")
    is_plain = "\\" not in name.removeprefix("Global\\")
    fail_unless(is_plain, call, c.ERROR_PATH_NOT_FOUND, "a backslash is only for Global\\ and Local\\")
    fail_unless(name and "\0" not in name, call, c.ERROR_INVALID_PARAMETER, "an empty name, or a NUL in it")
    fail_unless(len(name) <= 200, call, c.ERROR_INVALID_PARAMETER, "a name has at most 200 characters")
    return name


def protection_of_access(call: str, access: int) -> int:
    """The protection that an access asks for."""
    is_known = access & c.FILE_MAP_ALL_ACCESS & 7 and not access & ~(c.FILE_MAP_ALL_ACCESS | c.FILE_MAP_EXECUTE)
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"access {access:#x}")
    index = 1 if access & c.FILE_MAP_WRITE else 2 if access & c.FILE_MAP_COPY else 0
    return (_EXECUTE_SECTIONS if access & c.FILE_MAP_EXECUTE else _SECTIONS)[index]


def section_of_handle(call: str, key: int) -> Section:
    """The section that a handle stands for."""
    section = _handles.get(key)
    if section is None:
        raise Win32Error(call, c.ERROR_INVALID_HANDLE, f"{key:#x} is no section's handle")
    return section


def GetLastError() -> int:
    """Tell what the last CreateFileMapping of this thread that succeeded says.

    Returns:
        ERROR_ALREADY_EXISTS (183) if its name was in use, else 0. Failures raise their code and do not show here.

    It raises nothing.

    Source: GetLastError (errhandlingapi.h).

    Version added: 0.1.
    """
    return int(getattr(_last, "code", 0))


def CreateFileMapping(
    hFile: int,
    lpFileMappingAttributes: None,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Make a section: of a file, of memory, or of memory that other processes find by its name.

    Args:
        hFile: The file's descriptor, on every system; INVALID_HANDLE_VALUE (or -1) for memory.
        lpFileMappingAttributes: NULL, which is None.
        flProtect: PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY or their PAGE_EXECUTE_ forms; SEC_COMMIT is what it is
            anyway.
        dwMaximumSizeHigh: The upper 32 bits of the size in bytes.
        dwMaximumSizeLow: The lower 32. A file that is smaller grows to the size; 0 stands for the file's own.
        lpName: A name, for memory only, of at most 200 characters; ``Local\\`` before it is dropped. None for none.

    Returns:
        The handle, a number that means something in this process only.

    Raises:
        TypeError: Numbers that are no integers, a name that is no str.
        Win32Error: ERROR_INVALID_PARAMETER (87): a protection that sections do not have, memory without a size, a name
            that is empty or too long. ERROR_INVALID_HANDLE (6): no open file. ERROR_ACCESS_DENIED (5): a file that is
            not open for that. ERROR_FILE_INVALID (1006): an empty file without a size. ERROR_NOT_ENOUGH_MEMORY (8): a
            file that may not grow, too many bytes. ERROR_DISK_FULL (112). ERROR_PATH_NOT_FOUND (3): a backslash in the
            name. ERROR_NOT_SUPPORTED (50): security attributes, a file with a name, the other SEC_ constants.

    Platform notes: a name that is in use is opened, and GetLastError() says so. When it ends differs: docs/vm/win32.md.

    Does not protect against: other processes of the same user, which may open the name.

    Source: CreateFileMappingW (memoryapi.h); shm_overview(7).

    Version added: 0.1.
    """
    call, file = "CreateFileMapping", handle("CreateFileMapping", "hFile", hFile)
    fail_unless(lpFileMappingAttributes is None, call, c.ERROR_NOT_SUPPORTED, "security attributes must be None")
    protect = number(call, "flProtect", flProtect)
    size = number(call, "dwMaximumSizeHigh", dwMaximumSizeHigh) << 32
    size |= number(call, "dwMaximumSizeLow", dwMaximumSizeLow)
    name = None if lpName is None else _name(call, text(call, "lpName", lpName))
    protection, attributes = protect & 0xFF, protect & ~0xFF
    is_known = protection in (*_SECTIONS, *_EXECUTE_SECTIONS)
    is_known = is_known and not attributes & ~(_UNABLE | c.SEC_COMMIT | c.SEC_RESERVE)
    is_known = is_known and attributes & (c.SEC_COMMIT | c.SEC_RESERVE) != c.SEC_COMMIT | c.SEC_RESERVE
    fail_unless(is_known, call, c.ERROR_INVALID_PARAMETER, f"protection {protect:#x}")
    has_file = file != c.INVALID_HANDLE_VALUE
    is_able = not attributes & _UNABLE and (has_file or not attributes & c.SEC_RESERVE)
    fail_unless(is_able, call, c.ERROR_NOT_SUPPORTED, "images, reserved sections, large pages, caching: not here")
    fail_unless(has_file or size, call, c.ERROR_INVALID_PARAMETER, "memory without a file needs a size")
    fail_unless(size < 1 << 62, call, c.ERROR_NOT_ENOUGH_MEMORY, f"{size:,} bytes")
    is_either = not has_file or name is None
    fail_unless(is_either, call, c.ERROR_NOT_SUPPORTED, "only memory has names here: share a file by opening it")
    fail_unless(not has_file or file < 1 << 31, call, c.ERROR_INVALID_HANDLE, f"{file:#x} is no descriptor")
    with Translated(call, None, ((ValueError, c.ERROR_FILE_INVALID),)):
        section = create_section(size, file=file if has_file else None, name=name, protection=protection)
    _last.code = c.ERROR_ALREADY_EXISTS if section.existed else 0
    return _handle(section)


def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str) -> int:
    """Open a section by the name that its maker gave it.

    Args:
        dwDesiredAccess: FILE_MAP_ constants: the most that views made through it can be.
        bInheritHandle: False.
        lpName: The name.

    Returns:
        The handle.

    Raises:
        TypeError: Arguments of other types.
        Win32Error: ERROR_FILE_NOT_FOUND (2): nobody uses that name. ERROR_INVALID_PARAMETER (87): an access or a name
            that is none, NULL. ERROR_PATH_NOT_FOUND (3): a backslash in the name. ERROR_ACCESS_DENIED (5): somebody
            else's. ERROR_NOT_SUPPORTED (50): a handle to be inherited.

    Source: OpenFileMappingW (memoryapi.h); shm_open(3).

    Version added: 0.1.
    """
    call, access = "OpenFileMapping", number("OpenFileMapping", "dwDesiredAccess", dwDesiredAccess)
    is_inherited = boolean(call, "bInheritHandle", bInheritHandle)
    if lpName is None:
        raise Win32Error(call, c.ERROR_INVALID_PARAMETER, "lpName is NULL")
    name = _name(call, text(call, "lpName", lpName))
    fail_unless(not is_inherited, call, c.ERROR_NOT_SUPPORTED, "handles are not inherited")
    protection = protection_of_access(call, access)
    with Translated(call, None):
        return _handle(open_section(name, protection))


def CloseHandle(hObject: int) -> bool:
    """End the use of a section's handle; its views stay.

    Args:
        hObject: What CreateFileMapping or OpenFileMapping returned.

    Returns:
        True.

    Raises:
        TypeError: No integer.
        Win32Error: ERROR_INVALID_HANDLE (6): no section's handle, or one that was closed; NULL.

    Source: CloseHandle (handleapi.h).

    Version added: 0.1.
    """
    key = handle("CloseHandle", "hObject", hObject)
    section = _handles.pop(key, None)
    if section is None:
        raise Win32Error("CloseHandle", c.ERROR_INVALID_HANDLE, f"{key:#x} is no section's handle")
    with Translated("CloseHandle", None):
        section.close()
    return True
