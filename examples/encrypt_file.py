"""Encrypt a file under a passphrase that is asked at the terminal, and decrypt it again.

    python encrypt_file.py encrypt report.pdf report.pdf.sealed
    python encrypt_file.py decrypt report.pdf.sealed report.pdf

It needs ``cryptography`` 47 or later. The passphrase goes from the terminal into locked memory, the key is derived from
View to View (scrypt), and the cipher (ChaCha20-Poly1305) reads it there; neither is ever a Python object.
tests/examples searches the process while it waits for the file and in its last moment, and finds nothing of them.

That decides between the functions, too: Argon2id, the newer one, leaves the passphrase in freed memory (the same tests
print it), and AESGCM leaves its key (docs/libraries.md).

What it does not do: the file's own content is in ordinary memory here, all of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom import Secret, StrongroomError

MAGIC = b"sealed-1"  # of the file's format: what follows, and with which parameters
SALT_SIZE, NONCE_SIZE, KEY_SIZE, TAG_SIZE = 16, 12, 32, 16
COST, BLOCK_SIZE, PARALLEL = 2**17, 8, 1  # RFC 7914's N, r and p: 128 MiB (128 * N * r bytes) for each guess
MOST_BYTES = 1 << 30  # of a file: all of it is in memory at once


def key_from(passphrase: Secret, salt: bytes) -> Secret:
    """Derive the key, from locked memory into locked memory."""

    def fill(view: Any) -> None:  # cryptography's types name no View
        kdf = Scrypt(salt=salt, length=KEY_SIZE, n=COST, r=BLOCK_SIZE, p=PARALLEL)
        with passphrase.open() as typed:
            kdf.derive_into(typed, view)  # type: ignore[arg-type]

    return Secret.build(KEY_SIZE, fill)


def encrypt(passphrase: Secret, source: str) -> bytes:
    """Return what the encrypted file holds."""
    salt, nonce = os.urandom(SALT_SIZE), os.urandom(NONCE_SIZE)
    key = key_from(passphrase, salt)
    header = MAGIC + salt + nonce
    content = content_of(source)
    with key.open() as view:
        return header + ChaCha20Poly1305(view).encrypt(nonce, content, header)  # type: ignore[arg-type]


def decrypt(passphrase: Secret, source: str) -> bytes:
    """Return what the file held before, if passphrase and file are as they were."""
    content = content_of(source)
    size = len(MAGIC) + SALT_SIZE + NONCE_SIZE
    if not content.startswith(MAGIC) or len(content) < size + TAG_SIZE:
        raise ValueError(f"{source} is no file that this program encrypted")
    header, sealed = content[:size], content[size:]
    with key_from(passphrase, header[len(MAGIC) : -NONCE_SIZE]).open() as view:
        try:
            return ChaCha20Poly1305(view).decrypt(header[-NONCE_SIZE:], sealed, header)  # type: ignore[arg-type]
        except InvalidTag:
            pass
    raise ValueError("this is not the passphrase, or the file was changed")


def content_of(path: str) -> bytes:
    """Read a file, unless it is too large for this program."""
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES:,} bytes")
    return content


def write_new(path: str, content: bytes) -> None:
    """Write a file that was not there, for its owner alone, or none."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as target:
            target.write(content)
    except BaseException:
        os.unlink(path)
        raise


def main() -> int:
    """Ask, derive, encrypt or decrypt."""
    parser = argparse.ArgumentParser(description="encrypt a file under a passphrase, and decrypt it again")
    parser.add_argument("verb", choices=["encrypt", "decrypt"])
    parser.add_argument("source", help="the file to read")
    parser.add_argument("target", help="the file to make; it must not be there yet")
    options = parser.parse_args()
    is_new = options.verb == "encrypt"
    try:
        if os.path.lexists(options.target):
            raise FileExistsError(f"{options.target} is there already")
        passphrase = Secret.from_prompt("Passphrase: ", confirm=is_new)
        write_new(options.target, (encrypt if is_new else decrypt)(passphrase, options.source))
    except (OSError, ValueError, EOFError, StrongroomError) as error:
        print(f"encrypt_file: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
