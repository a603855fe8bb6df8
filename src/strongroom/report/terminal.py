"""A process's memory as text for a terminal: totals, the picture, what stands out; or a line for each region.

In: an ``Account``, a width, something that colours. Out: text. Colour adds nothing that the letters do not say.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from strongroom.report.memory import EVERYBODY, KINDS, MARKS, Account, access_of
from strongroom.report.picture import Cell, Line, is_told, lines_of
from strongroom.report.table import Paint
from strongroom.report.words import size_text, visible

__all__ = ["CODES", "MIN_WIDTH", "draw", "picture", "report_lines", "spoken"]

MIN_WIDTH = 40
_WIDE = 72  # from here on the legend has all its columns
_LEAST_DIGITS = 12  # of an address in user space, as far as systems hand it out unasked

#: Colours by letter: in memory (filled), and not (letters only). The terminal's own sixteen, so that they suit its
#: theme.
CODES = {
    **{f"{letter}+": f"{ink};{paper}" for letter, ink, paper in (
        ("I", 97, 44), ("F", 30, 46), ("M", 97, 45), ("A", 30, 42), ("H", 30, 102), ("S", 30, 43), ("K", 97, 100),
        ("?", 30, 47), ("#", "1;30", 107), ("X", "1;30", 106), ("!", "1;97", 41), ("L", "1;30", 103),
        ("D", "1;30", 105), ("W", "1;97", 101), ("N", "1;4;30", 47),
    )},
    **{f"{letter}-": str(ink) for letter, ink in (
        ("I", 34), ("F", 36), ("M", 35), ("A", 32), ("H", 92), ("S", 33), ("K", 90), ("-", 90), ("?", 37),
        ("#", "1;7"), ("X", "1;96"), ("!", "1;31"), ("L", "1;93"), ("D", "1;95"), ("W", "1;91"), ("N", "1;4"),
    )},
    "-+": "30;100", "bold": "1", "dim": "2",
}  # fmt: skip


def _digits(addresses: Iterable[int]) -> int:
    return max(_LEAST_DIGITS, len(f"{max(addresses, default=0):x}"))


def spoken(text: str, encoding: str) -> str:
    """The text for a terminal that lacks some of our own signs, where a ? in their place would mean something else."""
    for sign, substitute in (("·", "."), ("⋯", "...")):
        try:
            sign.encode(encoding)
        except (UnicodeError, LookupError):
            text = text.replace(sign, substitute)
    return text


def draw(lines: Sequence[Line], width: int, paint: Paint, *, has_addresses: bool = True) -> str:
    """The picture alone, for a terminal."""
    knows = is_told(lines)
    digits = _digits(line.address for line in lines)
    margin = f"  {'':{digits}}  " if has_addresses else "  "
    text = []
    for line in lines:
        label = margin
        if has_addresses:
            label = f"  {paint(f'{line.address:0{digits}x}', 'dim')}  "
        cells = "".join(_painted(line.cells, paint, knows=knows))
        free = f"⋯ {size_text(line.gap)} free" if has_addresses else "⋯ free"
        if not line.gap:
            text.append(label + cells)
        elif len(margin) + len(line.cells) + 1 + len(free) <= width:
            text.append(f"{label}{cells} {paint(free, 'dim')}")
        else:
            text += [label + cells, margin + paint(free, "dim")]
    return "".join(line + "\n" for line in text)


def _painted(cells: Sequence[Cell], paint: Paint, *, knows: bool) -> Iterator[str]:
    """Cells of one colour together: an escape for each would be most of the picture."""
    shown = [("?", f"{cell.letter}-") if cell.is_untold and knows else (cell.char, cell.style) for cell in cells]
    for style, group in groupby(shown, itemgetter(1)):
        yield paint("".join(char for char, _ in group), style)


def _legend(account: Account, width: int, paint: Paint) -> Iterator[str]:
    """Each kind that is there, with its sums; two of them where there is no room for more."""
    is_wide = width >= _WIDE
    titles = ("regions", "mapped", "resident", "swapped") if is_wide else ("mapped", "resident")
    name, figure = (20, 12) if is_wide else (16, 10)
    yield paint(" " * (4 + name) + "".join(f"{title:>{figure}}" for title in titles), "dim")
    for letter, count, *sizes in account.by_kind():
        told = [f"{count:,}", *map(str, sizes)] if is_wide else map(str, sizes[:2])
        figures = "".join(f"{words:>{figure}}" for words in told)
        yield f"  {paint(letter, letter + '+')} {KINDS[letter].title:{name}}{figures}"


def _wrapped(words: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _headline(account: Account, width: int, paint: Paint) -> Iterator[str]:
    """Whose memory, and its totals: what a person wants to see first."""
    yield from (paint(line, "bold") for line in _wrapped(account.title, width, ""))
    line, length = "", 0
    for name, size in account.totals.items():
        words = f"{name} {size}"
        if line and length + 2 + len(words) > width:
            yield line
            line, length = "", 0
        if line:
            line, length = f"{line}  ", length + 2
        line, length = f"{line}{name} {paint(str(size), 'bold')}", length + len(words)
    yield line


def _explained(lines: Sequence[Line]) -> Iterator[str]:
    if is_told(lines):
        yield "CAPITALS are in memory, small letters are not."
        if any(cell.is_untold for line in lines for cell in line.cells):
            yield "Of ? it is not told."
    else:
        yield "Which of it is in memory is not told here."
    yield "Twice the size is one cell more; · is a gap."


def _everybody(account: Account) -> Iterator[str]:
    yield "What everybody may read:"
    for name, title in EVERYBODY.items():
        if name in account.everybody:
            indent = "    " if name.startswith("Rss") else "  "
            yield f"{indent + name:<12}{size_text(account.everybody[name]):>10}  {title}"


def picture(account: Account, width: int, paint: Paint, *, has_addresses: bool = True) -> str:
    """All that a terminal shows of a process: totals, what could not be read, the picture, what stands out, the kinds.

    ``width`` in characters; the least that is drawn for is 40.
    """
    width = max(width, MIN_WIDTH)
    text = [*_headline(account, width, paint), ""]
    for words in account.notes():
        text += _wrapped(words, width)
    if account.refused is not None:
        if account.everybody:
            text += ["", *_everybody(account)]
        return "".join(line + "\n" for line in text)
    if not account.seen:
        return "".join(line + "\n" for line in text)
    if text[-1]:
        text.append("")
    margin = _digits(one.row.address for one in account.seen) + 4 if has_addresses else 2
    lines = lines_of(account, width - margin)
    text += draw(lines, width, paint, has_addresses=has_addresses).splitlines()
    text += [paint(line, "dim") for line in _wrapped(" ".join(_explained(lines)), width)] + [""]
    for letter, words in account.standing_out():
        first, *more = _wrapped(words, width, "    ")
        text += [f"  {paint(letter, letter + '+') if letter in MARKS else ' '} {first[4:]}", *more]
    text += ["", *_legend(account, width, paint)]
    return "".join(line + "\n" for line in text)


def region_lines(account: Account, paint: Paint, *, has_addresses: bool = True) -> Iterator[str]:
    """A line for each region, ending in its name: for ``grep``, and never cut."""
    digits = _digits(one.row.address for one in account.seen)
    address = f"{'address':<{digits}}  " if has_addresses else ""
    titles = f"{'size':>10}  {'':4}  {'resident':>10} {'swapped':>10}  {'what':<8} name"
    yield paint(address + titles, "dim")
    for row, base, marks, _ in account.seen:
        address = f"{row.address:0{digits}x}  " if has_addresses else ""
        resident, swapped = (
            "unknown" if size is None else size_text(size) for size in (row.resident_size, row.swapped_size)
        )
        what = base + marks
        shown = paint(what, what[-1] + "+") if marks else what
        yield (
            f"{address}{size_text(row.size):>10}  {access_of(row):4}  {resident:>10} {swapped:>10}  "
            f"{shown}{'':{max(0, 8 - len(what))}} {visible(row.path or '')}"
        ).rstrip()


def report_lines(account: Account, width: int, paint: Paint, *, has_addresses: bool = True) -> Iterator[str]:
    """The totals, what could not be read, and a line for each region."""
    if account.refused is not None or not account.seen:
        yield from picture(account, width, paint).splitlines()
        return
    width = max(width, MIN_WIDTH)
    yield from _headline(account, width, paint)
    for words in account.notes(has_picture=False):
        yield from _wrapped(words, width)
    yield ""
    yield from region_lines(account, paint, has_addresses=has_addresses)
