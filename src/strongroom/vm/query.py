"""What is at an address: the system's answer, and strongroom's where only strongroom knows."""

from __future__ import annotations

from bisect import bisect_right
from collections import namedtuple
from contextlib import suppress
from operator import itemgetter

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom._os import mappings
from strongroom.exceptions import DestroyedError
from strongroom.vm.protection import GUARD, NO_ACCESS, READ_ONLY, READ_WRITE, protection_name

__all__ = ["PageInfo", "probe", "query"]


class PageInfo(namedtuple("_PageInfo", "address size state protection allocation allocation_protection type locks")):
    """A run of pages that are alike, from the one that was asked about.

    Attributes: ``address`` and ``size`` in bytes; ``state``, ``"free"``, ``"reserved"`` or ``"committed"``;
    ``protection``, 0 unless committed; ``allocation``, where the reservation begins that it belongs to, 0 if none is
    known; ``allocation_protection``, what that was made with; ``type``, ``"private"``, ``"mapped"`` or ``"image"``,
    empty if free; ``locks``, strongroom's own.

    Which is whose: address, size, protection and type are the system's. Whether inaccessible pages are reserved or
    committed, modifiers, allocations and locks are known to Windows, elsewhere to strongroom for its own regions only.

    Version added: 0.1.
    """

    __slots__ = ()
    address: int
    size: int
    state: str
    protection: int
    allocation: int
    allocation_protection: int
    type: str
    locks: int


class _Look:
    """One look at everything: the system's listing, and strongroom's of each region that is met, made only once."""

    __slots__ = ("_runs", "system")

    def __init__(self) -> None:
        self.system = mappings.Listing()
        self._runs: dict[_native.Region, list[tuple[int, int, int, int]]] = {}

    def run_at(self, region: _native.Region, offset: int) -> tuple[int, int, int, int]:
        """What strongroom made of the pages from ``offset`` on, which grows from one question to the next."""
        if region not in self._runs:
            self._runs[region] = region._runs(offset, None)
        runs = self._runs[region]
        start, size, made, locks = runs[bisect_right(runs, offset, key=itemgetter(0)) - 1]
        return offset, start + size - offset, made, locks


def _query_region(look: _Look, region: _native.Region, address: int) -> PageInfo:
    """What strongroom knows, as far as the system agrees; where other code changed something, the system is right."""
    offset = (address - region.address) // region.page_size * region.page_size
    start, size, made, locks = look.run_at(region, offset)
    address = region.address + start
    end = address + size
    span = look.system.at(address)
    if span.state == "free":
        return PageInfo(*span._replace(size=min(span.size, size)), 0)
    reach = address + span.size
    while reach < end:  # the kernel may keep apart what is alike: by its locks, by its history
        following = look.system.at(reach)
        if following[2:4] != span[2:4] or following.type != span.type:
            break
        reach += following.size
    state, protection = ("committed", made) if made else ("reserved", 0)
    kind = "mapped" if isinstance(region, _native.MappedView) else "private"
    if span.type != kind or span.protection != mappings.shown(made or NO_ACCESS):
        state, protection = span.state, span.protection
    allocation = (region.address, region.allocation_protection)
    return PageInfo(address, min(reach, end) - address, state, protection, *allocation, span.type, locks)


def query(address: int) -> PageInfo:
    """Ask what is at an address of this process.

    Args:
        address: Any; rounded down to a page.

    Returns:
        The run of pages that begins there and is alike to its end.

    Raises:
        ValueError, TypeError: No address.
        UnsupportedError: This version cannot ask this system (macOS, BSD).
        SystemCallError, OSError: The system does not tell: without ``/proc``, or without a descriptor to read it.

    Platform notes: Linux reads ``/proc/self/maps``, about half a millisecond. What is mapped may have changed by the
    time the answer is there.

    Source: VirtualQuery; proc_pid_maps(5), man-pages 6.10.

    Version added: 0.1.
    """
    return _query(_Look(), mappings.checked(address))


def _query(look: _Look, address: int) -> PageInfo:
    address -= address % PAGE_SIZE
    region = _native.find_region(address)
    if region is not None and not mappings.KNOWS_RESERVATIONS:
        with suppress(DestroyedError):  # another thread has released it since
            return _query_region(look, region, address)
    locks = 0
    if region is not None and mappings.KNOWS_RESERVATIONS:
        with suppress(DestroyedError):
            locks = region._runs(address - region.address, 1)[0][3]
    return PageInfo(*look.system.at(address), locks)


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
        UnsupportedError: As for ``query``.

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
    end = address + size
    look = _Look()
    while address < end:
        info = _query(look, address)
        allowed = info.protection and not info.protection & GUARD and info.protection != NO_ACCESS
        if not allowed or (mode == READ_WRITE and not mappings.is_writable(info.protection)):
            return False
        address = info.address + info.size
    return True
