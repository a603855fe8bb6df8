"""Which places for files are memory where there is no mountinfo, by what the system calls them. Pure: asks nobody.

What statfs(2), statvfs(2) and GetDriveType say is the kind of a file system and what is mounted: enough for those that
live in memory by their nature, and for devices that do by their name. What is enough for nobody is ``UNTOLD``.

Source: FreeBSD tmpfs(5), md(4); NetBSD mount_tmpfs(8), mount_mfs(8), md(4); OpenBSD mount_mfs(8), rd(4); macOS
mount_tmpfs(8), hdiutil(1); GetDriveType (fileapi.h).
"""

from __future__ import annotations

__all__ = ["UNTOLD", "words_for"]

#: Kinds of file systems whose files are pages of memory, which can be swapped out.
_KINDS = frozenset({"tmpfs", "mfs", "RAM disk"})
#: How devices that lie in memory begin, before a number, and what is to be said of them.
_DEVICES = {
    "freebsd": ("/dev/md", "md(4) keeps it in memory unless there is a file behind it"),
    "netbsd": ("/dev/md", "md(4) keeps it in memory"),
    "openbsd": ("/dev/rd", "rd(4) keeps it in memory"),
}
_ON_BSD = "a memory disk that has another name, or layers above it, looks like any other disk here"
#: What is not told from a disk.
UNTOLD = {
    "darwin": "a RAM disk (hdiutil attach ram://) looks like any other disk here",
    "windows": "a RAM disk whose driver calls it a fixed one looks like any other disk here",
    **dict.fromkeys(("freebsd", "netbsd", "openbsd"), _ON_BSD),
}


def words_for(kind: str, source: str, platform: str) -> str:
    """Say what it is if files there lie in memory, or may for all that is known; else nothing.

    Args:
        kind: What the system calls the file system.
        source: What is mounted: a device, a volume.
        platform: As ``_os.PLATFORM``.
    """
    place = f"{kind} on {source}" if source not in ("", "none", kind) else kind
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in place)
    if kind in _KINDS:
        return printable
    device, what = _DEVICES.get(platform, ("", ""))
    if device and source.startswith(device) and source[len(device) :][:1].isdigit():
        return f"{printable}: {what}"
    return ""
