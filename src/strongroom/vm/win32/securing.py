"""MmSecureVirtualMemory and MmUnsecureVirtualMemory."""

from __future__ import annotations

import itertools
import os

from strongroom._native import SecureHandle as _SecureHandle
from strongroom.exceptions import AccessError, Win32Error
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import handle, number, pointer
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import fail_unless_committed, within

__all__ = ["MmSecureVirtualMemory", "MmUnsecureVirtualMemory"]

_secured: dict[int, _SecureHandle] = {}
_numbers = itertools.count(16, 16)  # one that was given out never comes again


def MmSecureVirtualMemory(Address: int, Size: int, ProbeMode: int) -> int:
    """Promise that pages stay, and stay accessible, until the handle is given back.

    Args:
        Address: Where they begin, rounded down to a page; in an allocation.
        Size: Bytes; all pages that the range touches.
        ProbeMode: PAGE_READONLY (they must remain readable) or PAGE_READWRITE (and writable).

    Returns:
        The handle, a number that means something in this process only.

    Raises:
        TypeError: An argument that is no integer.
        Win32Error: Windows returns NULL and no code; these are strongroom's. ERROR_INVALID_PARAMETER (87): no size,
            another mode. ERROR_INVALID_ADDRESS (487): nothing is allocated there, not all of it, or a page is not
            committed. ERROR_NOACCESS (998): a page does not allow the mode now.

    Does not protect against: code that calls the system itself. A handle means nothing in a forked child.

    Source: MmSecureVirtualMemory (ntddk.h).

    Version added: 0.1.
    """
    call, place = "MmSecureVirtualMemory", pointer("MmSecureVirtualMemory", "Address", Address)
    size, mode = number(call, "Size", Size, 64), number(call, "ProbeMode", ProbeMode)
    is_mode = mode in (c.PAGE_READONLY, c.PAGE_READWRITE) and size
    fail_unless(is_mode, call, c.ERROR_INVALID_PARAMETER, "ProbeMode is PAGE_READONLY or PAGE_READWRITE, Size positive")
    with Translated(call):
        region, offset, size = within(call, place, size)
        fail_unless_committed(call, c.ERROR_INVALID_ADDRESS, region, offset, size)
        promise = region.secure(offset, size, mode)
    result = os.getpid() << 32 | next(_numbers)  # another process's numbers are never ours
    _secured[result] = promise
    return result


def MmUnsecureVirtualMemory(SecureHandle: int) -> None:
    """End what MmSecureVirtualMemory began, in the process that did.

    Args:
        SecureHandle: What it returned.

    Raises:
        TypeError: No integer.
        Win32Error: ERROR_INVALID_HANDLE (6): no such handle, one that was given back, or a parent's.
            ERROR_INVALID_PARAMETER (87): a number that no handle can be.

    Source: MmUnsecureVirtualMemory (ntddk.h).

    Version added: 0.1.
    """
    call, key = "MmUnsecureVirtualMemory", handle("MmUnsecureVirtualMemory", "SecureHandle", SecureHandle)
    promise = _secured.get(key)
    if promise is None:
        raise Win32Error(call, c.ERROR_INVALID_HANDLE, "no such handle in this process")
    with Translated(call, others=((AccessError, c.ERROR_INVALID_HANDLE),)):  # another thread ended it since
        promise.unsecure()
    _secured.pop(key, None)
