"""What the calls are given, converted once, before anything is done.

A wrong type is a ``TypeError``, a number that does not fit Windows' type ERROR_INVALID_PARAMETER. The message names the
argument and its type, never what it holds: that may be a secret in the wrong place.

Everything after that works with exact ``int``, ``str`` and ``memoryview``: no code of the caller's objects runs between
a check and what is done because of it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from strongroom.exceptions import StrongroomError, Win32Error
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import fail_unless

__all__ = [
    "DWORD",
    "HasValue",
    "boolean",
    "fail_unless_own",
    "handle",
    "items",
    "memory",
    "number",
    "pointer",
    "room_for_number",
    "text",
]

#: The largest number that is ever written to a DWORD: every protection with every modifier.
_PROTECTION_MAX = 0x7FF


class HasValue(Protocol):
    """What a call can write a number to: a ``DWORD`` of ours or of ``ctypes.wintypes``."""

    value: int


class DWORD:
    """A number that a call writes to.

    Args:
        value: What it is before that.

    Attributes: ``value``.

    Source: minwindef.h.

    Version added: 0.1.
    """

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value


def _wrong_type(call: str, name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{call}: {name} must be {wanted}, not {'None' if value is None else type(value).__name__}")


def _integer(call: str, name: str, value: object, wanted: str = "an integer") -> int:
    if type(value) is int:
        return value
    if type(value) is bool:
        raise _wrong_type(call, name, wanted, value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except Exception:  # whatever __index__ raises: its words are the argument's
        raise _wrong_type(call, name, wanted, value) from None


def number(call: str, name: str, value: object, bits: int = 32) -> int:
    """A DWORD, or with 64 bits a SIZE_T."""
    result = _integer(call, name, value)
    fail_unless(0 <= result < 1 << bits, call, c.ERROR_INVALID_PARAMETER, f"{name} is no number of {bits} bits")
    return result


def pointer(call: str, name: str, value: object) -> int:
    """An address; NULL may be None."""
    return 0 if value is None else number(call, name, value, 64)


def handle(call: str, name: str, value: object) -> int:
    """A handle; NULL may be None, and what Windows writes as -1 may be negative."""
    if value is None:
        return 0
    result = _integer(call, name, value)
    fits = -(1 << 63) <= result < 1 << 64
    fail_unless(fits, call, c.ERROR_INVALID_PARAMETER, f"{name} is no number of 64 bits")
    return result & (1 << 64) - 1


def fail_unless_own(call: str, process: object) -> None:
    """Raise ERROR_INVALID_HANDLE unless the process is this one, as GetCurrentProcess names it."""
    is_own = handle(call, "hProcess", process) == c.INVALID_HANDLE_VALUE
    fail_unless(is_own, call, c.ERROR_INVALID_HANDLE, "it is for this process (-1) alone")


def items(call: str, name: str, values: object, count: int, wanted: str = "integers") -> list[object]:
    """The first items of a sequence, which must have as many."""
    try:
        if isinstance(values, (str, bytes, Mapping, type)):
            raise TypeError
        is_long_enough = len(values) >= count  # type: ignore[arg-type]
        found = [values[index] for index in range(count)] if is_long_enough else []  # type: ignore[index]
    except Exception:  # whatever the object raises
        raise _wrong_type(call, name, f"a sequence of {wanted}", values) from None
    fail_unless(is_long_enough, call, c.ERROR_INVALID_PARAMETER, f"{name} has fewer than {count:,} items")
    return found


def boolean(call: str, name: str, value: object) -> bool:
    """A BOOL."""
    return value is True or (value is not False and _integer(call, name, value, "a bool") != 0)


def text(call: str, name: str, value: object) -> str:
    """A string that is one for Windows, too."""
    if not isinstance(value, str):
        raise _wrong_type(call, name, "a str", value)
    result = str.__str__(value)
    is_whole = not any("\ud800" <= letter <= "\udfff" for letter in result)
    fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, f"{name} has half of a surrogate pair in it")
    return result


def room_for_number(call: str, name: str, target: HasValue | None) -> HasValue:
    """An object to whose value a number can be written later; that is tried now. NULL is ERROR_NOACCESS, as there."""
    if target is None:
        raise Win32Error(call, c.ERROR_NOACCESS, f"{name} is NULL")
    try:
        before = target.value
        if isinstance(target, type):  # writing there would replace what all its instances have
            raise TypeError
        target.value = _PROTECTION_MAX
        is_kept = target.value == _PROTECTION_MAX
        target.value = before
        if not is_kept:
            raise TypeError
    except Exception:  # whatever the object raises
        raise _wrong_type(call, name, "an object with a value that takes a DWORD", target) from None
    return target


def memory(call: str, name: str, value: object, stack: ExitStack) -> int | memoryview:
    """An address, NULL for None; or the bytes of a contiguous buffer, until the stack is unwound."""
    if value is None or isinstance(value, int):  # True and False are neither
        return pointer(call, name, value)
    try:
        return stack.enter_context(memoryview(value).cast("B"))  # type: ignore[arg-type]
    except (BufferError, StrongroomError):  # a View whose block has ended, a buffer that is not lent
        raise Win32Error(call, c.ERROR_NOACCESS, f"{name}: this {type(value).__name__} lends no buffer now") from None
    except Exception:
        if not hasattr(type(value), "__index__"):
            raise _wrong_type(call, name, "an address or a contiguous buffer", value) from None
    return number(call, name, value, 64)
