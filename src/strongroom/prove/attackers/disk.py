"""Attack: have a file system write everything back, then read its disk raw, below it, and say whose block each copy is.

Parameters: path (the disk's image) and point (where it is mounted); count, size (of the tracers on standard input);
pid and files: {name: inode}, the victim and the files that it has mapped; blocks: what an earlier attack told of them,
for files that are gone by now.

The blocks of a file are asked for through /proc/PID/map_files, which also opens files that have no name any more, and
FIEMAP (fiemap.rst). Blocks of a file system that fills its disk are at the same place in the image.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Any

from . import libc, pageout, pages
from .needles import FileReader, Needles, Sightings, Sweep, haystack_area, open_raw

ELSEWHERE = "the disk, outside the files"
_FS_IOC_FIEMAP = 0xC020660B
_HEADER, _EXTENT = "=QQIIII", "=QQQQQIIII"
_MOST_EXTENTS = 32  # in one answer: the files asked about have one or two
_MOST_CALLS = 1 << 12  # many times what a disk of 32 MiB has blocks for
_LAST = 0x1  # FIEMAP_EXTENT_LAST
_UNPLACED = 0x1 << 1 | 0x1 << 2 | 0x1 << 9  # FIEMAP_EXTENT_UNKNOWN, _DELALLOC, _DATA_INLINE: no block of its own


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Write back, page out, write back what that made dirty, and scan."""
    needles = Needles(0, int(parameters["count"]), int(parameters["size"]))
    area = haystack_area()
    pid = int(parameters["pid"])
    point = os.open(str(parameters["point"]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc.syncfs(point)
        pageout.run({"pids": [pid]})
        libc.syncfs(point)
        device = os.fstat(point).st_dev
    finally:
        os.close(point)
    inodes = {int(inode): str(name) for name, inode in parameters["files"].items()}
    blocks = parameters.get("blocks") or blocks_of(pid, device, inodes)
    sightings = Sightings(needles)
    sweep = Sweep(sightings, area)
    descriptor, is_direct = open_raw(str(parameters["path"]))
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        sweep.run(FileReader(descriptor), 0, size)
    finally:
        os.close(descriptor)
    return {
        "needles": [_copies(sightings.copies(index), blocks) for index in range(needles.count)],
        "scanned_size": sweep.scanned_size,
        "unreadable": [{"where": "disk image", "size": e - s, "explained": False} for s, e, _ in sweep.unreadable],
        # A file whose blocks are not known could not be told from the rest of the disk.
        "is_complete": sweep.scanned_size == size and set(blocks) == set(inodes.values()),
        "is_direct": is_direct,
        "is_locked": needles.area.is_locked and area.is_locked,
        "blocks": blocks,
    }


def blocks_of(pid: int, device: int, names: dict[int, str]) -> dict[str, list[list[int]]]:
    """Where on their disk the files lie that a process has mapped: {name: [[start, end], ...]}, in bytes."""
    found: dict[str, list[list[int]]] = {}
    for mapping in pages.mappings(pid):
        if mapping.inode not in names:
            continue
        descriptor = os.open(f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_dev == device and (extents := _extents(descriptor)) is not None:
                found[names[mapping.inode]] = extents
        finally:
            os.close(descriptor)
    return found


def _extents(descriptor: int) -> list[list[int]] | None:
    """The blocks of one file (none, if nothing of it was ever written); None if some have no place of their own.

    Raises:
        OSError: The kernel told of extents and never of the last one. Half a list would make strays of a file's blocks.
    """
    step, head = struct.calcsize(_EXTENT), struct.calcsize(_HEADER)
    blocks: list[list[int]] = []
    at, is_placed = 0, True
    for _ in range(_MOST_CALLS):
        buffer = bytearray(head + _MOST_EXTENTS * step)
        struct.pack_into(_HEADER, buffer, 0, at, (1 << 64) - 1 - at, 0, 0, _MOST_EXTENTS, 0)
        fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, buffer)
        count = struct.unpack_from(_HEADER, buffer)[3]
        before = at
        for index in range(count):
            logical, physical, length, _, _, flags, *_ = struct.unpack_from(_EXTENT, buffer, head + index * step)
            blocks.append([physical, physical + length])
            is_placed = is_placed and not flags & _UNPLACED
            at = logical + length
            if flags & _LAST:
                return blocks if is_placed else None
        if not count and not blocks:
            return []
        if at <= before:
            break
    raise OSError(errno.EIO, f"FIEMAP: {len(blocks)} extents, up to byte {at} of the file, and none is the last")


def _copies(copies: list[tuple[int, bool]], blocks: dict[str, list[list[int]]]) -> dict[str, Any]:
    where: dict[str, int] = {}
    for position, _ in copies:
        inside = (name for name, runs in blocks.items() if any(start <= position < end for start, end in runs))
        name = next(inside, ELSEWHERE)
        where[name] = where.get(name, 0) + 1
    whole = sum(is_whole for _, is_whole in copies)
    return {"whole": whole, "half": len(copies) - whole, "where": where}
