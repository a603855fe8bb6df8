"""What strongroom knows of its own regions, beside what the system says. Where they disagree the system is right."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING

from strongroom import _native
from strongroom._os.mappings import shown
from strongroom.exceptions import DestroyedError
from strongroom.vm.pageinfo import PageInfo, cut
from strongroom.vm.protection import NO_ACCESS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Run", "merged", "noted", "runs_of"]

#: Pages of a region that are alike to strongroom: start, end, the protection it made (0: reserved), locks, secured.
Run = tuple[int, int, int, int, int]
_TOP = 1 << 64
_Known = tuple[int, int, _native.Region, Run]


def runs_of(region: _native.Region) -> list[Run]:
    """The runs of a region, in order.

    Raises:
        DestroyedError: Another thread has released it since.
    """
    address, held = region.address, region._secured()
    listed = region._runs()
    if not held:
        return [(address + start, address + start + size, made, locks, 0) for start, size, made, locks in listed]
    edges = sorted({start for start, _, _ in held} | {start + size for start, size, _ in held})
    runs = []
    for start, size, made, locks in listed:
        ends = [edge for edge in edges if start < edge < start + size] + [start + size]
        for end in ends:
            modes = [mode for first, length, mode in held if first <= start < first + length]
            runs.append((address + start, address + end, made, locks, max(modes, default=0)))
            start = end
    return runs


def is_as_made(row: PageInfo, region: _native.Region, made: int) -> bool:
    """Whether the system says of pages what strongroom made of them."""
    is_mapped = isinstance(region, _native.MappedView) or (made != 0 and isinstance(region, _native.Window))
    return (row.type != "private") == is_mapped and row.type != "" and row.protection == shown(made or NO_ACCESS)


def noted(row: PageInfo, region: _native.Region, run: Run) -> PageInfo:
    """A row of the system's that lies within a run of ours, with what we know of it."""
    _, _, made, locks, secured = run
    state, protection = row.state, row.protection
    if is_as_made(row, region, made):
        state, protection = ("committed", made) if made else ("reserved", 0)
    allocation = (region.address, region.allocation_protection)
    return PageInfo(row.address, row.size, state, protection, *allocation, row.type, locks, secured, *row[9:])


def merged(rows: list[PageInfo]) -> list[PageInfo]:
    """The system's rows of this process, cut where our books begin, change or end."""
    known: list[_Known] = []
    regions = _native.regions()
    for index, region in enumerate(regions):
        # Where other code has unmapped a part of a region another one may lie: as for query(), that one is it.
        limit = regions[index + 1].address if index + 1 < len(regions) else _TOP
        with suppress(DestroyedError):
            known += [(run[0], min(run[1], limit), region, run) for run in runs_of(region) if run[0] < limit]
    if not known:
        return rows
    known.sort(key=itemgetter(0))
    starts, ends = [one[0] for one in known], [one[1] for one in known]
    found: list[PageInfo] = []
    for row in rows:
        end = row[0] + row[1]
        first = bisect_right(ends, row[0])  # neither starts nor ends overlap: both are sorted
        if first < len(starts) and starts[first] < end:
            found += _pieces(row, end, known[first : bisect_left(starts, end)])
        else:
            found.append(row)
    return found


def _pieces(row: PageInfo, end: int, known: list[_Known]) -> Iterator[PageInfo]:
    """A row, cut by the runs of ours that lie in it at least in part."""
    at = row.address
    for start, stop, region, run in known:
        if at < start:
            yield cut(row, at, start)
            at = start
        reach = min(stop, end)
        yield noted(cut(row, at, reach), region, run)
        at = reach
    if at < end:
        yield cut(row, at, end)
