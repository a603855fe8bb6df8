"""CryptProtectMemory and CryptUnprotectMemory: Windows' own where they work, elsewhere vault.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from strongroom import _native
from strongroom.exceptions import NO_SUCH_CALL, DestroyedError, SystemCallError, Win32Error
from strongroom.vm.protection import READ_WRITE
from strongroom.vm.query import probe
from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32 import vault
from strongroom.vm.win32.arguments import memory, number
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import region_at

__all__ = ["CryptProtectMemory", "CryptUnprotectMemory"]

_FLAGS = (
    c.CRYPTPROTECTMEMORY_SAME_PROCESS,
    c.CRYPTPROTECTMEMORY_CROSS_PROCESS,
    c.CRYPTPROTECTMEMORY_SAME_LOGON,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer


def _held(call: str, where: int | memoryview, size: int, stack: ExitStack) -> int:
    """The address of bytes that stay there and can be written until the stack is unwound."""
    if isinstance(where, memoryview):
        is_fit = not where.readonly and size <= len(where)
        fail_unless(is_fit, call, c.ERROR_NOACCESS, f"a buffer in which {size:,} bytes can be written")
        return _native.buffer_start(where) or 0
    others = ((ValueError, c.ERROR_NOACCESS), (DestroyedError, c.ERROR_NOACCESS))
    is_foreign = False
    while True:
        holder = region_at(where)
        with Translated(call, others=others):
            if holder is not None:
                stack.enter_context(holder.view(where - holder.address, size, "rw"))
                return where
            if is_foreign:
                return where
            fail_unless(probe(where, size, READ_WRITE), call, c.ERROR_NOACCESS, "these bytes cannot be written")
        is_foreign = True  # unless another thread has put an allocation of ours there: look again


def _run(call: str, where: int | Buffer, size: int, flags: int) -> None:
    size, flags = number(call, "cbDataIn", size), number(call, "dwFlags", flags)
    with ExitStack() as stack, Translated(call):
        place = memory(call, "pDataIn", where, stack)
        fail_unless(flags in _FLAGS, call, c.ERROR_INVALID_PARAMETER, f"flags {flags:#x}")
        is_whole = size > 0 and size % c.CRYPTPROTECTMEMORY_BLOCK_SIZE == 0
        words = f"{size} bytes are no multiple of {c.CRYPTPROTECTMEMORY_BLOCK_SIZE}"
        fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, words)
        place = _held(call, place, size, stack)
        is_reverse = call == "CryptUnprotectMemory"
        try:
            _native.system_protect(place, size, flags, is_reverse)
        except SystemCallError as error:
            if error.code != NO_SUCH_CALL:
                raise Win32Error(call, error.code, "Windows refused; or, under Wine, the call does nothing") from None
        else:
            return
        is_own = flags == c.CRYPTPROTECTMEMORY_SAME_PROCESS
        words = "without Windows' kernel only this process can have the key: CRYPTPROTECTMEMORY_SAME_PROCESS"
        fail_unless(is_own, call, c.ERROR_NOT_SUPPORTED, words)
        if not is_reverse:
            vault.protect(place, size)
        elif not vault.unprotect(place, size):
            raise Win32Error(call, c.ERROR_INVALID_DATA, "these bytes are not what was protected in this process")


def CryptProtectMemory(pDataIn: int | Buffer, cbDataIn: int, dwFlags: int) -> bool:
    """Encrypt bytes in place.

    Args:
        pDataIn: Their address, or a contiguous buffer that can be written.
        cbDataIn: How many: a multiple of 16, less than 4 GiB.
        dwFlags: CRYPTPROTECTMEMORY_SAME_PROCESS; with Windows' own call also CROSS_PROCESS and SAME_LOGON.

    Returns:
        True.

    Raises:
        TypeError: A pDataIn that is neither, numbers that are no integers.
        Win32Error: ERROR_INVALID_PARAMETER (87): another size, flags that are none. ERROR_NOACCESS (998): bytes that
            cannot be written. ERROR_NOT_SUPPORTED (50): flags that take Windows' kernel, where that is not there; Wine,
            where the call does nothing; a PyNaCl that computes something else. ERROR_WORKING_SET_QUOTA (1453): no
            memory can be locked for the key. ERROR_NOT_ENOUGH_MEMORY (8): there is none. Nothing was changed then.

    Platform notes: elsewhere than on Windows about 300 bytes are kept for each ciphertext. ``purge()`` and a fork end
    what was protected before; a purge in the middle of the call does not.

    Does not protect against: code that runs in this process, which can ask for them back; copies made before; another
    thread that frees memory which is not strongroom's meanwhile.

    Source: CryptProtectMemory (dpapi.h).

    Version added: 0.1.
    """
    _run("CryptProtectMemory", pDataIn, cbDataIn, dwFlags)
    return True


def CryptUnprotectMemory(pDataIn: int | Buffer, cbDataIn: int, dwFlags: int) -> bool:
    """Decrypt in place what CryptProtectMemory encrypted.

    Args:
        pDataIn: Where the ciphertext is now, which it may have been moved or copied to: as for CryptProtectMemory.
        cbDataIn: Bytes: all that were protected at once.
        dwFlags: The same as then.

    Returns:
        True.

    Raises:
        TypeError: As for CryptProtectMemory.
        Win32Error: ERROR_INVALID_DATA (13): these bytes are not what was protected in this process since the last
            ``purge()``; they stay as they are. The others are CryptProtectMemory's.

    Platform notes: Windows itself returns True for changed bytes, and decrypts them to something else.

    Does not protect against: anything, from here on until the bytes are protected again or wiped.

    Source: CryptUnprotectMemory (dpapi.h).

    Version added: 0.1.
    """
    _run("CryptUnprotectMemory", pDataIn, cbDataIn, dwFlags)
    return True
