"""What macOS tells of a process's mappings: ``proc_pidinfo`` with PROC_PIDREGIONPATHINFO.

Source: sys/proc_info.h, mach/vm_region.h; xnu osfmk/vm/bsd_vm.c, fill_procregioninfo(). Read, not run.
"""

from __future__ import annotations

from strongroom._native import PAGE_SIZE
from strongroom._os.entries import Entry, mapping, path_at, record_of, records, unreadable, with_images

__all__ = ["CALL", "FIELDS", "SIZE", "parse"]

CALL = "proc_pidinfo(PROC_PIDREGIONPATHINFO)"
#: Of ``struct proc_regionwithpathinfo``; os_darwin_asking.c asserts each of them.
SIZE = 1272
FIELDS = {
    "prp_prinfo.pri_protection": (0, "I"),
    "prp_prinfo.pri_inheritance": (8, "I"),
    "prp_prinfo.pri_flags": (12, "I"),
    "prp_prinfo.pri_offset": (16, "Q"),
    "prp_prinfo.pri_user_wired_count": (28, "I"),
    "prp_prinfo.pri_pages_resident": (36, "I"),
    "prp_prinfo.pri_pages_swapped_out": (44, "I"),
    "prp_prinfo.pri_share_mode": (60, "I"),
    "prp_prinfo.pri_address": (80, "Q"),
    "prp_prinfo.pri_size": (88, "Q"),
    "prp_vip.vip_vi.vi_stat.vst_dev": (96, "I"),
    "prp_vip.vip_vi.vi_stat.vst_ino": (104, "Q"),
}
PATH = 248

_RECORD = record_of(FIELDS, PATH)
_SUBMAP = 1  # PROC_REGION_SUBMAP: the libraries that all processes have in common, of which no pages are counted
_COPY_ON_WRITE, _SHARED, _TRULY_SHARED, _SHARED_ALIASED = 1, 4, 5, 7  # SM_COW and others
_INHERITED = {0: "shared", 1: "copied", 2: "absent"}  # VM_INHERIT_SHARE and others


def parse(raw: bytes) -> list[Entry]:
    """The mappings, in the order in which they were told.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    found = []
    for number, place in records(raw, SIZE, CALL):
        try:
            found.append(_entry(raw, place))
        except ValueError:
            raise unreadable(CALL, number) from None
    return with_images(found)


def _entry(raw: bytes, place: int) -> Entry:
    bits, inheritance, flags, offset, *counts, device, inode = _RECORD.unpack_from(raw, place)
    wired, resident, swapped, mode, address, size = counts
    path = path_at(raw, place + PATH, place + SIZE)
    is_submap, has_file = flags & _SUBMAP != 0, inode != 0 or path != ""
    in_child = _INHERITED.get(inheritance)
    is_shared: bool | None = None
    if is_submap:
        pass
    elif mode == _COPY_ON_WRITE:
        is_shared = False
    elif mode in (_SHARED, _TRULY_SHARED, _SHARED_ALIASED):
        is_shared = True
    elif in_child != "shared":
        is_shared = False  # what was mapped with MAP_SHARED, and by nobody else so far, would be inherited as that
    return mapping(
        address,
        address + size,
        bits,
        "private" if is_shared is False and not has_file else "mapped",
        is_shared=is_shared,
        path=None if is_submap or (has_file and not path) else path,
        file_offset=offset if has_file else None,
        device=(device >> 24, device & 0xFFFFFF) if inode else None,
        inode=inode or None,
        resident_size=None if is_submap else resident * PAGE_SIZE,
        swapped_size=None if is_submap else swapped * PAGE_SIZE,
        is_locked=wired != 0,
        in_child=in_child,
    )
