"""Which mount a directory lies on: what Linux lists in mountinfo, decoded. Pure functions over its bytes.

A mount point's name may be anybody's (FUSE needs no privilege) and hold any byte but NUL. The kernel writes space, tab,
newline, backslash and # as octal escapes, so a space and a newline separate, and nothing else does: no carriage
return, and none of what ``str.splitlines`` takes for the end of a line.

Source: proc_pid_mountinfo(5), man-pages 6.10; fs/proc_namespace.c of Linux 6.12.
"""

from __future__ import annotations

import os

__all__ = ["Mount", "choose", "is_number", "parse_mountinfo", "unescape"]

#: Where stat(2) of a directory may give another device number than the mount has: subvolumes, snapshots, layers.
_OTHER_NUMBERS = frozenset({"btrfs", "bcachefs", "ceph", "overlay"})


class Mount:
    """One line of mountinfo, decoded."""

    __slots__ = ("device", "identity", "kind", "options", "point", "source")

    def __init__(
        self, identity: int, device: tuple[int, int], point: str, kind: str, source: str, options: tuple[str, ...]
    ) -> None:
        self.identity = identity
        self.device = device
        self.point = point
        self.kind = kind
        self.source = source
        self.options = options

    def __repr__(self) -> str:
        return f"Mount({self.identity}, {self.device}, {self.point!r}, {self.kind!r}, {self.source!r})"

    def option(self, name: str) -> str:
        """What a file system's own option is set to; the last one counts."""
        values = [value for key, _, value in (option.partition("=") for option in self.options) if key == name]
        return values[-1] if values else ""


def is_number(field: bytes) -> bool:
    """Whether this is a decimal number that a kernel may have printed, and no more digits than any has."""
    return field.isdigit() and len(field) <= 20


def unescape(field: bytes) -> bytes:
    """Decode the kernel's octal escapes (``\\040`` is a space); what is none stays as it is."""
    first, *rest = field.split(b"\\")
    decoded = [first]
    for part in rest:
        digits = part[:3]
        if len(digits) == 3 and digits[:1] in b"0123" and not digits.strip(b"01234567"):
            decoded.append(bytes([int(digits, 8)]) + part[3:])
        else:
            decoded.append(b"\\" + part)
    return b"".join(decoded)


def _word(field: bytes) -> str:
    return os.fsdecode(unescape(field))


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Return the mounts in the order in which they are listed; lines that are none, or are cut short, are left out."""
    mounts = []
    for line in text.split(b"\n")[:-1]:  # what no newline ends is the start of a line
        fields = line.split(b" ")
        dash = fields.index(b"-", 6) if b"-" in fields[6:] else len(fields)
        tail = fields[dash + 1 :]  # kind, source (which may be empty), options
        major, _, minor = fields[2].partition(b":") if len(tail) >= 3 else (b"", b"", b"")
        if not (is_number(fields[0]) and is_number(major) and is_number(minor) and fields[4][:1] == b"/" and tail[0]):
            continue
        options = tuple(_word(option) for option in b" ".join(tail[2:]).split(b","))
        device = int(major), int(minor)
        mounts.append(Mount(int(fields[0]), device, _word(fields[4]), _word(tail[0]), _word(tail[1]), options))
    return mounts


def choose(mounts: list[Mount], identity: int | None, device: tuple[int, int], path: str) -> Mount | None:
    """Return the mount that a directory lies on.

    Args:
        mounts: All of them.
        identity: What ``fdinfo`` says is the directory's mount (since Linux 3.15): then it is that or, if it is not
            listed (another root or namespace), none.
        device: The numbers of its ``st_dev``: they decide if ``fdinfo`` says nothing. Those of a btrfs subvolume are
            in no list, so there the mount point alone has to.
        path: Its real path.
    """
    if identity is not None:
        return next((mount for mount in mounts if mount.identity == identity), None)
    above = [mount for mount in mounts if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")]
    above.sort(key=lambda mount: len(mount.point))  # stable: of two at one place the later one, which lies on top
    same = [mount for mount in above if mount.device == device]
    if same:
        return same[-1]
    if above and device[0] == 0 == above[-1].device[0] and above[-1].kind in _OTHER_NUMBERS:
        return above[-1]
    return None
