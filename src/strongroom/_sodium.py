"""libsodium's ciphers, in the build that PyNaCl ships for every system.

They are called through the addresses of the C functions, with no Python object in between: PyNaCl's public interface
takes and returns ``bytes``, which nobody can wipe. The module used is private to PyNaCl, so that an engine must first
compute a published test vector.
"""

from __future__ import annotations

import importlib

from strongroom._loading import load_once
from strongroom.exceptions import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["AEGIS_256", "XCHACHA20_POLY1305", "Engine", "load"]


class Engine:
    """One cipher of libsodium: title, name there, sizes in bytes, and a published example of what it computes."""

    __slots__ = ("example", "name", "nonce_size", "tag_size", "title")

    def __init__(self, title: str, name: str, nonce_size: int, tag_size: int, *example: str | bytes) -> None:
        self.title = title
        self.name = name
        self.nonce_size = nonce_size
        self.tag_size = tag_size
        #: Key, nonce, associated data, message, ciphertext with its tag.
        self.example = tuple(bytes.fromhex(part) if isinstance(part, str) else part for part in example)


#: Fast and free of timing differences where the CPU has AES instructions.
#: Example: draft-irtf-cfrg-aegis-aead-18, appendix A.3, test vector 1, 256-bit tag.
AEGIS_256 = Engine(
    "AEGIS-256",
    "crypto_aead_aegis256",
    32,
    32,
    "1001" + "00" * 30,
    "10000200" + "00" * 28,
    "",
    "00" * 16,
    "754fc3d8c973246dcc6d741412a4b236 1181a1d18091082bf0266f66297d167d2e68b845f61a3b0527d31fc7b7b89f13",
)

#: The same on every CPU. Example: draft-irtf-cfrg-xchacha-03, appendix A.3.1.
XCHACHA20_POLY1305 = Engine(
    "XChaCha20-Poly1305",
    "crypto_aead_xchacha20poly1305_ietf",
    24,
    16,
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    "404142434445464748494a4b4c4d4e4f5051525354555657",
    "50515253c0c1c2c3c4c5c6c7",
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it.",
    "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
    "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
    "b52e c0875924c1c7987947deafd8780acf49",
)


def _load() -> tuple[Any, Any]:
    try:
        _sodium = importlib.import_module("nacl._sodium")  # it has no stub; about 4 ms: only for those who need it
    except ImportError as error:
        raise UnsupportedError(f"PyNaCl's libsodium cannot be loaded ({error}): reinstall PyNaCl >= 1.6.2") from error
    try:
        lib, ffi = _sodium.lib, _sodium.ffi
        status = lib.sodium_init()
    except AttributeError as error:  # another PyNaCl has another private module
        raise UnsupportedError(f"this PyNaCl shows no libsodium ({error}): install PyNaCl >= 1.6.2, < 1.8") from error
    if status < 0:
        raise UnsupportedError("PyNaCl's libsodium does not start (sodium_init)")
    return lib, ffi


def load() -> tuple[Any, Any]:
    """Return PyNaCl's own ``(lib, ffi)``, with libsodium started; ``UnsupportedError`` if that cannot be had.

    ``sodium_init`` takes a mutex of libsodium's, each time. A child forked while another thread had it could never take
    it: so it is called once, and forks wait until that is done. The same goes for the import.
    """
    loaded: tuple[Any, Any] = load_once(_load)
    return loaded
