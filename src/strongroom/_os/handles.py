"""What the system calls an open file, and what it calls a section that processes share by name."""

from __future__ import annotations

import hashlib
import importlib
import os

from strongroom._os import PLATFORM

__all__ = ["GROWS_FIRST", "native_file", "section_name"]

#: Whether a file grows before its view is made, and stays that long if that is refused.
GROWS_FIRST = PLATFORM == "windows"


def native_file(descriptor: int) -> int:
    """What the system calls the file of a descriptor: itself, on Windows the handle behind it. OSError if none."""
    if PLATFORM == "windows":
        return int(importlib.import_module("msvcrt").get_osfhandle(descriptor))
    os.fstat(descriptor)
    return descriptor


def section_name(name: str) -> bytes:
    """What the system is to know a named section by.

    Windows takes the name itself, so that other programs find it. Elsewhere it belongs to one user, as on Windows to a
    session, and is short enough for macOS (31 characters), whatever it was.
    """
    if PLATFORM == "windows":
        return name.encode()
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"/sr-{os.geteuid()}-{digest}".encode()
