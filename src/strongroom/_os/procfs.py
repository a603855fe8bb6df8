"""Parsers for what Linux says of a process in ``/proc/self``. Pure functions over text, readers beside them.

Source: proc_pid_smaps(5), proc_pid_maps(5), proc_pid_status(5), man-pages 6.10.
"""

from __future__ import annotations

from strongroom._os import PLATFORM, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Mapping", "parse_faults", "parse_smaps", "parse_status", "read_smaps", "read_status", "read_uid_map"]

#: Places in ``stat``, counted from behind the name; Linux 2.6 has as many fields, later ones more. proc_pid_stat(5).
_MINOR_FAULTS, _MAJOR_FAULTS, _STAT_FIELDS = 8, 10, 43
_LONGEST_NUMBER = 20


class Mapping:
    """One entry of ``smaps``: the addresses, the protection, the path and the two-letter flags.

    ``device`` is the number of the file system that the file lies on, major and minor.
    """

    __slots__ = ("device", "end", "flags", "path", "permissions", "start")

    def __init__(
        self,
        start: int,
        end: int,
        permissions: str,
        path: str,
        flags: frozenset[str],
        device: tuple[int, int] = (0, 0),
    ) -> None:
        self.start = start
        self.end = end
        self.permissions = permissions
        self.path = path
        self.flags = flags
        self.device = device

    def __repr__(self) -> str:
        return f"Mapping({self.start:#x}, {self.end:#x}, {self.permissions!r}, {self.path!r}, {set(self.flags)!r})"


def parse_smaps(text: str) -> list[Mapping]:
    """Return the mappings in the order in which the kernel lists them.

    A header line starts with two hexadecimal addresses; every other line starts with a word and a colon. A mapping
    that lost its ``VmFlags`` line (kernels before 3.8, or a listing cut short) has no flags. Only newline ends a line:
    the kernel writes that one as digits where a path has it, and no other character that ends lines elsewhere.
    """
    mappings: list[Mapping] = []
    for line in text.split("\n"):
        word, _, rest = line.partition(" ")
        if word == "VmFlags:":
            if mappings:
                mappings[-1].flags = frozenset(rest.split())
            continue
        low, dash, high = word.partition("-")
        if not dash or word.endswith(":"):
            continue
        fields = rest.split(None, 4)  # permissions, offset, device, inode, path (which may hold spaces)
        path = fields[4] if len(fields) > 4 else ""
        major, _, minor = fields[2].partition(":") if len(fields) > 2 else ("0", "", "0")
        device = int(major, 16), int(minor, 16)
        mappings.append(Mapping(int(low, 16), int(high, 16), fields[0], path, frozenset(), device))
    return mappings


def parse_status(text: str, field: str) -> str | None:
    """Return what ``status`` says of a field, or ``None`` if it is not there."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return None


def parse_faults(text: str) -> tuple[int, int]:
    """Return the minor and major faults that ``stat`` tells of. A program may call itself ``) (``: the last one counts.

    Raises:
        SystemCallError: It is not such a line, or cut.
    """
    head, _, tail = text.rpartition(")")
    fields = tail.split(" ")  # "", the state, and numbers
    is_whole = text.endswith("\n") and text.count("\n") == 1  # the kernel writes one in a name as digits
    if not is_whole or " (" not in head or len(fields) < _STAT_FIELDS or len(fields[0]) or len(fields[1]) != 1:
        raise texts.malformed("/proc/PID/stat")
    for one in (head.partition(" (")[0], *fields[2:]):
        digits = one.rstrip("\n").removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
            raise texts.malformed("/proc/PID/stat")
    minor, major = fields[_MINOR_FAULTS], fields[_MAJOR_FAULTS]
    if minor.startswith("-") or major.startswith("-"):
        raise texts.malformed("/proc/PID/stat")
    return int(minor), int(major)


def _opened(name: str) -> TextIO:
    """Open a file about this process. Elsewhere such a path means nothing, or as on Windows a folder of anybody's."""
    if PLATFORM != "linux":
        raise FileNotFoundError(f"/proc/self/{name} is Linux's")
    return open(f"/proc/self/{name}", encoding="utf-8", errors="surrogateescape", newline="\n")


def read_smaps() -> list[Mapping]:
    """Read this process's own mappings, with their flags."""
    with _opened("smaps") as file:
        return parse_smaps(file.read())


def read_uid_map() -> str:
    """Read which user ids of the surrounding namespace this process's namespace has."""
    with _opened("uid_map") as file:
        return file.read()


def read_status(field: str) -> str | None:
    """Read one field of this process's own ``status``."""
    with _opened("status") as file:
        return parse_status(file.read(), field)
