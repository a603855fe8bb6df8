"""From Python's errors to Windows' codes."""

from __future__ import annotations

import errno
from types import TracebackType

from strongroom.exceptions import (
    NO_SUCH_CALL,
    AccessError,
    DestroyedError,
    ForkedError,
    LockLimitError,
    SecuredError,
    StrongroomError,
    SystemCallError,
    UnsupportedError,
    Win32Error,
)
from strongroom.vm.win32 import constants as c

__all__ = ["Translated", "fail_unless"]

#: The first that fits. What the system itself refused comes after these: its code is up to the call.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (SecuredError, c.ERROR_INVALID_PARAMETER),  # STATUS_INVALID_PAGE_PROTECTION
    (BufferError, c.ERROR_INVALID_PARAMETER),  # a View holds its pages as a secured range does
    (LockLimitError, c.ERROR_WORKING_SET_QUOTA),
    (AccessError, c.ERROR_NOACCESS),
    (DestroyedError, c.ERROR_INVALID_ADDRESS),  # another thread released it after it was found: nothing is there
    (ForkedError, c.ERROR_INVALID_HANDLE),
    (UnsupportedError, c.ERROR_NOT_SUPPORTED),
    (MemoryError, c.ERROR_NOT_ENOUGH_MEMORY),
    (ValueError, c.ERROR_INVALID_PARAMETER),
)
#: Windows' codes for what Unix answers; on Windows the system's own are passed on.
_SYSTEM_CODES = {
    errno.EACCES: c.ERROR_ACCESS_DENIED,
    errno.EPERM: c.ERROR_ACCESS_DENIED,
    errno.EBADF: c.ERROR_INVALID_HANDLE,
    errno.ENODEV: c.ERROR_INVALID_HANDLE,
    errno.ENOENT: c.ERROR_FILE_NOT_FOUND,
    errno.ENOSPC: c.ERROR_DISK_FULL,
    errno.EINVAL: c.ERROR_INVALID_PARAMETER,
    errno.EOVERFLOW: c.ERROR_ACCESS_DENIED,
    NO_SUCH_CALL: c.ERROR_NOT_SUPPORTED,
}


def _code_of(error: OSError) -> int:
    """The code of what the system refused, by what it said."""
    if isinstance(error, SystemCallError):
        number, is_windows = error.code, hasattr(error, "winerror") and error.code != NO_SUCH_CALL
    else:  # Python's own; on Windows it may be the C library that refused, which has no such code
        is_windows = getattr(error, "winerror", None) is not None
        number = getattr(error, "winerror", None) or error.errno or 0
    if is_windows:
        return number or c.ERROR_INVALID_HANDLE
    return _SYSTEM_CODES.get(number, c.ERROR_NOT_ENOUGH_MEMORY)


class Translated:
    """Inside the block every error but a ``TypeError`` becomes a ``Win32Error``.

    What the system itself refuses gets ``code``; if that is None, the code for what the system said. ``others`` go
    before the table above: what an error means that means something else in this call. Blocks may nest.
    """

    __slots__ = ("_call", "_code", "_others")

    def __init__(
        self,
        call: str,
        code: int | None = c.ERROR_NOT_ENOUGH_MEMORY,
        others: tuple[tuple[type[Exception], int], ...] = (),
    ) -> None:
        self._call = call
        self._code = code
        self._others = others

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if value is None or isinstance(value, Win32Error):
            return
        for error, code in (*self._others, *_CODES):
            if isinstance(value, error):
                raise Win32Error(self._call, code, str(value)) from value
        if isinstance(value, OSError):
            raise Win32Error(self._call, _code_of(value) if self._code is None else self._code, str(value)) from value
        if isinstance(value, StrongroomError):  # no other is expected; whatever it is, it has its one shape
            raise Win32Error(self._call, c.ERROR_INVALID_DATA, str(value)) from value


def fail_unless(is_fine: object, call: str, code: int, why: str) -> None:
    """Raise the code's error unless what was asked for is fine."""
    if not is_fine:
        raise Win32Error(call, code, why)
