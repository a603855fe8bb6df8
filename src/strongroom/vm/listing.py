"""What is mapped, in this process or another: all of it, or the pages of a range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom._os import entries, mappings
from strongroom.exceptions import SystemCallError
from strongroom.vm.books import merged
from strongroom.vm.pageinfo import PageInfo, cut, free, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Listing", "pages", "regions"]

_DETAILS = ("maps", "smaps", "pages")
_TOP = 1 << 64


class Listing(tuple[PageInfo, ...]):
    """What the system and strongroom know of a process's memory, in order of address.

    Attributes: ``pid``, ``None`` for this process; ``detail``, how much was asked for; ``torn``, whether the mappings
    changed each time while they were read, so that the listing is of no single moment; ``unread``, what could not be
    asked and why, in words, one entry for each source: the fields made of it are ``None``.

    Version added: 0.1.
    """

    pid: int | None
    detail: str
    torn: bool
    unread: tuple[str, ...]

    @classmethod
    def _of(
        cls, rows: Iterable[PageInfo], pid: int, detail: str, is_torn: bool, unread: tuple[str, ...] = ()
    ) -> Listing:
        listing = cls(rows)
        listing.pid, listing.detail, listing.torn, listing.unread = pid or None, detail, is_torn, unread
        return listing


def read(pid: int, is_detailed: bool = False) -> tuple[list[PageInfo], bool]:
    """The system's rows of a process (0: this one), and whether they are torn."""
    try:
        if mappings.LISTS_TEXT:
            return _native.read_mappings(PageInfo, pid, is_detailed)
        told, is_torn = entries.read(pid, is_detailed)
    except SystemCallError as error:
        raise mappings.refusal(error, pid) from None
    locks = None if pid else 0
    return [record(entry, locks) for entry in told], is_torn


def read_at(address: int) -> PageInfo:
    """What the system says is at an address of this process, where it is asked address by address."""
    told = entries.at(address)
    return free(address, _TOP, 0) if told is None else record(told, 0)


def regions(pid: int | None = None, detail: str = "maps") -> Listing:
    """List what is mapped.

    Args:
        pid: Another process; ``None`` is this one.
        detail: ``"maps"``: addresses, protections, files. ``"smaps"``: how much of each is resident, swapped, shared,
            and what becomes of it in dumps and children. ``"pages"``: the same, cut into runs of pages that are in
            memory, in a page file, or in neither.

    Returns:
        The mappings in order of address, cut where strongroom knows more of its own regions. Gaps are not in it.

    Raises:
        ValueError, TypeError: No process's number, another detail.
        ProcessLookupError: There is no such process.
        PermissionError: It is not this one's to look at; the message says what can be read all the same.
        SystemCallError: The system does not tell, or tells what nobody can read.

    Platform notes: Linux. 300 mappings take half a millisecond; ``"smaps"`` walks the page tables and takes
    longer the more is resident. A size of a mapping that strongroom's books cut is known for none and all, else
    ``None``: ``"pages"`` tells. Kernel threads and zombies have no rows. After ``harden()`` an unprivileged process
    cannot read its own page tables; ``unread`` says so.

    Windows tells reserved pages, modifiers and allocations of any process. With ``"smaps"`` and ``"pages"`` it is asked
    about each committed page; which of the others are in a page file it does not tell, nor of dumps. A ``share_count``
    of 7 is 7 or more. Under Wine nobody tells locks and shares, nor what is resident of other processes.

    macOS and the BSDs tell less (docs/vm/known.md), and of sizes with ``"maps"`` already what they tell at all. Which
    pages are in memory they tell of this process alone (mincore), OpenBSD of none: ``unread``. NetBSD lists at most
    929 mappings. Compiled and parsed from fixtures; not run there.

    Does not protect against: the answer being wrong a moment later.

    Source: proc_pid_maps(5), proc_pid_smaps(5), proc_pid_pagemap(5), man-pages 6.10; VirtualQueryEx, GetMappedFileName,
    QueryWorkingSetEx; sys/proc_info.h (macOS), kinfo_getvmmap(3) (FreeBSD), sysctl(7) (NetBSD), sysctl(2) (OpenBSD).

    Version added: 0.1.
    """
    if not isinstance(detail, str) or detail not in _DETAILS:
        raise ValueError(f"detail must be one of {', '.join(map(repr, _DETAILS))}, not {_native.describe(detail)}")
    number = mappings.checked_process(pid)
    rows, is_torn = read(number, detail != "maps")
    if number == 0:
        rows = merged(rows)
    listed = rows
    unread: tuple[str, ...] = ()
    if detail == "pages":
        rows, unread = _by_pages(rows, number)
        is_torn = is_torn or _has_changed(listed, number)
    elif detail == "smaps" and mappings.KNOWS_RESERVATIONS:
        rows, unread = _by_sums(rows, number)
    return Listing._of(rows, number, detail, is_torn, unread)


def pages(address: int, size: int, *, pid: int | None = None) -> Listing:
    """List the pages of a range: runs that are alike in everything that is known.

    Args:
        address: Any; rounded down to a page.
        size: Bytes, at least 1; the end is rounded up.
        pid: Another process; ``None`` is this one.

    Returns:
        The runs in order, free ones included, which together are the range. ``Region.pages`` is what strongroom made;
        this is what the system says.

    Raises:
        ValueError, TypeError: No range, no process's number.
        ProcessLookupError, PermissionError, UnsupportedError, SystemCallError: As for ``regions``.

    Platform notes: as ``regions`` with ``detail="pages"``: all of the process's smaps is read. A page of shared memory
    that is in swap does not show in the page tables: where a mapping has swapped pages of that kind, those that are
    neither here nor there have ``None`` for ``swapped_size``; on Windows all that are committed and not resident have.

    Does not protect against: the answer being wrong a moment later.

    Source: proc_pid_pagemap(5), ioctl_pagemap_scan(2), man-pages 6.10; QueryWorkingSetEx; mincore(2).

    Version added: 0.1.
    """
    start, length = mappings.checked(address), mappings.checked(size, "size")
    if length == 0:
        raise ValueError("size must be at least 1 byte")
    end = min(-(-(start + length) // PAGE_SIZE) * PAGE_SIZE, _TOP)
    start -= start % PAGE_SIZE
    number = mappings.checked_process(pid)
    listed, is_torn = read(number, True)
    rows = [
        cut(row, max(row.address, start), min(row.address + row.size, end))
        for row in listed
        if row.address < end and start < row.address + row.size
    ]
    if number == 0:
        rows = merged(rows)
    rows, unread = _by_pages(rows, number)
    is_torn = is_torn or _has_changed(listed, number, start, end)
    return Listing._of(_with_gaps(rows, start, end, None if number else 0), number, "pages", is_torn, unread)


def _has_changed(rows: list[PageInfo], pid: int, start: int = 0, end: int = _TOP) -> bool:
    """Whether something else is mapped there since: the pages were another program's, if the process has begun one.

    Of this process it cannot be told: the records themselves are among what changes. Asked on Linux alone.
    """

    def found(rows: list[PageInfo]) -> list[tuple[object, ...]]:
        return [row[:14] for row in rows if row.address < end and start < row.address + row.size]

    return mappings.LISTS_TEXT and pid != 0 and found(rows) != found(read(pid)[0])


def _with_gaps(rows: list[PageInfo], start: int, end: int, locks: int | None) -> Iterator[PageInfo]:
    for row in rows:
        if start < row.address:
            yield free(start, row.address, locks)
        yield row
        start = row.address + row.size
    if start < end:
        yield free(start, end, locks)


def _by_sums(rows: list[PageInfo], pid: int) -> tuple[list[PageInfo], tuple[str, ...]]:
    """The rows with what their pages add up to, where the system tells of pages only (Windows)."""
    parts, unread = _by_pages(rows, pid)
    if parts is rows:
        return rows, unread
    found, left = [], iter(parts)
    for row in rows:
        end, own = row.address + row.size, [next(left)]
        while own[-1].address + own[-1].size < end:
            own.append(next(left))
        resident, swapped, shared = (_sum(told) for told in zip(*(part[14:17] for part in own), strict=True))
        locked = own[0].is_locked if len({part.is_locked for part in own}) == 1 else None
        found.append(PageInfo(*row[:14], resident, swapped, shared, row.proportional_size, locked, *row[19:]))
    return found, unread


def _sum(told: tuple[int | None, ...]) -> int | None:
    known = [size for size in told if size is not None]
    return sum(known) if len(known) == len(told) else None


def _by_pages(rows: list[PageInfo], pid: int) -> tuple[list[PageInfo], tuple[str, ...]]:
    """The rows, cut into what is in memory, in a page file, and in neither."""
    found: list[PageInfo] = []
    index, tells_locks = 0, True
    while index < len(rows):  # rows without a gap between them are one question
        begin, end = index, rows[index].address
        while index < len(rows) and rows[index].address == end:
            end += rows[index].size
            index += 1
        try:
            runs = iter(_native.page_runs(pid, rows[begin].address, end))
        except SystemCallError as error:
            refused = mappings.refusal(error, pid)
            if isinstance(refused, ProcessLookupError):
                raise refused from None
            return rows, (str(error) if refused is error else str(refused),)
        run = next(runs, None)
        for row in rows[begin:index]:
            at, last = row.address, row.address + row.size
            while run is not None and run[0] < last:
                if at < run[0]:
                    found.append(_neither(row, at, run[0]))
                    at = run[0]
                reach = min(run[1], last)
                found.append(_placed(row, at, reach, *run[2:]))
                tells_locks = run[4] is not None
                at = reach
                if reach < run[1]:
                    break  # the rest of it is the next row's
                run = next(runs, None)
            if at < last:
                found.append(_neither(row, at, last))
    return found, () if tells_locks or not mappings.KNOWS_RESERVATIONS else (mappings.LOCKS_UNTOLD,)


def _placed(
    row: PageInfo, start: int, end: int, is_resident: bool, share_count: int | None, is_locked: bool | None
) -> PageInfo:
    part, size = cut(row, start, end), end - start
    places = (size, 0) if is_resident else (0, size if mappings.KNOWS_SWAPPED_PAGES else None)
    if is_locked is None:
        return PageInfo(*part[:14], *places, *part[16:23], share_count)
    shared = size if share_count is not None and share_count > 1 else 0
    return PageInfo(*part[:14], *places, shared, part.proportional_size, is_locked, *part[19:23], share_count)


def _neither(row: PageInfo, start: int, end: int) -> PageInfo:
    """Pages that the table says nothing of: as it does of shared memory that is in swap."""
    part = cut(row, start, end)
    if mappings.KNOWS_RESERVATIONS and row.state == "reserved":
        return PageInfo(*part[:14], 0, 0, 0, part.proportional_size, False, *part[19:])
    is_nowhere = row.swapped_size == 0 or (mappings.KNOWS_SWAPPED_PAGES and row.type == "private")
    swapped = 0 if is_nowhere else None
    return PageInfo(*part[:14], 0, swapped, *part[16:23], None)
