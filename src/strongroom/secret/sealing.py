"""The key that secrets are sealed under, and the cipher that does it.

The key is 32 random bytes in a ``LockedBuffer``, drawn when the first secret of a process is made: again in each
forked child, and again after ``purge()``. It is resident and readable by this process as long as there are secrets;
everything sealed depends on nobody else reading these 32 bytes.

The cipher is libsodium's, in the build that PyNaCl ships for every system. It is called through the addresses of the
C functions, on locked memory, with no Python object in between: PyNaCl's public interface takes and returns
``bytes``, which nobody can wipe. The module used is private to PyNaCl, so that an engine must first compute a
published test vector.
"""

from __future__ import annotations

from strongroom import _native
from strongroom._sodium import AEGIS_256, XCHACHA20_POLY1305, load
from strongroom.buffers import LockedBuffer
from strongroom.exceptions import UnsupportedError

__all__ = ["ensure_key"]


def ensure_key() -> None:
    """Make sure that this process has a key and an engine to seal with.

    Raises:
        LockLimitError: No memory can be locked for the key.
        UnsupportedError: No engine of the installed PyNaCl computes its test vector.
    """
    if _native.has_sealer():
        return
    lib, ffi = load()
    has_aes = bool(lib.crypto_aead_aes256gcm_is_available())
    key = LockedBuffer(_native.KEY_SIZE, isolated=True)  # between guard pages, and read-only
    with key.open("rw") as view:
        _native.fill_random(view)
    for engine in (AEGIS_256, XCHACHA20_POLY1305) if has_aes else (XCHACHA20_POLY1305, AEGIS_256):
        if not hasattr(lib, f"{engine.name}_encrypt"):
            continue
        encrypt, decrypt = (
            int(ffi.cast("uintptr_t", ffi.addressof(lib, f"{engine.name}_{verb}"))) for verb in ("encrypt", "decrypt")
        )
        if _native.begin_sealing(key, encrypt, decrypt, engine.nonce_size, engine.tag_size, engine.example):
            return
    raise UnsupportedError("no cipher of the installed PyNaCl computes its published test vector: reinstall PyNaCl")
