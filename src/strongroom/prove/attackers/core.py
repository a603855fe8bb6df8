"""Attack: read a core file (core(5), elf(5)) and check that the kernel wrote all of it.

Parameters: path; count, size (of the tracers on standard input).
"""

from __future__ import annotations

import os
import struct
from typing import Any

from .needles import FileReader, Needles, Sightings, Sweep, haystack_area

_PT_LOAD = 1
_TOO_MANY_SEGMENTS = 0xFFFF  # PN_XNUM: the real number is in section header 0's sh_info


class Segment:
    """One loadable segment: where it lies in the file, and how much of it was left out."""

    __slots__ = ("file_size", "flags", "memory_size", "offset")

    def __init__(self, offset: int, file_size: int, memory_size: int, flags: int) -> None:
        self.offset, self.file_size, self.memory_size, self.flags = offset, file_size, memory_size, flags

    @property
    def label(self) -> str:
        """The permissions of the memory it was."""
        names = "".join(c if self.flags & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
        return f"core segment ({names})"


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Scan the whole file."""
    needles = Needles(0, int(parameters["count"]), int(parameters["size"]))
    descriptor = os.open(str(parameters["path"]), os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        segments = parse(os.pread(descriptor, 64, 0), lambda n, at: os.pread(descriptor, n, at))
        sightings = Sightings(needles)
        area = haystack_area()
        sweep = Sweep(sightings, area)
        sweep.run(FileReader(descriptor), 0, size)
    finally:
        os.close(descriptor)
    expected = max((s.offset + s.file_size for s in segments), default=0)
    return {
        "needles": [_copies(sightings, i, segments) for i in range(needles.count)],
        "scanned_size": sweep.scanned_size,
        "unreadable": [{"where": "core file", "size": e - s, "explained": False} for s, e, _ in sweep.unreadable],
        "is_complete": bool(segments) and sweep.scanned_size == size >= expected,
        "segments": len(segments),
        "left_out_size": sum(s.memory_size - s.file_size for s in segments),
        "is_locked": needles.area.is_locked and area.is_locked,
    }


def parse(header: bytes, read: Any) -> list[Segment]:
    """The loadable segments of a core; `read(size, offset)` gives bytes of the file."""
    if header[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    order = "<" if header[5] == 1 else ">"
    if header[4] == 2:
        phoff, shoff = struct.unpack_from(order + "QQ", header, 32)
        entry_size, count = struct.unpack_from(order + "HH", header, 54)
    else:
        phoff, shoff = struct.unpack_from(order + "II", header, 28)
        entry_size, count = struct.unpack_from(order + "HH", header, 42)
    if count == _TOO_MANY_SEGMENTS:
        count = struct.unpack(order + "I", read(4, shoff + (44 if header[4] == 2 else 28)))[0]
    table = read(entry_size * count, phoff)
    segments = []
    for index in range(count):
        if header[4] == 2:
            kind, flags, offset, _, _, filesz, memsz = struct.unpack_from(order + "IIQQQQQ", table, index * entry_size)
        else:
            kind, offset, _, _, filesz, memsz, flags = struct.unpack_from(order + "IIIIIII", table, index * entry_size)
        if kind == _PT_LOAD:
            segments.append(Segment(offset, filesz, memsz, flags))
    return segments


def _copies(sightings: Sightings, index: int, segments: list[Segment]) -> dict[str, Any]:
    where: dict[str, int] = {}
    whole = half = 0
    for position, is_whole in sightings.copies(index):
        whole, half = whole + is_whole, half + (not is_whole)
        segment = next((s for s in segments if s.offset <= position < s.offset + s.file_size), None)
        label = segment.label if segment else "core notes"
        where[label] = where.get(label, 0) + 1
    return {"whole": whole, "half": half, "where": where}
