"""From strongroom's errors to Windows' codes."""

from __future__ import annotations

from types import TracebackType

from strongroom.exceptions import (
    AccessError,
    LockLimitError,
    SecuredError,
    SystemCallError,
    UnsupportedError,
    Win32Error,
)
from strongroom.vm.win32.constants import (
    ERROR_INVALID_PARAMETER,
    ERROR_NOACCESS,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_SUPPORTED,
    ERROR_WORKING_SET_QUOTA,
)

_CODES = (
    (SecuredError, ERROR_INVALID_PARAMETER),  # STATUS_INVALID_PAGE_PROTECTION
    (LockLimitError, ERROR_WORKING_SET_QUOTA),
    (AccessError, ERROR_NOACCESS),
    (UnsupportedError, ERROR_NOT_SUPPORTED),
)


class Translated:
    """Inside the block an error of ``vm`` becomes a ``Win32Error``; the system's own refusals get ``code``."""

    __slots__ = ("_call", "_code")

    def __init__(self, call: str, code: int = ERROR_NOT_ENOUGH_MEMORY) -> None:
        self._call = call
        self._code = code

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(value, Win32Error):
            return
        for error, code in _CODES:
            if isinstance(value, error):
                raise Win32Error(self._call, code, str(value)) from value
        if isinstance(value, SystemCallError | MemoryError):
            raise Win32Error(self._call, self._code, str(value)) from value


def fail_unless(is_fine: object, call: str, code: int, why: str) -> None:
    """Raise the code's error unless what was asked for is fine."""
    if not is_fine:
        raise Win32Error(call, code, why)


def address(call: str, value: int | None) -> int:
    """A pointer: NULL may be None."""
    number = 0 if value is None else value.__index__()
    fail_unless(0 <= number < 1 << 64, call, ERROR_INVALID_PARAMETER, f"{number:#x} does not fit a pointer")
    return number
