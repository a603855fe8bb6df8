"""The keys that secrets are sealed under, and the cipher that does it.

A key is random bytes in a ``LockedBuffer``, drawn when the first secret of its kind is made: again in each forked
child, again after ``purge()`` and by ``rekey()``. It is resident and readable by this process as long as there are
secrets under it; everything sealed depends on nobody else reading it.

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
from strongroom.secret import forking

__all__ = ["draw_key", "rekey"]


def draw_key(kind: int) -> None:
    """Make sure that this process has a key to seal secrets of this kind under.

    Raises:
        LockLimitError: No memory can be locked for the key.
        UnsupportedError: No engine of the installed PyNaCl computes its test vector.
    """
    if _native.has_key(kind):
        return
    if kind & _native.KEPT_KEY:
        forking.prepare()
    lib, ffi = load()

    def address(name: str) -> int:
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))

    has_aes = bool(lib.crypto_aead_aes256gcm_is_available())
    hashing = address("crypto_generichash_blake2b_salt_personal") if kind & _native.SHIELDED_KEY else 0
    block = LockedBuffer(_native.key_memory_size(kind), isolated=True)  # between guard pages
    for engine in (AEGIS_256, XCHACHA20_POLY1305) if has_aes else (XCHACHA20_POLY1305, AEGIS_256):
        if not hasattr(lib, f"{engine.name}_encrypt"):
            continue
        encrypt, decrypt = (address(f"{engine.name}_{verb}") for verb in ("encrypt", "decrypt"))
        if _native.begin_key(
            block, kind, encrypt, decrypt, engine.nonce_size, engine.tag_size, engine.example, hashing
        ):
            return
    raise UnsupportedError("no cipher of the installed PyNaCl computes its published test vector: reinstall PyNaCl")


def rekey() -> None:
    """Draw a new key, and have each secret sealed under it when it is opened next.

    What a thief copied of this process's memory before, keys included, opens nothing that was sealed anew since. An
    earlier key stays in locked memory until no secret is left under it. To have them all change over, open each once.

    Raises:
        LockLimitError: No memory can be locked for one more key. Secrets are as they were, and the old key goes on.
        UnsupportedError: There are 16 keys with secrets under each.
        SystemCallError: Another refusal, with the call's name.

    Platform notes: a page of locked memory for each key; five, as a rule, for one of shielded secrets. Before the first
    secret there is no key, and nothing is done. A child has keys of its own; of what it inherited with
    ``in_children="keep"``, only what it opens after drawing such a key itself is sealed anew.

    Does not protect against: whoever reads the new key. What was copied before is still opened by what was copied with
    it: change the secrets themselves after a theft.

    Version added: 0.1.
    """
    for kind in _native.key_kinds():
        _native.replace_key(LockedBuffer(_native.key_memory_size(kind), isolated=True), kind)


_native.install_key_maker(draw_key)
