"""What is mounted where: the lines of mountinfo, decoded. Pure functions over its bytes, and one that reads them.

The library has a reader of its own (``_os/mounts.py``). prove tries the library and uses none of its inner rooms: this
is the other one, and all of prove asks it. The tests hold the two against each other.

A mount point's name may be anybody's (FUSE needs no privilege) and hold any byte but NUL. The kernel writes space, tab,
newline, backslash and # as octal escapes: a space and a newline separate, and nothing else does.

Source: proc_pid_mountinfo(5), man-pages 6.10.
"""

from __future__ import annotations

import os
import re

_MOUNTINFO = "/proc/self/mountinfo"
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


class Mount:
    """One line: where it is seen, which folder of the file system that is, the file system's type and its options."""

    def __init__(self, point: str, root: str, kind: str, options: tuple[str, ...]) -> None:
        self.point, self.root, self.kind, self.options = point, root, kind, options


def _word(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def parse(text: bytes) -> list[Mount]:
    """The mounts in their order; lines that are none, or that are cut short, are left out."""
    found = []
    for line in text.split(b"\n")[:-1]:  # what no newline ends is the start of a line
        fields = line.split(b" ")
        dash = fields.index(b"-", 6) if b"-" in fields[6:] else len(fields)
        kind, *rest = fields[dash + 1 :] or [b""]  # then the source, which may be empty, and the options
        if kind and len(rest) >= 2 and fields[4].startswith(b"/"):
            options = tuple(_word(option) for option in b" ".join(rest[1:]).split(b","))
            found.append(Mount(_word(fields[4]), _word(fields[3]), _word(kind), options))
    return found


def listed() -> list[Mount]:
    """What this process sees; `OSError` where there is no such list."""
    with open(_MOUNTINFO, "rb") as file:
        return parse(file.read())


def kind_of(path: str, mounts: list[Mount]) -> str:
    """The type of the file system that holds `path`, or nothing. Of two mounts at one place the later one is on top."""
    path = os.path.realpath(path)
    above = [mount for mount in mounts if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")]
    above.sort(key=lambda mount: len(mount.point))
    return above[-1].kind if above else ""
