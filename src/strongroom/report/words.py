"""Sizes for people, and text that others chose made safe to show."""

from __future__ import annotations

__all__ = ["as_unicode", "size_text", "visible"]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(size: int) -> str:
    """Bytes in the largest unit that leaves at least 1: exact in KiB, one decimal above."""
    if size < 1024:
        return f"{size} B" if size else "0"
    value = size / 1024
    for unit in _UNITS:
        if value < 1023.95 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "KiB" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def visible(text: str) -> str:
    r"""The same text without anything that a terminal or a reader could take for something else.

    A mapped file's name is whatever somebody called it: control characters, escapes, characters that turn the direction
    of writing or have no width become ``\x1b`` or ``\u202e``; a byte that is no UTF-8 becomes ``\xff``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable()
        else f"\\x{ord(char) - 0xDC00:02x}"
        if "\udc80" <= char <= "\udcff"
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def as_unicode(text: str) -> str:
    r"""The same text, with ``\xff`` for a byte that is no UTF-8: readers of JSON refuse half a character."""
    if text.isascii():
        return text
    return "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)
