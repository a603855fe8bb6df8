"""What CryptProtectMemory is where the system has no such call: bytes encrypted in place, under a key of this process.

libsodium's XChaCha20-Poly1305, under 32 random bytes in a native block: locked, inaccessible between calls, absent from
core dumps and from forked children, wiped by ``purge()`` and at a normal exit. A child makes its own, and cannot
unprotect what its parent protected.

Windows' calls leave no room for a nonce and a tag, so they are kept here, found by a hash of the ciphertext: what was
protected may be moved or copied and still be unprotected. The hash needs no key, for what it is made of lies in
ordinary memory as it is; and no collision of BLAKE2b-256 is known, whoever chooses the bytes. A nonce is drawn anew
each time: 24 random bytes do not repeat.

Plaintext is only where the caller has it: the ciphertext is made beside it, in ordinary memory, and copied over it.
Unprotecting checks the tag first, of a copy of the ciphertext that nobody else can change, and then decrypts in place.

A purge, or a fork, ends a vault at any moment, in the middle of a call, too. There is one that counts: the last of a
chain in which each dead one has the slot of its successor. A slot is filled once, by ``dict.setdefault``, which is
atomic; so threads that find a vault dead at the same time agree on the next, and there is no lock that a fork could
leave locked in the child.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from strongroom import _native, _sodium
from strongroom.exceptions import DestroyedError, ForkedError, PurgedError, UnsupportedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["USED_MAX", "Vault", "protect", "unprotect"]

#: Ciphertexts that were unprotected once and may be again, because there may be copies: about 300 bytes each, 20 MB.
USED_MAX = 65_536

_ENGINE = _sodium.XCHACHA20_POLY1305


def _name(ciphertext: Buffer) -> bytes:
    return hashlib.blake2b(ciphertext, digest_size=32).digest()


class Vault:
    """A key, and the nonces and tags of what was protected under it."""

    __slots__ = ("_decrypt", "_encrypt", "_ffi", "_kept", "_key", "_used", "successor")

    def __init__(self) -> None:
        #: The slot of the vault that comes after this one.
        self.successor: dict[None, Vault] = {}
        lib, self._ffi = _sodium.load()
        self._encrypt = getattr(lib, f"{_ENGINE.name}_encrypt")
        self._decrypt = getattr(lib, f"{_ENGINE.name}_decrypt")
        self._fail_unless_sound()
        self._kept: dict[bytes, bytes] = {}
        self._used: OrderedDict[bytes, bytes] = OrderedDict()
        self._key = _native.LockedBlock(_native.KEY_SIZE)
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

    def end(self) -> None:
        """Its key is gone: forget what was under it, and give the locked page back."""
        self._kept.clear()
        self._used.clear()
        with suppress(BufferError):  # another thread is just finding out; the page goes with the last reference then
            self._key.destroy()

    def protect(self, place: int, size: int) -> None:
        """Encrypt in place. If the key ends meanwhile nothing is changed, and its error is raised."""
        ffi = self._ffi
        target = ffi.cast("unsigned char *", place)
        nonce = os.urandom(_ENGINE.nonce_size)
        sealed = ffi.new("unsigned char[]", size + _ENGINE.tag_size)
        with self._key.open() as view, ffi.from_buffer("unsigned char[]", view) as key:
            failed = self._encrypt(sealed, ffi.NULL, target, size, ffi.NULL, 0, ffi.NULL, nonce, key)
        if failed:
            raise UnsupportedError(f"libsodium does not encrypt {size:,} bytes at once")
        tag = bytes(ffi.buffer(sealed)[size:])
        self._kept[_name(ffi.buffer(sealed, size))] = nonce + tag
        ffi.memmove(target, sealed, size)

    def unprotect(self, place: int, size: int) -> bool:
        """Decrypt in place; False, and nothing changed, if it is not what was protected here.

        If the key ends meanwhile nothing is changed either, and its error is raised.
        """
        ffi = self._ffi
        target = ffi.cast("unsigned char *", place)
        sealed = ffi.new("unsigned char[]", size + _ENGINE.tag_size)
        ffi.memmove(sealed, target, size)
        name = _name(ffi.buffer(sealed, size))
        known = self._kept.get(name) or self._used.get(name)
        if known is None:
            return False
        nonce, tag = known[: _ENGINE.nonce_size], known[_ENGINE.nonce_size :]
        ffi.memmove(ffi.addressof(sealed, size), tag, len(tag))
        is_begun = is_open = False
        try:
            with self._key.open() as view, ffi.from_buffer("unsigned char[]", view) as key:
                rest = (ffi.NULL, sealed, len(sealed), ffi.NULL, 0, nonce, key)
                if self._decrypt(ffi.NULL, ffi.NULL, *rest) == 0:  # with nowhere to write it only checks the tag
                    is_begun = True
                    is_open = self._decrypt(target, ffi.NULL, *rest) == 0
        except BaseException:
            is_open = False
            raise
        finally:
            if is_begun and not is_open:  # purged between the two: zeros; after the second: a plaintext past its end
                ffi.memmove(target, sealed, size)
        if is_open:
            self._note_use(name, known)
        return is_open

    def _note_use(self, name: bytes, known: bytes) -> None:
        """It is in one of the two tables at every moment: another thread may have a copy in hand."""
        self._used[name] = known
        self._kept.pop(name, None)
        with suppress(KeyError):  # another thread has ended this vault, or forgotten this one as the oldest
            self._used.move_to_end(name)
            while len(self._used) > USED_MAX:
                self._used.popitem(last=False)


_slot: dict[None, Vault] = {}  # that of the vault which counts, or of a dead one before it


def _next(slot: dict[None, Vault]) -> Vault:
    """The vault of a slot; a new one if it is empty."""
    while (vault := slot.get(None)) is None:
        with suppress(ForkedError, PurgedError):  # while its key was being drawn
            vault = slot.setdefault(None, Vault())  # a thread that comes second throws its own away
    return vault


def _following(slot: dict[None, Vault]) -> dict[None, Vault]:
    """The slot after that of a vault that has ended; later calls begin there."""
    global _slot
    _slot = slot[None].successor  # of an earlier one than it was, if threads cross: the chain leads on from there, too
    return _slot


def protect(place: int, size: int) -> None:
    """Encrypt bytes in place, however often a purge comes in between; the caller keeps the memory there."""
    slot = _slot
    while True:
        vault = _next(slot)
        try:
            return vault.protect(place, size)
        except (DestroyedError, ForkedError, PurgedError):
            vault.end()
            slot = _following(slot)


def unprotect(place: int, size: int) -> bool:
    """Decrypt them; False, and nothing changed, if they are not what was protected here since the last purge."""
    slot = _slot
    while True:
        vault = _next(slot)
        try:
            if vault.unprotect(place, size):
                return True
        except (DestroyedError, ForkedError, PurgedError):
            vault.end()
        if not vault.successor:  # so none is newer that could know it
            return False
        slot = _following(slot)
