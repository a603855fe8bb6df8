"""The structs in which other systems tell of mappings, as their headers declare them, and a slow second reader of them.

For tests to build listings with, and to compare with the package's own parsers: nothing is taken from those. Layouts:
sys/proc_info.h of macOS, sys/user.h of FreeBSD 14, sys/sysctl.h of NetBSD 10 and OpenBSD 7, all for 64 bits.
"""

import ctypes
from ctypes import c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any, ClassVar

from pages import PAGE

NAMES = ("---", "r--", "rw-", "rw-", "x--", "r-x", "rwx", "rwx")  # write without read is called both
Row = dict[str, Any]


class Darwin(ctypes.LittleEndianStructure):
    """``struct proc_regionwithpathinfo``: proc_regioninfo, then vnode_info_path."""

    _fields_: ClassVar = [
        *((name, c_uint32) for name in ("protection", "max_protection", "inheritance", "flags")),
        ("offset", c_uint64),
        *((name, c_uint32) for name in ("behavior", "user_wired_count", "user_tag", "pages_resident")),
        *((name, c_uint32) for name in ("pages_shared_now_private", "pages_swapped_out", "pages_dirtied")),
        *((name, c_uint32) for name in ("ref_count", "shadow_depth", "share_mode", "private_pages_resident")),
        *((name, c_uint32) for name in ("shared_pages_resident", "obj_id", "depth")),
        ("address", c_uint64),
        ("size", c_uint64),
        ("vst_dev", c_uint32),
        ("vst_mode", c_uint16),
        ("vst_nlink", c_uint16),
        ("vst_ino", c_uint64),
        ("vst_rest", c_uint8 * 120),
        ("vi_type", c_int32),
        ("vi_pad", c_int32),
        ("vi_fsid", c_int32 * 2),
        ("path", c_char * 1024),
    ]


class FreeBSD(ctypes.LittleEndianStructure):
    """``struct kinfo_vmentry``; ``structsize`` says how much of it is there."""

    _fields_: ClassVar = [
        ("structsize", c_int32),
        ("type", c_int32),
        *((name, c_uint64) for name in ("start", "end", "offset", "vn_fileid")),
        ("vn_fsid_freebsd11", c_uint32),
        *((name, c_int32) for name in ("flags", "resident", "private_resident", "protection", "ref_count")),
        *((name, c_int32) for name in ("shadow_count", "vn_type")),
        ("vn_size", c_uint64),
        ("vn_rdev_freebsd11", c_uint32),
        ("vn_mode", c_uint16),
        ("status", c_uint16),
        ("vn_fsid", c_uint64),
        ("vn_rdev", c_uint64),
        ("spare", c_int32 * 8),
        ("path", c_char * 1024),
    ]


class NetBSD(ctypes.LittleEndianStructure):
    """``struct kinfo_vmentry``."""

    _fields_: ClassVar = [
        *((name, c_uint64) for name in ("start", "end", "offset")),
        *((name, c_uint32) for name in ("type", "flags", "count", "wired_count", "advice", "attributes")),
        *((name, c_uint32) for name in ("protection", "max_protection", "ref_count", "inheritance")),
        *((name, c_uint64) for name in ("vn_fileid", "vn_size", "vn_fsid", "vn_rdev")),
        ("vn_type", c_uint32),
        ("vn_mode", c_uint32),
        ("path", c_char * 1024),
    ]


class OpenBSD(ctypes.LittleEndianStructure):
    """``struct kinfo_vmentry``."""

    _fields_: ClassVar = [
        *((name, c_uint64) for name in ("start", "end", "guard", "fspace", "fspace_augment", "offset")),
        *((name, c_int32) for name in ("wired_count", "etype", "protection", "max_protection")),
        *((name, c_int32) for name in ("advice", "inheritance")),
        ("flags", c_uint8),
    ]


STRUCTS: dict[str, type[ctypes.LittleEndianStructure]] = {
    "darwin": Darwin,
    "freebsd": FreeBSD,
    "netbsd": NetBSD,
    "openbsd": OpenBSD,
}


def build(system: str, **fields: Any) -> bytes:
    """A record; of FreeBSD's as much as its kernel sends: up to the path's end, in steps of eight bytes."""
    record = STRUCTS[system](**fields)
    if system != "freebsd":
        return bytes(record)
    path = record.path
    if "structsize" not in fields:
        record.structsize = (FreeBSD.path.offset + len(path) + 1 + 7) // 8 * 8
    return bytes(record)[: record.structsize]


class NoListingError(Exception):
    """What the second reader says of garbage."""


def _terminated(raw: bytes) -> str:
    if 0 not in raw:
        raise NoListingError
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _row(start: int, end: int, protection: int) -> Row:
    if start >= end or end > 1 << 64:
        raise NoListingError
    return {"start": start, "end": end, "allowed": NAMES[protection & 7], "state": "committed"}


def _darwin(raw: bytes) -> tuple[list[Row], int]:
    one = Darwin.from_buffer_copy(raw)
    row = _row(one.address, one.address + one.size, one.protection)
    path = _terminated(raw[Darwin.path.offset : ctypes.sizeof(Darwin)])
    file = path != "" or one.vst_ino != 0
    if one.flags & 1:
        shared = None
    else:
        shared = {1: False, 4: True, 5: True, 7: True}.get(one.share_mode, None if one.inheritance == 0 else False)
    row["type"] = "mapped" if file or shared is not False else "private"
    row["is_shared"] = shared
    row["path"] = None if one.flags & 1 or (file and path == "") else path
    row["offset"] = one.offset if file else None
    row["file"] = (one.vst_dev // 2**24, one.vst_dev % 2**24, one.vst_ino) if one.vst_ino else None
    row["sizes"] = (None, None) if one.flags & 1 else (one.pages_resident * PAGE, one.pages_swapped_out * PAGE)
    row["is_locked"] = one.user_wired_count > 0
    row["is_undumpable"] = None
    row["in_child"] = ("shared", "copied", "absent")[one.inheritance] if one.inheritance < 3 else None
    return [row], ctypes.sizeof(Darwin)


def _freebsd(raw: bytes) -> tuple[list[Row], int]:
    header = FreeBSD.path.offset
    if len(raw) < header:
        raise NoListingError
    one = FreeBSD.from_buffer_copy(raw.ljust(ctypes.sizeof(FreeBSD), b"\0"))
    if one.structsize <= header or one.structsize > len(raw) or one.structsize > ctypes.sizeof(FreeBSD):
        raise NoListingError
    path = _terminated(raw[header : one.structsize])
    row = _row(one.start, one.end, one.protection)
    if one.resident < 0:
        raise NoListingError
    anonymous = one.type in (0, 1, 3) and not one.flags & 0x180
    row["type"] = "private" if anonymous or one.type == 9 else "mapped"
    row["is_shared"] = False if one.flags & 1 or one.type == 9 else None if anonymous else True
    row["path"] = None if one.type == 2 and path == "" else path
    row["offset"] = one.offset if one.type == 2 else None
    device = one.vn_fsid
    major = (device >> 40 & 0xFFFFFF) << 8 | device >> 8 & 0xFF
    minor = (device >> 32 & 0xFF) << 8 | device & 0xFF | device & 0xFFFF0000
    row["file"] = (major, minor, one.vn_fileid) if one.type == 2 and one.status & 1 else None
    row["sizes"] = (one.resident * PAGE, None)
    row["is_locked"], row["is_undumpable"] = bool(one.flags & 0x40), bool(one.flags & 4)
    row["in_child"] = None
    if one.type == 9:
        row["state"], row["allowed"] = "reserved", None
    return [row], one.structsize


def _netbsd(raw: bytes) -> tuple[list[Row], int]:
    one = NetBSD.from_buffer_copy(raw)
    row = _row(one.start, one.end, one.protection)
    path = _terminated(raw[NetBSD.path.offset : ctypes.sizeof(NetBSD)])
    copied = one.flags % 2 == 1
    row["type"] = "private" if one.type == 0 and copied else "mapped"
    row["is_shared"] = not copied
    row["path"] = None if one.type == 2 and path == "" else path
    row["offset"] = one.offset if one.type == 2 else None
    device = one.vn_fsid % 2**32
    major, minor = device % 2**20 // 2**8, device // 2**20 * 2**8 + device % 2**8
    row["file"] = (major, minor, one.vn_fileid) if one.type == 2 and one.vn_fileid else None
    row["sizes"] = (None, None)
    row["is_locked"], row["is_undumpable"] = one.wired_count > 0, None
    row["in_child"] = {0: "shared", 1: "copied", 2: "absent", 4: "zeros"}.get(one.inheritance)
    return [row], ctypes.sizeof(NetBSD)


def _openbsd(raw: bytes) -> tuple[list[Row], int]:
    one = OpenBSD.from_buffer_copy(raw)
    rows = []
    rest = {"path": None, "file": None, "sizes": (None, None)}
    if one.start != one.end:
        row = _row(one.start, one.end, one.protection) | rest
        row["type"] = "private" if one.etype & 5 == 4 else "mapped"
        row["is_shared"] = not one.etype & 4
        row["offset"] = one.offset if one.etype & 1 else None
        row["is_locked"], row["is_undumpable"] = one.wired_count != 0, bool(one.etype & 0x100)
        number = one.inheritance if 0 <= one.inheritance < 4 else one.inheritance / 16
        row["in_child"] = {0: "shared", 1: "copied", 2: "absent", 3: "zeros"}.get(number)
        if one.etype & 0x10:
            row["state"], row["allowed"] = "reserved", None
        rows.append(row)
    if one.guard:
        guard = _row(one.end, one.end + one.guard, 0) | rest
        guard |= {"state": "reserved", "allowed": None, "type": "private", "offset": None, "in_child": None}
        rows.append(guard | {"is_shared": None, "is_locked": None, "is_undumpable": None})
    return rows, ctypes.sizeof(OpenBSD)


def second_reader(system: str, raw: bytes) -> list[Row] | None:
    """The same as the package's parser, told in other words; ``None`` where it is no listing."""
    read = {"darwin": _darwin, "freebsd": _freebsd, "netbsd": _netbsd, "openbsd": _openbsd}[system]
    rows: list[Row] = []
    try:
        while raw:
            found, size = read(raw)
            rows += found
            raw = raw[size:]
    except (NoListingError, ValueError):  # ctypes' own word for too few bytes
        return None
    executable = {row["file"] for row in rows if row["file"] and row["file"][2] and "x" in (row["allowed"] or "")}
    for row in rows:
        if row["type"] == "mapped" and row["is_shared"] is False and row["file"] in executable:
            row["type"] = "image"
    return rows
