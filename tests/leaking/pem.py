"""Private keys in files: what is secret of the text, and what every such file has."""

import base64
from typing import Any


def written(private: Any, password: bytes | None = None) -> bytes:
    """Return a private key as a PEM file."""
    from cryptography.hazmat.primitives import serialization as s

    algorithm = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    text: bytes = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, algorithm)
    return text


def text_of(raw: bytes, pem: bytes) -> bytes:
    """Return that part of a PEM file which holds only these bytes: its other lines are the same in many files."""
    body = b"".join(pem.splitlines()[1:-1])
    at = base64.b64decode(body).index(raw)
    first, last = -(-at // 3) * 4, (at + len(raw)) // 3 * 4
    lines = len(pem.splitlines()[0]) + 1  # a newline after the heading and after each 64 characters
    return pem[lines + first + first // 64 : lines + last + (last - 1) // 64]
