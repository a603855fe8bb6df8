"""What the BSDs tell of a process's mappings: each its own ``struct kinfo_vmentry``, from sysctl(3).

Source: sys/user.h of FreeBSD 14 and kinfo_getvmmap(3); sys/sysctl.h of NetBSD 10 and OpenBSD 7. Read, not run.
"""

from __future__ import annotations

from strongroom._native import PAGE_SIZE
from strongroom._os.entries import Entry, mapping, path_at, record_of, records, unreadable, with_images

__all__ = ["CALLS", "FREEBSD", "NETBSD", "OPENBSD", "PARSERS"]

CALLS = {
    "freebsd": "sysctl(KERN_PROC_VMMAP)",
    "netbsd": "sysctl(VM_PROC_MAP)",
    "openbsd": "sysctl(KERN_PROC_VMMAP)",
}
#: Where the fields of each ``struct kinfo_vmentry`` are, asserted in os_freebsd_asking.c and its neighbours.
FREEBSD = {
    "kve_structsize": (0, "i"),
    "kve_type": (4, "i"),
    "kve_start": (8, "Q"),
    "kve_end": (16, "Q"),
    "kve_offset": (24, "Q"),
    "kve_vn_fileid": (32, "Q"),
    "kve_flags": (44, "i"),
    "kve_resident": (48, "i"),
    "kve_protection": (56, "i"),
    "kve_status": (86, "H"),
    "kve_vn_fsid": (88, "Q"),
}
NETBSD = {
    "kve_start": (0, "Q"),
    "kve_end": (8, "Q"),
    "kve_offset": (16, "Q"),
    "kve_type": (24, "I"),
    "kve_flags": (28, "I"),
    "kve_wired_count": (36, "I"),
    "kve_protection": (48, "I"),
    "kve_inheritance": (60, "I"),
    "kve_vn_fileid": (64, "Q"),
    "kve_vn_fsid": (80, "Q"),
}
OPENBSD = {
    "kve_start": (0, "Q"),
    "kve_end": (8, "Q"),
    "kve_guard": (16, "Q"),
    "kve_offset": (40, "Q"),
    "kve_wired_count": (48, "i"),
    "kve_etype": (52, "i"),
    "kve_protection": (56, "i"),
    "kve_inheritance": (68, "i"),
}
#: Where the path begins, and the size of all of it.
FREEBSD_PATH, FREEBSD_SIZE = 136, 1160
NETBSD_PATH, NETBSD_SIZE = 104, 1128
OPENBSD_SIZE = 80

_FREEBSD = record_of(FREEBSD, FREEBSD_PATH)
_NETBSD = record_of(NETBSD, NETBSD_PATH)
_OPENBSD = record_of(OPENBSD, OPENBSD_SIZE)
_COPY_ON_WRITE, _NO_CORE_DUMP, _USER_WIRED, _SYSTEM_V, _POSIX = 1, 4, 0x40, 0x80, 0x100  # KVME_FLAG_COW and others
_ANONYMOUS = (0, 1, 3)  # FreeBSD's KVME_TYPE_NONE, _DEFAULT, _SWAP
_VNODE, _GUARD = 2, 9  # KVME_TYPE_VNODE, on NetBSD too, and FreeBSD's KVME_TYPE_GUARD
_ATTRIBUTES_VALID = 1  # KF_ATTR_VALID
_OBJECT, _COPIED, _HOLE, _CONCEALED = 1, 4, 0x10, 0x100  # OpenBSD's KVE_ET_OBJ and others
#: MAP_INHERIT_SHARE and others. OpenBSD's headers have a second set (KVE_INH_SHARE); no number is in both as another.
_INHERITED = {0: "shared", 1: "copied", 2: "absent"}
_IN_NETBSD = {**_INHERITED, 4: "zeros"}
_IN_OPENBSD = {**_INHERITED, 3: "zeros", 0x10: "copied", 0x20: "absent", 0x30: "zeros"}


def parse_freebsd(raw: bytes) -> list[Entry]:
    """FreeBSD's: records that say themselves how long they are, with as much of a path as they have.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    found: list[Entry] = []
    place = 0
    while place < len(raw):
        try:
            entry, size = _of_freebsd(raw, place)
        except ValueError:
            raise unreadable(CALLS["freebsd"], len(found) + 1) from None
        found.append(entry)
        place += size
    return with_images(found)


def _of_freebsd(raw: bytes, place: int) -> tuple[Entry, int]:
    if len(raw) - place < FREEBSD_PATH:
        raise ValueError("cut short")
    told, kind, start, end, offset, inode, flags, resident, bits, status, device = _FREEBSD.unpack_from(raw, place)
    if not FREEBSD_PATH < told <= min(FREEBSD_SIZE, len(raw) - place) or resident < 0:
        raise ValueError("no size")
    path = path_at(raw, place + FREEBSD_PATH, place + told)
    is_file, is_copied = kind == _VNODE, flags & _COPY_ON_WRITE != 0
    is_anonymous = kind in _ANONYMOUS and not flags & (_SYSTEM_V | _POSIX)
    has_attributes = is_file and status & _ATTRIBUTES_VALID != 0
    entry = mapping(
        start,
        end,
        bits,
        "private" if is_anonymous or kind == _GUARD else "mapped",
        # Of anonymous memory it does not tell whether children share it.
        is_shared=False if is_copied or kind == _GUARD else None if is_anonymous else True,
        path=path or (None if is_file else ""),
        file_offset=offset if is_file else None,
        device=_device_of_freebsd(device) if has_attributes else None,
        inode=inode if has_attributes else None,
        resident_size=resident * PAGE_SIZE,
        is_locked=flags & _USER_WIRED != 0,
        is_undumpable=flags & _NO_CORE_DUMP != 0,
    )
    return (_reserved(entry) if kind == _GUARD else entry), told


def _device_of_freebsd(device: int) -> tuple[int, int]:
    return device >> 32 & 0xFFFFFF00 | device >> 8 & 0xFF, device >> 24 & 0xFF00 | device & 0xFFFF00FF


def _reserved(entry: Entry) -> Entry:
    """Addresses that nobody else gets, without memory."""
    return entry._replace(state="reserved", protection=0)


def parse_netbsd(raw: bytes) -> list[Entry]:
    """NetBSD's: records of one size.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    found = []
    for number, place in records(raw, NETBSD_SIZE, CALLS["netbsd"]):
        try:
            found.append(_of_netbsd(raw, place))
        except ValueError:
            raise unreadable(CALLS["netbsd"], number) from None
    return with_images(found)


def _of_netbsd(raw: bytes, place: int) -> Entry:
    start, end, offset, kind, flags, wired, bits, inheritance, inode, device = _NETBSD.unpack_from(raw, place)
    path = path_at(raw, place + NETBSD_PATH, place + NETBSD_SIZE)
    is_file, is_copied = kind == _VNODE, flags & _COPY_ON_WRITE != 0
    has_attributes = is_file and inode != 0
    return mapping(
        start,
        end,
        bits,
        "private" if kind == 0 and is_copied else "mapped",
        is_shared=not is_copied,
        path=path or (None if is_file else ""),
        file_offset=offset if is_file else None,
        device=(device >> 8 & 0xFFF, device >> 12 & 0xFFF00 | device & 0xFF) if has_attributes else None,
        inode=inode if has_attributes else None,
        is_locked=wired != 0,
        in_child=_IN_NETBSD.get(inheritance),
    )


def parse_openbsd(raw: bytes) -> list[Entry]:
    """OpenBSD's: records of one size, without paths; some of no bytes, which stand for free space behind them.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    found: list[Entry] = []
    for number, place in records(raw, OPENBSD_SIZE, CALLS["openbsd"]):
        try:
            found += _of_openbsd(raw, place)
        except ValueError:
            raise unreadable(CALLS["openbsd"], number) from None
    return found


def _of_openbsd(raw: bytes, place: int) -> list[Entry]:
    start, end, guard, offset, wired, kind, bits, inheritance = _OPENBSD.unpack_from(raw, place)
    found = []
    if start != end:
        is_copied, has_object = kind & _COPIED != 0, kind & _OBJECT != 0
        entry = mapping(
            start,
            end,
            bits,
            "private" if is_copied and not has_object else "mapped",
            is_shared=not is_copied,
            file_offset=offset if has_object else None,
            is_locked=wired != 0,
            is_undumpable=kind & _CONCEALED != 0,
            in_child=_IN_OPENBSD.get(inheritance),
        )
        found.append(_reserved(entry) if kind & _HOLE else entry)
    if guard:
        found.append(_reserved(mapping(end, end + guard, 0, "private")))
    return found


PARSERS = {"freebsd": parse_freebsd, "netbsd": parse_netbsd, "openbsd": parse_openbsd}
