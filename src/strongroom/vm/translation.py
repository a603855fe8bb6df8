"""Where a page is: the frame of memory, the slot of a page file, or the file that it comes from."""

from __future__ import annotations

from collections import namedtuple

from strongroom._native import PAGE_SIZE
from strongroom._os import mappings, pagefiles, pagetable
from strongroom.exceptions import SystemCallError, UnsupportedError
from strongroom.vm.layout import layout
from strongroom.vm.listing import read
from strongroom.vm.pageinfo import PageInfo, free
from strongroom.vm.query import query

__all__ = ["Translation", "translate"]


class Translation(
    namedtuple(
        "_Translation",
        "address where frame physical_address page_file candidates slot position path file_position share_count "
        "indices reason",
    )
):
    """Where the page of an address is.

    Attributes: ``address``, as asked; ``where``, ``"frame"`` (of memory), ``"page file"``, ``"file"`` (its own: nothing
    of it is mapped now), ``"zero page"`` (one frame that all pages show which were only read), or ``"nowhere"``:
    reserved, never touched, or free.

    In a frame: ``frame``, its number; ``physical_address``, in bytes, of the byte that was asked about;
    ``share_count``, in how many page tables the frame is. In a page file: ``slot``, in pages from the file's or
    device's start; ``position``, the same in bytes; ``page_file``, its path, or ``None`` and ``candidates``, the paths
    that it may be. Of what has a file: ``path`` and ``file_position``, in bytes, of the page.

    ``indices``, which entry of each page table the address means, from the top one down. ``reason``, what is missing
    and why, in words; ``None`` means everywhere that nobody told.

    Version added: 0.1.
    """

    __slots__ = ()
    address: int
    where: str
    frame: int | None
    physical_address: int | None
    page_file: str | None
    candidates: tuple[str, ...]
    slot: int | None
    position: int | None
    path: str | None
    file_position: int | None
    share_count: int | None
    indices: tuple[int, ...]
    reason: str | None


_HIDDEN = "frames and slots are shown with CAP_SYS_ADMIN alone (run it as root, outside of a container)"


def translate(address: int, pid: int | None = None) -> Translation:
    """Tell where the page of an address is at this moment.

    Args:
        address: Any; the page that it lies in is asked about.
        pid: Another process; ``None`` is this one.

    Returns:
        The translation; of a process without memory (a kernel thread, a zombie) every address is nowhere.

    Raises:
        ValueError, TypeError: No address, no process's number.
        ProcessLookupError: There is no such process.
        PermissionError: It is not this one's to look at.
        UnsupportedError: Not Linux: no other system tells a program frames or slots.
        SystemCallError: The system does not tell.

    Platform notes: the frame and the slot take CAP_SYS_ADMIN, the share count root; ``reason`` says so. The kernel
    tells the number of a page file, and lists page files without their numbers: of several, ``candidates`` has those
    that it may be. With zswap a slot is taken, and its bytes may be in memory still. Shared memory in swap does not
    show in page tables: ``where`` is ``"file"``. ``indices`` is arithmetic, the tables themselves are the kernel's.

    Does not protect against: the page being elsewhere a moment later. A physical address helps an attacker.

    Source: Documentation/admin-guide/mm/pagemap.rst; proc_pid_pagemap(5), proc_kpagecount(5), proc_swaps(5), man-pages
    6.10.

    Version added: 0.1.
    """
    address, number = mappings.checked(address), mappings.checked_process(pid)
    if not mappings.LISTS_TEXT:
        raise UnsupportedError("translate: this system tells programs neither frames of memory nor slots of page files")
    entry = _entry(number, address)
    tables = pagetable.indices(address, layout().bits)
    row = _row_at(address, number)
    path = row.path if row.inode else None
    place = None if path is None or row.file_offset is None else row.file_offset + _start(address) - row.address
    if entry.is_present:
        return _in_frame(address, entry, path, place, tables)
    if entry.is_swapped:
        return _in_page_file(address, entry, path, place, tables)
    where = "nowhere" if path is None else "file"
    return Translation(address, where, None, None, None, (), None, None, path, place, None, tables, None)


def _start(address: int) -> int:
    return address - address % PAGE_SIZE


def _entry(pid: int, address: int) -> pagetable.Entry:
    try:
        return pagetable.read_entry(pid, address)
    except SystemCallError as error:
        refused = mappings.refusal(error, pid)
    if pid and isinstance(refused, (ProcessLookupError, PermissionError)) and _is_empty(pid):
        return pagetable.NOTHING
    raise refused


def _is_empty(pid: int) -> bool:
    """Whether there is such a process and nothing mapped in it: it has no page tables that could be opened."""
    try:
        return not read(pid)[0]
    except OSError:
        return False


def _row_at(address: int, pid: int) -> PageInfo:
    """The mapping that an address lies in."""
    if not pid:
        return query(address)
    for row in read(pid)[0]:
        if row.address <= address < row.address + row.size:
            return row
    return free(_start(address), _start(address) + PAGE_SIZE, None)


def _in_frame(
    address: int, entry: pagetable.Entry, path: str | None, place: int | None, tables: tuple[int, ...]
) -> Translation:
    if not entry.frame:
        count = 1 if entry.is_exclusive else None
        return Translation(address, "frame", None, None, None, (), None, None, path, place, count, tables, _HIDDEN)
    flags, physical = pagetable.frame_flags(entry.frame), entry.frame * PAGE_SIZE + address % PAGE_SIZE
    if flags is not None and flags & pagetable.ZERO_PAGE:
        numbers = (entry.frame, physical)
        return Translation(address, "zero page", *numbers, None, (), None, None, path, place, None, tables, None)
    count = pagetable.share_count(entry.frame)
    reason = "how often a frame is mapped is for root to read (/proc/kpagecount)" if count is None else None
    count = 1 if count is None and entry.is_exclusive else count
    return Translation(
        address, "frame", entry.frame, physical, None, (), None, None, path, place, count, tables, reason
    )


def _in_page_file(
    address: int, entry: pagetable.Entry, path: str | None, place: int | None, tables: tuple[int, ...]
) -> Translation:
    def told(files: list[str], slot: int | None, reason: str | None) -> Translation:
        position = None if slot is None else slot * PAGE_SIZE
        name = files[0] if len(files) == 1 else None
        numbers = (slot, position, path, place)
        return Translation(address, "page file", None, None, name, tuple(files), *numbers, None, tables, reason)

    areas = pagefiles.read_areas()
    if not entry.slot:
        return told([area[0] for area in areas], None, _HIDDEN)
    if entry.area >= pagetable.AREAS:
        return told([], None, "it is on its way: the kernel is moving it, or has taken it out for a reason of its own")
    found = [area[0] for area in pagefiles.candidates(areas, entry.area, entry.slot * PAGE_SIZE)]
    if len(found) == 1:
        return told(found, entry.slot, None)
    return told(found, entry.slot, f"the kernel says its number, {entry.area}, and lists page files without theirs")
