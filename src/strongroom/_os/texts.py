"""Small files of the kernel's that hold text or numbers: how they are read, and what it means when they cannot be."""

from __future__ import annotations

import os

from strongroom.exceptions import SystemCallError

__all__ = ["malformed", "number", "read", "read_at"]

_EILSEQ = 84  # Linux' own number: the files are Linux'


def malformed(path: str, line: int | None = None) -> SystemCallError:
    """The one error for what nobody can parse. Never what is in it: names in there are other people's."""
    where = "it" if line is None else f"line {line:,}"
    return SystemCallError(f"read({path})", _EILSEQ, f"{where.capitalize()} is not what such a file consists of.")


def read(path: str) -> str:
    """All of a file as text; what is no UTF-8 is kept as surrogates.

    Raises:
        SystemCallError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read()
    except OSError as error:
        raise SystemCallError(f"read({path})", error.errno or 0) from None


def read_at(path: str, offset: int, size: int) -> bytes:
    """Bytes of a file, fewer at its end.

    Raises:
        SystemCallError: They cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, size, offset)
        finally:
            os.close(file)
    except OSError as error:
        raise SystemCallError(f"read({path})", error.errno or 0) from None


def number(text: str, path: str) -> int:
    """The number that a file of one number holds."""
    digits = text[:-1]
    if text[-1:] != "\n" or not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
        raise malformed(path)
    return int(digits)
