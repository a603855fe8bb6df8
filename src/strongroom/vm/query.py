"""What is at an address: the system's answer, and strongroom's where only strongroom knows."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from operator import itemgetter

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom._os import mappings
from strongroom.exceptions import DestroyedError, SystemCallError
from strongroom.vm.books import Run, noted, runs_of
from strongroom.vm.listing import read, read_at
from strongroom.vm.pageinfo import PageInfo, cut, free
from strongroom.vm.protection import GUARD, NO_ACCESS, READ_ONLY, READ_WRITE, protection_name

__all__ = ["probe", "query"]

_TOP = 1 << 64


class _BeyondError(Exception):
    """What was asked last lies behind the one mapping that is known."""


class _Look:
    """One look: at the one mapping that is nearest to an address, or at the whole listing, which tells of all at once.

    strongroom's own books of each region that is met are read only once.
    """

    __slots__ = ("_ends", "_limit", "_mappings", "_runs")

    def __init__(self, near: int | None = None) -> None:
        self._runs: dict[_native.Region, list[Run]] = {}
        self._limit = _TOP
        if near is None:
            self._mappings = [] if mappings.KNOWS_RESERVATIONS else read(0)[0]  # asked address by address there
        else:
            row = _nearest(near)
            self._mappings = [row]
            self._limit = row.address + row.size if row.address <= near else row.address
        self._ends = [row.address + row.size for row in self._mappings]

    def run_at(self, region: _native.Region, address: int) -> Run:
        """What strongroom made of the pages from ``address`` on."""
        if region not in self._runs:
            self._runs[region] = runs_of(region)
        runs = self._runs[region]
        return address, *runs[bisect_right(runs, address, key=itemgetter(0)) - 1][1:]

    def at(self, address: int) -> PageInfo:
        """What the system says the pages from ``address`` on are."""
        if mappings.KNOWS_RESERVATIONS:
            return read_at(address)
        if address >= self._limit:
            raise _BeyondError
        index = bisect_right(self._ends, address)
        if index == len(self._ends):
            return free(address, mappings.USER_END if address < mappings.USER_END else _TOP, 0)
        row = self._mappings[index]
        if address < row.address:  # in the gap before it
            return free(address, row.address, 0)
        return cut(row, address, row.address + row.size)


def _nearest(address: int) -> PageInfo:
    """The mapping at an address or above it, if that alone tells everything: what may be an image takes the listing.

    What is in a gap must not: room for a listing may come to lie there.
    """
    if mappings.KNOWS_RESERVATIONS:
        raise _BeyondError
    try:
        row = _native.mapping_at(PageInfo, address)
    except SystemCallError:  # Linux before 6.11, or a sandbox: the listing says what is the matter
        raise _BeyondError from None
    if row is None or (row.address <= address and row.type == "mapped" and not row.is_shared):
        raise _BeyondError
    return row


def _query_region(look: _Look, region: _native.Region, address: int) -> PageInfo:
    """What strongroom knows, as far as the system agrees; where other code changed something, the system is right."""
    address -= (address - region.address) % region.page_size
    run = look.run_at(region, address)
    end = run[1]
    span = look.at(address)
    if span.state == "free":
        return cut(span, address, min(address + span.size, end))
    reach = address + span.size
    while reach < end:  # the kernel may keep apart what is alike: by its locks, by its history
        following = look.at(reach)
        if following[2:4] != span[2:4] or following.type != span.type:
            break
        reach += following.size
    span = PageInfo(address, min(reach, end) - address, *span[2:])
    return noted(span, region, run)


def query(address: int) -> PageInfo:
    """Ask what is at an address of this process.

    Args:
        address: Any; rounded down to a page.

    Returns:
        The run of pages that begins there and is alike to its end.

    Raises:
        ValueError, TypeError: No address.
        SystemCallError: The system does not tell: without ``/proc``, or without a descriptor to read it.

    Platform notes: Linux since 6.11 is asked for one mapping, ten microseconds; before that, and for what may be a
    part of a program or library, ``/proc/self/maps`` is read, a fraction of a millisecond. What is mapped may have
    changed by the time the answer is there. What ``pages`` and ``regions`` tell besides is ``None`` here. Windows is
    asked by VirtualQuery, address by address; macOS and the BSDs for all mappings, among which it is looked up.

    Source: VirtualQuery; PROCMAP_QUERY in linux/fs.h; proc_pid_maps(5), man-pages 6.10.

    Version added: 0.1.
    """
    address = mappings.checked(address)
    with suppress(_BeyondError):
        return _query(_Look(address), address)
    return _query(_Look(), address)


def _query(look: _Look, address: int) -> PageInfo:
    address -= address % PAGE_SIZE
    region = _native.find_region(address)
    if region is not None:
        with suppress(DestroyedError):  # another thread has released it since
            return _query_region(look, region, address)
    return look.at(address)


def probe(address: int, size: int, mode: int) -> bool:
    """Say whether a range can be read, or written, at this moment.

    Args:
        address: Where it begins.
        size: Bytes, at least 1.
        mode: ``READ_ONLY`` or ``READ_WRITE``.

    Returns:
        Whether each page is committed and allows it. A guard page does not.

    Raises:
        ValueError, TypeError: No range, another mode.
        SystemCallError: As for ``query``.

    Does not protect against: the answer being wrong a moment later. Only ``secure()`` makes it last, and only for pages
    of a region.

    Source: VirtualQuery, ProbeForWrite; proc_pid_maps(5).

    Version added: 0.1.
    """
    mode = mappings.checked(mode, "mode")
    if mode not in (READ_ONLY, READ_WRITE):
        raise ValueError(f"mode must be READ_ONLY or READ_WRITE, not {protection_name(mode)}")
    address, size = mappings.checked(address), mappings.checked(size, "size")
    if size == 0:
        raise ValueError("size must be at least 1 byte")
    with suppress(_BeyondError):
        return _probe(_Look(address), address, address + size, mode)
    return _probe(_Look(), address, address + size, mode)


def _probe(look: _Look, address: int, end: int, mode: int) -> bool:
    while address < end:
        info = _query(look, address)
        allowed = info.protection and not info.protection & GUARD and info.protection != NO_ACCESS
        if not allowed or (mode == READ_WRITE and not mappings.is_writable(info.protection)):
            return False
        address = info.address + info.size
    return True
