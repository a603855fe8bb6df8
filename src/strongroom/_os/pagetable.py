"""Entries of Linux' page tables, as it shows them: one page of a process, and what is known of one frame of memory.

Source: Documentation/admin-guide/mm/pagemap.rst; proc_pid_pagemap(5), proc_kpagecount(5), proc_kpageflags(5), man-pages
6.10. Frames and slots are shown with CAP_SYS_ADMIN alone, as 0 without: no page has the frame 0 or the slot 0, which
are the first page of memory and the header of a swap area.
"""

from __future__ import annotations

from collections import namedtuple
from sys import byteorder

from strongroom._native import PAGE_SIZE
from strongroom._os import texts
from strongroom.exceptions import SystemCallError

__all__ = ["NOTHING", "Entry", "frame_flags", "indices", "parse_entry", "parse_word", "read_entry", "share_count"]

_PRESENT, _SWAPPED, _FILE, _GUARD, _EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 56
_FRAME_MASK = (1 << 55) - 1
_AREA_BITS, _SLOT_MASK = 5, (1 << 50) - 1
_WORD = 8
#: Swap areas have the numbers below this; above it the kernel has other reasons for a page not to be there: it is being
#: moved, it is damaged, a device has it. MAX_SWAPFILES of include/linux/swap.h, which no configuration makes smaller.
AREAS = 23
#: A frame of zeros that many mappings show; include/uapi/linux/kernel-page-flags.h.
ZERO_PAGE = 1 << 24
_ENOENT, _EPERM, _EACCES = 2, 1, 13


class Entry(namedtuple("_Entry", "is_present is_swapped is_file is_exclusive frame area slot")):
    """What is told of one page. ``frame``, or ``area`` and ``slot``, are 0 where the system hides them."""

    __slots__ = ()
    is_present: bool
    is_swapped: bool
    is_file: bool
    is_exclusive: bool
    frame: int
    area: int
    slot: int


#: Of a page that is neither in memory nor in a page file.
NOTHING = Entry(False, False, False, False, 0, 0, 0)


def parse_word(data: bytes, path: str) -> int:
    """A number of eight bytes."""
    if len(data) != _WORD:
        raise texts.malformed(path)
    return int.from_bytes(data, byteorder)


def parse_entry(data: bytes) -> Entry:
    """An entry of pagemap.

    Raises:
        SystemCallError: It is cut.
    """
    word = parse_word(data, "/proc/PID/pagemap")
    is_present = word & _PRESENT != 0
    is_swapped = not is_present and word & _SWAPPED != 0 and not word & _GUARD
    frame = word & _FRAME_MASK if is_present else 0
    area, slot = (word & (1 << _AREA_BITS) - 1, word >> _AREA_BITS & _SLOT_MASK) if is_swapped else (0, 0)
    return Entry(is_present, is_swapped, word & _FILE != 0, word & _EXCLUSIVE != 0, frame, area, slot)


def read_entry(pid: int, address: int) -> Entry:
    """The entry of a page of a process, 0 being this one.

    Raises:
        SystemCallError: It cannot be read.
    """
    offset = address // PAGE_SIZE * _WORD
    for name in (str(pid),) if pid else ("thread-self", "self"):
        try:
            data = texts.read_at(f"/proc/{name}/pagemap", offset, _WORD)
        except SystemCallError as error:
            if error.code == _ENOENT and name == "thread-self":
                continue
            raise SystemCallError(f"read(/proc/{pid or 'self'}/pagemap)", error.code) from None
        return parse_entry(data or bytes(_WORD))  # nothing at all: above user space
    raise AssertionError  # pragma: no cover


def _told(path: str, frame: int) -> int | None:
    try:
        data = texts.read_at(path, frame * _WORD, _WORD)
    except SystemCallError as error:
        if error.code in (_EPERM, _EACCES, _ENOENT):  # no privilege, or a kernel without CONFIG_PROC_PAGE_MONITOR
            return None
        raise
    return parse_word(data, path) if data else None  # memory that is no RAM ends the file


def share_count(frame: int) -> int | None:
    """How often a frame is mapped; ``None`` without privilege. An average of a large page's on some kernels (6.15)."""
    return _told("/proc/kpagecount", frame)


def frame_flags(frame: int) -> int | None:
    """The kernel's flags of a frame; ``None`` without privilege."""
    return _told("/proc/kpageflags", frame)


def indices(address: int, bits: int) -> tuple[int, ...]:
    """Which entry of each table an address means, from the top one down: each table is one page of words."""
    step = (PAGE_SIZE // _WORD).bit_length() - 1
    low = PAGE_SIZE.bit_length() - 1
    levels = -(-(bits - low) // step)
    return tuple(address >> low + step * level & (1 << step) - 1 for level in reversed(range(levels)))
