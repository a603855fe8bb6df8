"""Which library encrypts secrets at rest, and with what: the first that computes its published example.

First libsodium, in the build that PyNaCl ships for every system: its C functions are called on locked memory, with no
Python object in between (``_sodium.py``). Where that cannot be had, ``cryptography``: slower, through Python objects
made for each call and ended with it (``native/engine.pxi``). It is only imported then.
"""

from __future__ import annotations

import importlib

from strongroom import _native, _sodium
from strongroom._loading import load_once
from strongroom.exceptions import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    #: What ``_native.begin_key`` takes besides the key: two addresses, sizes of nonce and tag, an example.
    Candidate = tuple[int, int, int, int, tuple[bytes, ...]]

__all__ = ["candidates", "hash_address"]

#: Each: bytes of nonce and tag, and a published example: key, nonce, associated data, message, ciphertext with its tag.
#: Test case 16 of McGrew and Viega, The Galois/Counter Mode of Operation, appendix B.
_AES_256_GCM = (
    12,
    16,
    (
        bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2),
        bytes.fromhex("cafebabefacedbaddecaf888"),
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        bytes.fromhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
            "b16aedf5aa0de657ba637b39"
        ),
        bytes.fromhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
            "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ),
)
#: RFC 8439, section 2.8.2.
_CHACHA20_POLY1305 = (
    12,
    16,
    (
        bytes(range(0x80, 0xA0)),
        bytes.fromhex("070000004041424344454647"),
        bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it.",
        bytes.fromhex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a"
            "9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9d"
            "e576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
        ),
    ),
)


def _of_pynacl() -> Iterator[Candidate]:
    """The ciphers of libsodium, the faster one first."""
    lib, ffi = _sodium.load()
    engines = [_sodium.AEGIS_256, _sodium.XCHACHA20_POLY1305]
    if not getattr(lib, "crypto_aead_aes256gcm_is_available", lambda: 0)():  # a CPU without AES instructions
        engines.reverse()
    for engine in engines:
        functions = [f"{engine.name}_{verb}" for verb in ("encrypt", "decrypt")]
        if all(hasattr(lib, name) for name in functions):
            encrypt, decrypt = (int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in functions)
            _native.name_engine(encrypt, f"libsodium {engine.title}")
            yield encrypt, decrypt, engine.nonce_size, engine.tag_size, engine.example


def _load_cryptography() -> tuple[Any, Any]:
    try:
        ciphers = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        invalid_tag = importlib.import_module("cryptography.exceptions").InvalidTag
        version = importlib.import_module("cryptography").__version__
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(f"it cannot be loaded ({error})") from error
    if not hasattr(ciphers.AESGCM, "decrypt_into"):
        raise UnsupportedError(
            f"{version} is too old: 47 is the first that writes into memory it is given (decrypt_into)"
        )
    return ciphers, invalid_tag


def _of_cryptography() -> Iterator[Candidate]:
    """OpenSSL's ciphers: the faster one first, which strict builds (FIPS) have as well."""
    ciphers, invalid_tag = load_once(_load_cryptography)
    for name, title, rest in (
        ("AESGCM", "AES-256-GCM", _AES_256_GCM),
        ("ChaCha20Poly1305", "ChaCha20-Poly1305", _CHACHA20_POLY1305),
    ):
        encrypt, decrypt = _native.use_library(getattr(ciphers, name), invalid_tag)
        _native.name_engine(encrypt, f"cryptography {title}")
        yield encrypt, decrypt, *rest


def hash_address() -> int:
    """Return where libsodium's BLAKE2b is, for shielded keys.

    Raises:
        UnsupportedError: It cannot be had; ``cryptography`` has no hash that writes into memory it is given.
    """
    name = "crypto_generichash_blake2b_salt_personal"
    try:
        lib, ffi = _sodium.load()
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))
    except (UnsupportedError, AttributeError) as error:
        raise UnsupportedError(
            f"shielded=True takes PyNaCl's libsodium ({error}): leave it out, or install that"
        ) from error


def candidates() -> Iterator[Candidate]:
    """Yield one engine after the other, for ``begin_key`` to try; the next library is loaded when it is asked for.

    Raises:
        UnsupportedError: None of them was taken; says for each library why, and what to install.
    """
    first = second = "no cipher of it computes its published example"
    try:
        yield from _of_pynacl()
    except UnsupportedError as error:
        first = str(error)
    try:
        yield from _of_cryptography()
    except UnsupportedError as error:
        second = str(error)
    raise UnsupportedError(
        f"there is no cipher to seal secrets with. PyNaCl: {first}. cryptography: {second}. Install one of them: "
        "pip install 'PyNaCl>=1.6.2,<1.8', or pip install 'cryptography>=47'"
    )
