"""What systems other than Linux tell of a process's mappings: records of their own, from each the same words.

Linux tells it as text, which is read in C (``native/listing.c``). Elsewhere the system's records come up here as bytes,
just as the kernel laid them out, and each system's parser is a pure function over them: it can be tried on any system.
"""

from __future__ import annotations

import errno
import struct
from collections import namedtuple

from strongroom import _native
from strongroom._os import PLATFORM
from strongroom.exceptions import SystemCallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Entry", "at", "in_order", "mapping", "path_at", "read", "record_of", "records", "unreadable", "with_images"]

#: Pairs of readings of a process that changes meanwhile, until it is told as torn: as many as of Linux' text.
_MOST_READS = 4
_TOP = 1 << 64
_NOT_A_LISTING = 13 if PLATFORM == "windows" else errno.EILSEQ  # ERROR_INVALID_DATA
_P = _native.PROTECTIONS
#: What combinations of read (1), write (2) and execute (4) are called: the same bits on macOS and all BSDs.
_ALLOWED = (
    *(_P["NO_ACCESS"], _P["READ_ONLY"], _P["READ_WRITE"], _P["READ_WRITE"]),
    *(_P["EXECUTE"], _P["EXECUTE_READ"], _P["EXECUTE_READ_WRITE"], _P["EXECUTE_READ_WRITE"]),
)
#: What is told of a whole mapping and not of a part of it.
_NO_SIZES = dict.fromkeys(("resident_size", "swapped_size", "shared_size", "proportional_size"))


class Entry(
    namedtuple(
        "_Entry",
        "address size state protection allocation allocation_protection type is_shared path file_offset device inode "
        "resident_size swapped_size shared_size proportional_size is_locked is_droppable is_undumpable in_child flags "
        "share_count",
        defaults=(None, None, None, None, None, None, None, None, None, None, None, None, None, None, None),
    )
):
    """A mapping as a system tells it: the fields of ``vm.PageInfo``, but for what only strongroom's books know.

    ``None`` is what it does not tell.
    """

    __slots__ = ()
    address: int
    size: int
    state: str
    protection: int
    allocation: int
    allocation_protection: int
    type: str
    is_shared: bool | None
    path: str | None
    file_offset: int | None
    device: tuple[int, int] | None
    inode: int | None
    resident_size: int | None
    swapped_size: int | None
    shared_size: int | None
    proportional_size: int | None
    is_locked: bool | None
    is_droppable: bool | None
    is_undumpable: bool | None
    in_child: str | None
    flags: str | None
    share_count: int | None


def mapping(address: int, end: int, bits: int, kind: str, **told: object) -> Entry:
    """A mapping of a system that knows no reservations: the mapping is its own allocation.

    Raises:
        ValueError: There are no such addresses.
    """
    if not 0 <= address < end <= _TOP:
        raise ValueError("a mapping ends after it begins")
    protection = _ALLOWED[bits & 7]
    return Entry(address, end - address, "committed", protection, address, protection, kind, **told)


def record_of(fields: dict[str, tuple[int, str]], size: int) -> struct.Struct:
    """How the first ``size`` bytes of a C struct are read, by where each field is and what: ``struct``'s letters."""
    pattern, at = "<", 0
    for place, letter in fields.values():
        pattern += f"{place - at}x{letter}"
        at = place + struct.calcsize("<" + letter)
    return struct.Struct(f"{pattern}{size - at}x")


def records(raw: bytes, size: int, call: str) -> Iterator[tuple[int, int]]:
    """The number, from 1, and the place of each record where all have one size.

    Raises:
        SystemCallError: The last one is cut short.
    """
    for number, place in enumerate(range(0, len(raw), size), 1):
        if len(raw) - place < size:
            raise unreadable(call, number)
        yield number, place


def path_at(raw: bytes, start: int, end: int) -> str:
    """The text between two places, up to its NUL.

    Raises:
        ValueError: There is none.
    """
    return raw[start : raw.index(b"\0", start, end)].decode("utf-8", "surrogateescape")  # as Linux' listings in C


def unreadable(call: str, number: int) -> SystemCallError:
    """What to raise where a record, counted from 1, is none."""
    return SystemCallError(
        call, _NOT_A_LISTING, f"Record {number:,} is not what such a listing consists of: nothing of it is used."
    )


def with_images(entries: list[Entry]) -> list[Entry]:
    """The same, where a file of which something is mapped to be executed is an image, as a private mapping."""
    executable = _P["EXECUTE"] | _P["EXECUTE_READ"] | _P["EXECUTE_READ_WRITE"]
    images = {(entry.device, entry.inode) for entry in entries if entry.protection & executable and entry.inode}
    return [
        entry._replace(type="image")
        if entry.type == "mapped" and entry.is_shared is False and (entry.device, entry.inode) in images
        else entry
        for entry in entries
    ]


def in_order(entries: list[Entry], call: str) -> tuple[list[Entry], bool]:
    """The entries, and whether some overlapped: a mapping that changed amid the reading is told twice, and then cut.

    Raises:
        SystemCallError: One lies before, or within, what was told already.
    """
    end, is_torn, found = 0, False, []
    for number, entry in enumerate(entries, 1):
        last = entry.address + entry.size
        if last <= end or last > _TOP:
            raise unreadable(call, number)
        if entry.address < end:
            is_torn, passed = True, end - entry.address
            offset = None if entry.file_offset is None else entry.file_offset + passed
            entry = entry._replace(address=end, size=entry.size - passed, file_offset=offset, **_NO_SIZES)
        found.append(entry)
        end = last
    return found, is_torn


def _parser() -> tuple[Callable[[bytes], list[Entry]], str]:
    """How this system's records are read, and the call that they come from."""
    if PLATFORM == "windows":
        from strongroom._os import windowsentries as windows

        return windows.parse, windows.CALL
    if PLATFORM == "darwin":
        from strongroom._os import darwinentries as darwin

        return darwin.parse, darwin.CALL
    from strongroom._os import bsdentries as bsd

    return bsd.PARSERS[PLATFORM], bsd.CALLS[PLATFORM]


def read(pid: int, is_detailed: bool) -> tuple[list[Entry], bool]:
    """The mappings of a process (0: this one), and whether they are torn: changed each time while they were read.

    Two readings are alike if they tell of the same mappings; how much of each is in memory changes all the time.

    Raises:
        SystemCallError: The system refuses, or tells what nobody can read.
    """
    parse, call = _parser()
    for _ in range(_MOST_READS):
        before, after = _native.read_entries(pid, is_detailed)
        entries, is_torn = in_order(parse(after), call)
        if not is_torn and (before == after or _places(in_order(parse(before), call)[0]) == _places(entries)):
            return entries, False
    return entries, True


def at(address: int) -> Entry | None:
    """What is at an address of this process, where the system tells that by itself; None beyond user space.

    Raises:
        SystemCallError: The system refuses, or tells what nobody can read.
    """
    parse, _ = _parser()
    found = parse(_native.entry_at(address))
    return found[0] if found else None


def _places(entries: list[Entry]) -> list[tuple[object, ...]]:
    return [(*entry[:4], *entry[8:12]) for entry in entries]
