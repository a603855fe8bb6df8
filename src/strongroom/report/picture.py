"""A process's memory as a picture of letters: one line of cells after another, in order of address.

In: an ``Account``, a width. Out: lines of cells, which ``terminal`` and ``html`` draw.

A region of one page is one cell, and twice the size is one cell more: a stack of 132 KiB and a library of 2 MiB are
both seen beside a heap of 10 GiB. Where that takes too many lines cells stand for more than one region each, and what
stands out is what they show. A gap within a line is one cell; the large ones end a line and are told in figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple

from strongroom import vm
from strongroom.report.memory import MARKS, Account, Seen

__all__ = ["GAP_CELL", "PAGE_BITS", "Cell", "Line", "is_told", "lines_of"]

#: Lines of cells that a picture has at most, but for those that end early at a gap: what one look takes in.
MOST_LINES = 16
#: Gaps from this size on end a line, the largest so many of them.
_LARGE_GAP = 1 << 30
_MOST_LARGE_GAPS = 12

GAP_CELL = "·"
PAGE_BITS = 12  # the smallest page anywhere; a larger one is as many cells as its size asks for
_PAGE_REST = (1 << PAGE_BITS) - 1


class Cell(NamedTuple):
    """One character: a letter of ``KINDS`` or ``MARKS`` or a gap, whether any of it is in memory, which region."""

    letter: str
    here: bool | None
    region: int

    @property
    def is_pale(self) -> bool:
        """Whether to show that nothing of it is in memory. What is in swap is, and stands out all the same."""
        return self.here is False and self.letter != "W"

    @property
    def is_untold(self) -> bool:
        """Whether nobody told if it is in memory."""
        return self.here is None and self.letter != GAP_CELL

    @property
    def char(self) -> str:
        """What the terminal shows: capitals for what is in memory."""
        return self.letter.lower() if self.is_pale else self.letter

    @property
    def style(self) -> str:
        """Its letter, and whether it is filled."""
        if self.letter == GAP_CELL:
            return "dim"
        return self.letter + ("-" if self.is_pale else "+")


@dataclass(frozen=True, slots=True)
class Line:
    """Cells from an address on; ``gap`` bytes are free behind them, where that is worth saying."""

    address: int
    cells: Sequence[Cell]
    gap: int = 0


class _Item(NamedTuple):
    """A region or a small gap (-1), and how many cells it would like to have."""

    region: int
    address: int
    size: int
    weight: int


def _segments(places: Iterable[vm.PageInfo]) -> Iterator[tuple[int, int, str]]:
    """Start, end, and whether it is here, swapped, neither, away (one of these two) or not told.

    Shares are laid from the left.
    """
    for row in places:
        start, end = row.address, row.address + row.size
        if row.resident_size is None:
            yield start, end, "?"
            continue
        here = min(start + row.resident_size, end)
        gone = min(here + (row.swapped_size or 0), end)
        rest = "neither" if row.swapped_size is not None else "away"
        for low, high, where in ((start, here, "here"), (here, gone, "swapped"), (gone, end, rest)):
            if low < high:
                yield low, high, where


class _Places:
    """How much of a range is where, for ranges that come in order."""

    def __init__(self, places: Iterable[vm.PageInfo]) -> None:
        self._rest = _segments(places)
        self._now = next(self._rest, None)

    def within(self, start: int, end: int) -> tuple[int, int, int, int]:
        """Bytes in memory, in swap, away, and not told."""
        found = {"here": 0, "swapped": 0, "neither": 0, "away": 0, "?": 0}
        while self._now is not None and self._now[0] < end:
            low, high, where = self._now
            found[where] += max(0, min(high, end) - max(low, start))
            if high > end:
                break
            self._now = next(self._rest, None)
        return found["here"], found["swapped"], found["away"], found["?"]


def _stretches(seen: Sequence[Seen]) -> Iterator[tuple[list[_Item], int]]:
    """What lies between large gaps, and the size of the gap behind it."""
    gaps = []
    for at in range(len(seen) - 1):
        row = seen[at].row
        size = seen[at + 1].row.address - row.address - row.size
        if size >= _LARGE_GAP:
            gaps.append((size, at))
    large = {at: size for size, at in nlargest(_MOST_LARGE_GAPS, gaps)}
    items: list[_Item] = []
    end = None
    for at, one in enumerate(seen):
        row = one.row
        if end is not None and row.address > end:
            items.append(_Item(-1, end, row.address - end, 1))
        items.append(_Item(at, row.address, row.size, max(1, (row.size >> PAGE_BITS).bit_length())))
        end = row.address + row.size
        if at in large:
            yield items, large[at]
            items, end = [], None
    if items:
        yield items, 0


def _is_mostly_swapped(row: vm.PageInfo) -> bool:
    """Whether most of what a region has elsewhere is in swap: of shared memory page tables do not say where."""
    return 2 * (row.swapped_size or 0) > row.size - (row.resident_size or 0)


def _cell(parts: Sequence[tuple[_Item, int, int, int]], seen: Sequence[Seen], places: _Places) -> Cell:
    """One cell for parts of items: each with the bytes that are shown here, from and to, and how much of the cell."""
    shares: dict[str, int] = {}
    first: dict[str, int] = {}
    marks = ""
    here = swapped = unknown = 0
    for item, start, end, share in parts:
        if item.region < 0:
            letter = GAP_CELL
        else:
            one = seen[item.region]
            letter = one.letter
            if letter in MARKS:
                marks += letter
            in_memory, gone, away, untold = places.within(start, end)
            if away and _is_mostly_swapped(one.row):
                gone += away
            here, swapped, unknown = here + in_memory, swapped + gone, unknown + untold
        shares[letter] = shares.get(letter, 0) + share
        first.setdefault(letter, item.region)
    mapped = [letter for letter in shares if letter != GAP_CELL] or [GAP_CELL]
    letter = next((mark for mark in MARKS if mark in marks), max(mapped, key=shares.__getitem__))
    region = first[letter]
    if swapped > here and letter not in "#X!LD":
        letter = "W"
    is_here = True if here else None if unknown else False
    return Cell(letter, is_here, region)


def _cells(items: Sequence[_Item], count: int, seen: Sequence[Seen], places: _Places) -> Iterator[tuple[int, Cell]]:
    """So many cells for a stretch, each with the address that it begins at."""
    total = sum(item.weight for item in items)
    # Cut into total * count parts: a cell is as many of them as there are weights, a weight as many as there are cells.
    at, begin = 0, 0
    for number in range(count):
        low, high = number * total, (number + 1) * total
        parts = []
        while at < len(items) and begin < high:
            item = items[at]
            length = item.weight * count
            start = item.address + item.size * (max(low, begin) - begin) // length
            end = item.address + item.size * (min(high, begin + length) - begin) // length
            parts.append((item, start, end, min(high, begin + length) - max(low, begin)))
            if begin + length > high:
                break
            begin += length
            at += 1
        yield parts[0][1] & ~_PAGE_REST, _cell(parts, seen, places)


def lines_of(account: Account, per_line: int, most_lines: int = MOST_LINES) -> list[Line]:
    """Lay the regions out in lines of cells."""
    if per_line < 1 or most_lines < 1:
        raise ValueError(f"a picture has at least 1 cell in a line and 1 line, not {per_line} and {most_lines}")
    stretches = list(_stretches(account.seen))
    weight = sum(item.weight for items, _ in stretches for item in items)
    room = per_line * most_lines
    places = _Places(account.places or account.regions)
    lines = []
    for items, gap in stretches:
        wanted = sum(item.weight for item in items)
        count = wanted if weight <= room else max(1, wanted * room // weight)
        cells = list(_cells(items, count, account.seen, places))
        for at in range(0, count, per_line):
            part = cells[at : at + per_line]
            is_last = at + per_line >= count
            lines.append(Line(part[0][0], [cell for _, cell in part], gap if is_last else 0))
    return lines


def is_told(lines: Iterable[Line]) -> bool:
    """Whether it is known of anything where its pages are."""
    return any(cell.here is not None for line in lines for cell in line.cells if cell.letter != GAP_CELL)
