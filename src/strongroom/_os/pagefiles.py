"""Where pages of private memory go: Linux' list of swap areas, and which of them a number means.

Source: proc_swaps(5), man-pages 6.10; mm/swapfile.c (swap_show).
"""

from __future__ import annotations

import re

from strongroom import _native
from strongroom._os import PLATFORM, texts
from strongroom.exceptions import SystemCallError

__all__ = ["Area", "candidates", "has_room", "parse_swaps", "read_areas"]

#: path, is a device, size and used in bytes, priority, is in memory.
Area = tuple[str, bool, int, int, int, bool]

_SWAPS = "/proc/swaps"
_ESCAPE = re.compile(r"\\(011|012|040|134)")
_HEADINGS = ["Filename", "Type", "Size", "Used", "Priority"]
_KINDS = {"file": False, "partition": True}
_ENOENT = 2


def _unescaped(path: str) -> str:
    """What a path is without the kernel's octal digits for white space and backslashes."""
    if "\\" in _ESCAPE.sub("", path):
        raise ValueError
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), path)


def _row(line: str) -> Area:
    path, kind, *told = line.split()
    size, used, priority = told
    for digits in (size, used, priority.removeprefix("-")):
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
            raise ValueError
    path, size_now, used_now = _unescaped(path), int(size) * 1024, int(used) * 1024
    if used_now > size_now:
        raise ValueError
    return path, _KINDS[kind], size_now, used_now, int(priority), path.startswith("/dev/zram")


def parse_swaps(text: str) -> list[Area]:
    """The swap areas in the kernel's order.

    Raises:
        SystemCallError: A line is no row, or cut.
    """
    lines = text.split("\n")
    if lines[0].split() != _HEADINGS or len(lines) == 1:
        raise texts.malformed(_SWAPS, 1)
    if lines[-1] != "":
        raise texts.malformed(_SWAPS, len(lines))
    areas = []
    for number, line in enumerate(lines[1:-1], 2):
        try:
            areas.append(_row(line))
        except (ValueError, KeyError):
            raise texts.malformed(_SWAPS, number) from None
    return areas


def read_areas() -> list[Area]:
    """The page files of this machine.

    Raises:
        SystemCallError: The system does not tell.
    """
    if PLATFORM != "linux":
        return [(path, told, size, used, priority, False) for path, size, used, priority, told in _native.page_files()]
    try:
        return parse_swaps(texts.read(_SWAPS))
    except SystemCallError as error:
        if error.code != _ENOENT:
            raise
        texts.read("/proc/self/stat")  # else there is no /proc, and nobody knows
        return []  # a kernel without swap


def has_room() -> bool | None:
    """Whether there is a page file with room; ``None`` if nobody tells."""
    try:
        return any(used < size for _, _, size, used, _, _ in read_areas())
    except SystemCallError:
        return None


def candidates(areas: list[Area], number: int, position: int) -> list[Area]:
    """Which areas the kernel's number may mean, and that reach to a byte.

    The kernel lists them by their numbers and leaves out those that are gone: the one in the i-th place has the number
    i or a larger one.
    """
    return [area for place, area in enumerate(areas) if place <= number and position < area[2] + _native.PAGE_SIZE]
