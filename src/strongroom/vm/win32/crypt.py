"""CryptProtectMemory and CryptUnprotectMemory.

Windows does it in its kernel. Elsewhere libsodium's XChaCha20-Poly1305 does it in this process, under a key of 32
random bytes in a native block: locked, inaccessible between calls, absent from core dumps and from forked children,
wiped by ``purge()`` and at a normal exit. A child makes its own, and cannot unprotect what its parent protected.

Windows' calls leave no room for a nonce and a tag, so they are kept here, found by a hash of the ciphertext: what was
protected may be moved or copied and still be unprotected. The hash needs no key, for what it is made of lies in
ordinary memory as it is; and no collision of BLAKE2b-256 is known, whoever chooses the bytes. A nonce is drawn anew
each time: 24 random bytes do not repeat.

Plaintext is only where the caller has it: the ciphertext is made beside it, in ordinary memory, and copied over it.
Unprotecting checks the tag first, of a copy of the ciphertext that nobody else can change, and then decrypts in place.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from strongroom import _native, _sodium
from strongroom.exceptions import (
    NO_SUCH_CALL,
    AccessError,
    DestroyedError,
    ForkedError,
    PurgedError,
    SystemCallError,
    UnsupportedError,
    Win32Error,
)
from strongroom.vm.protection import READ_WRITE
from strongroom.vm.query import probe
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import Translated, address, fail_unless

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Ciphertexts that were unprotected once and may be again, because there may be copies: about 300 bytes each, 20 MB.
USED_MAX = 65_536

_ENGINE = _sodium.XCHACHA20_POLY1305
_FLAGS = (
    c.CRYPTPROTECTMEMORY_SAME_PROCESS,
    c.CRYPTPROTECTMEMORY_CROSS_PROCESS,
    c.CRYPTPROTECTMEMORY_SAME_LOGON,
)


class _Vault:
    """A key, and the nonces and tags of what was protected under it."""

    __slots__ = ("_decrypt", "_encrypt", "_ffi", "_kept", "_key", "_used")

    def __init__(self) -> None:
        lib, self._ffi = _sodium.load()
        self._encrypt = getattr(lib, f"{_ENGINE.name}_encrypt")
        self._decrypt = getattr(lib, f"{_ENGINE.name}_decrypt")
        self._fail_unless_sound()
        self._kept: dict[bytes, bytes] = {}
        self._used: OrderedDict[bytes, bytes] = OrderedDict()
        self._key = _native.Block(_native.KEY_SIZE)
        with self._key.open("rw") as view:
            _native.fill_random(view)

    def _fail_unless_sound(self) -> None:
        """The published test vector, and the refusal of a forged one."""
        key, nonce, bound, message, expected = _ENGINE.example
        null, size = self._ffi.NULL, self._ffi.new("unsigned long long *")
        sealed = self._ffi.new("unsigned char[]", len(expected))
        made = self._encrypt(sealed, size, message, len(message), bound, len(bound), null, nonce, key)
        is_sound = made == 0 and bytes(sealed) == expected
        sealed[len(expected) - 1] ^= 1
        forged = self._decrypt(null, size, null, sealed, len(expected), bound, len(bound), nonce, key)
        if not is_sound or forged == 0:
            raise UnsupportedError("the installed PyNaCl does not compute XChaCha20-Poly1305: reinstall PyNaCl")

    def is_alive(self) -> bool:
        """Whether the key is there: not purged, and not a parent's."""
        try:
            with self._key.open():
                return True
        except (DestroyedError, ForkedError, PurgedError):
            self._kept.clear()
            self._used.clear()
            return False

    def protect(self, place: Any, size: int) -> None:
        """Encrypt in place."""
        ffi = self._ffi
        nonce = os.urandom(_ENGINE.nonce_size)
        sealed = ffi.new("unsigned char[]", size + _ENGINE.tag_size)
        with self._key.open() as view, ffi.from_buffer("unsigned char[]", view) as key:
            failed = self._encrypt(sealed, ffi.NULL, place, size, ffi.NULL, 0, ffi.NULL, nonce, key)
        fail_unless(failed == 0, "CryptProtectMemory", c.ERROR_INVALID_DATA, "libsodium refused")
        tag = bytes(ffi.buffer(sealed)[size:])
        self._kept[_name(ffi.buffer(sealed, size))] = nonce + tag
        ffi.memmove(place, sealed, size)

    def unprotect(self, place: Any, size: int) -> bool:
        """Decrypt in place; False, and nothing changed, if it is not what was protected here."""
        ffi = self._ffi
        sealed = ffi.new("unsigned char[]", size + _ENGINE.tag_size)
        ffi.memmove(sealed, place, size)
        name = _name(ffi.buffer(sealed, size))
        known = self._kept.get(name) or self._used.get(name)
        if known is None:
            return False
        nonce, tag = known[: _ENGINE.nonce_size], known[_ENGINE.nonce_size :]
        ffi.memmove(ffi.addressof(sealed, size), tag, len(tag))
        whole = len(sealed)
        with self._key.open() as view, ffi.from_buffer("unsigned char[]", view) as key:
            rest = (ffi.NULL, sealed, whole, ffi.NULL, 0, nonce, key)
            if self._decrypt(ffi.NULL, ffi.NULL, *rest) != 0:  # with nowhere to write it only checks the tag
                return False
            self._decrypt(place, ffi.NULL, *rest)
        self._note_use(name, known)
        return True

    def _note_use(self, name: bytes, known: bytes) -> None:
        self._kept.pop(name, None)
        self._used.pop(name, None)
        self._used[name] = known
        while len(self._used) > USED_MAX:
            self._used.popitem(last=False)


_vaults: dict[int, _Vault] = {}  # by number; a purge or a fork ends one, and the next number is taken


def _vault() -> _Vault:
    number = max(_vaults, default=0)
    while True:
        vault = _vaults.get(number)
        if vault is None:
            with Translated("CryptProtectMemory"):
                vault = _vaults.setdefault(number, _Vault())  # another thread may have been first
        if vault.is_alive():
            return vault
        number += 1


def _name(ciphertext: Buffer) -> bytes:
    return hashlib.blake2b(ciphertext, digest_size=32).digest()


def _held(call: str, where: int | Buffer, size: int, stack: ExitStack) -> int:
    """The address of bytes that stay there and can be written until the stack is unwound."""
    if not isinstance(where, int):
        try:
            buffer = stack.enter_context(memoryview(where).cast("B"))
        except TypeError as error:
            raise Win32Error(call, c.ERROR_NOACCESS, f"an address or a writable buffer ({error})") from None
        is_fit = not buffer.readonly and size <= len(buffer)
        fail_unless(is_fit, call, c.ERROR_NOACCESS, f"{size:,} bytes that can be written")
        start = _native.buffer_start(buffer)
        return 0 if start is None else start
    place = address(call, where)
    region = _native.find_region(place)
    try:
        if region is not None:
            stack.enter_context(_native.view_region(region, place - region.address, size, True))
        else:
            fail_unless(probe(place, size, READ_WRITE), call, c.ERROR_NOACCESS, "these bytes cannot be written")
    except (ValueError, AccessError, DestroyedError) as error:
        raise Win32Error(call, c.ERROR_NOACCESS, str(error)) from None
    return place


def _run(call: str, where: int | Buffer, size: int, flags: int) -> None:
    fail_unless(flags in _FLAGS, call, c.ERROR_INVALID_PARAMETER, f"flags {flags:#x}")
    is_whole = size > 0 and size % c.CRYPTPROTECTMEMORY_BLOCK_SIZE == 0
    is_whole = is_whole and size < 1 << 32
    words = f"{size} bytes are no multiple of {c.CRYPTPROTECTMEMORY_BLOCK_SIZE}"
    fail_unless(is_whole, call, c.ERROR_INVALID_PARAMETER, words)
    is_reverse = call == "CryptUnprotectMemory"
    with ExitStack() as stack, Translated(call):
        place = _held(call, where, size, stack)
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
        vault = _vault()
        pointer = vault._ffi.cast("unsigned char *", place)
        if not is_reverse:
            vault.protect(pointer, size)
        elif not vault.unprotect(pointer, size):
            raise Win32Error(call, c.ERROR_INVALID_DATA, "these bytes are not what was protected in this process")


def CryptProtectMemory(pDataIn: int | Buffer, cbDataIn: int, dwFlags: int) -> bool:
    """Encrypt bytes in place, at an address or in a writable buffer; returns True.

    Does not protect against: code that runs in this process, which can ask for them back; copies made before.
    """
    _run("CryptProtectMemory", pDataIn, cbDataIn, dwFlags)
    return True


def CryptUnprotectMemory(pDataIn: int | Buffer, cbDataIn: int, dwFlags: int) -> bool:
    """Decrypt in place what CryptProtectMemory encrypted; other bytes are ERROR_INVALID_DATA, unchanged. Returns True.

    Does not protect against: anything, from here on until the bytes are protected again or wiped.
    """
    _run("CryptUnprotectMemory", pDataIn, cbDataIn, dwFlags)
    return True
