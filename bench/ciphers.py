"""What a decryption costs elsewhere: the bare C function, PyNaCl's own interface, the ``cryptography`` package.

What may be missing, or has no stubs, is imported by name, so that type checking does not depend on what is installed.
"""

import os
from importlib import import_module
from itertools import repeat

from bench.helper import Helper
from bench.rows import SkipError
from bench.timing import Loop

#: As many bytes as strongroom binds to each secret (identity, size, number of the key).
_BOUND_SIZE = 24


def bare_decrypt(helper: Helper, size: int) -> Loop:
    """Return a C loop over the decryption that strongroom calls, at the same address, on ordinary memory.

    Raises:
        SkipError: The installed PyNaCl does not start.
    """
    from strongroom._sodium import AEGIS_256, XCHACHA20_POLY1305

    sodium = import_module("nacl._sodium")
    lib, ffi = sodium.lib, sodium.ffi
    if lib.sodium_init() < 0:
        raise SkipError("PyNaCl's libsodium does not start (sodium_init)")
    # The same choice as strongroom's: AEGIS-256 where the CPU has AES instructions.
    engine = AEGIS_256 if lib.crypto_aead_aes256gcm_is_available() else XCHACHA20_POLY1305
    key, nonce, bound = os.urandom(32), os.urandom(engine.nonce_size), os.urandom(_BOUND_SIZE)
    sealed = ffi.new("unsigned char[]", size + engine.tag_size)
    encrypt = getattr(lib, f"{engine.name}_encrypt")
    encrypt(sealed, ffi.NULL, os.urandom(size), size, bound, _BOUND_SIZE, ffi.NULL, nonce, key)
    function = int(ffi.cast("uintptr_t", ffi.addressof(lib, f"{engine.name}_decrypt")))
    return helper.decrypt(function, bytes(ffi.buffer(sealed)), bound, nonce, key)


def nacl_decrypt(size: int) -> Loop:
    """Return the loop over ``SecretBox.decrypt``, the box kept."""
    from nacl.secret import SecretBox

    box = SecretBox(os.urandom(SecretBox.KEY_SIZE))
    sealed = bytes(box.encrypt(os.urandom(size)))

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            box.decrypt(sealed)

    return loop


def nacl_encrypt(size: int) -> Loop:
    """Return the loop that draws random bytes and seals them with ``SecretBox.encrypt``."""
    from nacl.secret import SecretBox

    box = SecretBox(os.urandom(SecretBox.KEY_SIZE))

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            box.encrypt(os.urandom(size))

    return loop


def aesgcm_decrypt(size: int, is_kept: bool) -> Loop:
    """Return the loop over ``AESGCM.decrypt``, with one object for all calls or a fresh one for each.

    Raises:
        SkipError: ``cryptography`` is not installed.
    """
    try:
        aead = import_module("cryptography.hazmat.primitives.ciphers.aead")
    except ImportError as error:
        raise SkipError("needs the optional package cryptography") from error
    cipher = aead.AESGCM
    key, nonce, bound = cipher.generate_key(256), os.urandom(12), os.urandom(_BOUND_SIZE)
    kept = cipher(key)
    sealed = kept.encrypt(nonce, os.urandom(size), bound)

    def with_kept(count: int) -> None:
        for _ in repeat(None, count):
            kept.decrypt(nonce, sealed, bound)

    def with_fresh(count: int) -> None:
        for _ in repeat(None, count):
            cipher(key).decrypt(nonce, sealed, bound)

    return with_kept if is_kept else with_fresh
