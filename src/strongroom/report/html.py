"""The same picture as a page: one file, no script, nothing fetched, light and dark.

In: an ``Account``. Out: text. Every word that others chose goes through ``_text``: first what a terminal could take for
something else is made visible, then HTML's own characters. Should that ever be forgotten, the page's policy forbids
scripts, images and everything else but its own style.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from strongroom.report.memory import EVERYBODY, KINDS, MARKS, Account, access_of
from strongroom.report.picture import GAP_CELL, Cell, Line, is_told, lines_of
from strongroom.report.style import STYLE
from strongroom.report.words import size_text, visible

__all__ = ["page"]

#: Cells in a line, and lines: what a wide window shows without scrolling.
PER_LINE = 100
MOST_LINES = 24
_ROOM_FOR_GAP = 16  # cells that the words for a gap take; where there are fewer they have a line of their own
#: Rows of the table: a browser takes seconds for more, and who wants them all takes --json.
MOST_ROWS = 20_000

_CLASSES = {
    "-": "none", "?": "untold", "#": "secret", "X": "secured", "!": "danger", "L": "locked", "D": "droppable",
    "W": "swapped", "N": "nodump",
}  # fmt: skip


def _text(words: str) -> str:
    """Words as HTML shows them, whoever chose them."""
    return html.escape(visible(words))


def _class(letter: str) -> str:
    return _CLASSES.get(letter, f"k{letter}")


def _swatch(letter: str) -> str:
    return f'<span class="swatch {_class(letter)}">{html.escape(letter)}</span>'


def _figure(words: object) -> str:
    return f'<td class="n{" zero" if str(words) == "0" else ""}">{words}</td>'


def _pieces(account: Account, cells: Sequence[Cell]) -> Iterator[tuple[Cell, int, bool]]:
    """Cells of one region that look alike as one piece, and whether the next one is of the same file."""
    at = 0
    while at < len(cells):
        end = at
        while end < len(cells) and cells[end] == cells[at]:
            end += 1
        yield cells[at], end - at, end < len(cells) and _is_one(account, cells[at], cells[end])
        at = end


def _is_one(account: Account, left: Cell, right: Cell) -> bool:
    if GAP_CELL in (left.letter, right.letter):
        return False
    if left.region == right.region:
        return True
    path = account.seen[left.region].row.path
    return bool(path) and path == account.seen[right.region].row.path


def _piece(account: Account, cell: Cell, count: int, more: str, *, knows: bool, has_addresses: bool) -> str:
    if cell.letter == GAP_CELL:
        return f'<span class="p free" style="--n:{count}">{GAP_CELL}</span>'
    row, base, marks, _ = account.seen[cell.region]
    words = [f"{row.address:x}"] if has_addresses else []
    titles = [KINDS[base].title, *(MARKS[mark].title for mark in marks)]
    words += [size_text(row.size), access_of(row), ", ".join(titles)]
    if row.resident_size is not None:
        words.append(f"{size_text(row.resident_size)} resident")
    title = "&#10;".join(_text(line) for line in ("  ".join(words), row.path) if line)
    is_untold = knows and cell.is_untold
    char, look = ("?", " maybe") if is_untold else (cell.char, " out" if cell.is_pale else "")
    link = f' href="#r{cell.region}"' if cell.region < MOST_ROWS else ""
    rest = f"<i>{char * (count - 1)}</i>" if count > 1 else ""
    return (
        f'<a class="p {_class(cell.letter)}{look}{more}" style="--n:{count}" '
        f'tabindex="-1"{link} title="{title}">{char}{rest}</a>'
    )


def _map(account: Account, lines: Sequence[Line], *, has_addresses: bool) -> Iterator[str]:
    knows = is_told(lines)
    for line in lines:
        label = f'<span class="at">{line.address:012x}</span>' if has_addresses else ""
        pieces = "".join(
            _piece(account, cell, count, " on" if goes_on else "", knows=knows, has_addresses=has_addresses)
            for cell, count, goes_on in _pieces(account, line.cells)
        )
        free = f"⋯ {size_text(line.gap)} free" if has_addresses else "⋯ free"
        gap = f'<span class="gap">{free}</span>' if line.gap else ""
        if line.gap and len(line.cells) > PER_LINE - _ROOM_FOR_GAP:
            label_of_none = '<span class="at"></span>' if has_addresses else ""
            gap = f'</div>\n<div class="row after">{label_of_none}{gap}'
        yield f'<div class="row">{label}<span class="cells">{pieces}</span>{gap}</div>\n'
    told = "CAPITALS, filled: in memory. Small letters, pale: not."
    if not knows:
        told = "Which of it is in memory is not told."
    yield f'</div><p class="how">{told} Twice the size is one cell more. Each piece leads to its line below.</p>'


def _legend(account: Account) -> Iterator[str]:
    parts = [(letter, resident.size) for letter, _, _, resident, _ in account.by_kind() if resident.size]
    if parts:
        yield '<div class="bar" aria-hidden="true">'
        yield "".join(
            f'<b class="{_class(letter)}" style="flex:{size}" title="{KINDS[letter].title}: {size_text(size)}"></b>'
            for letter, size in parts
        )
        yield "</div>"
    yield "<table><caption>The bar is what is resident, to scale.</caption><thead><tr><th scope=col>what</th>"
    yield "".join(f'<th scope=col class="n">{title}</th>' for title in ("regions", "mapped", "resident", "swapped"))
    yield "</tr></thead><tbody>\n"
    for letter, count, *sizes in account.by_kind():
        figures = "".join(_figure(words) for words in (f"{count:,}", *sizes))
        yield f"<tr><td class=w>{_swatch(letter)}&ensp;{KINDS[letter].title}</td>{figures}</tr>\n"
    yield "</tbody></table>"


def _regions(account: Account, *, has_addresses: bool) -> Iterator[str]:
    count = len(account.seen)
    rest = f", of which the first {MOST_ROWS:,} are here: --json has all" if count > MOST_ROWS else ""
    yield f"<table><caption>{count:,} regions in order of address{rest}.</caption><thead><tr>"
    if has_addresses:
        yield "<th scope=col>address</th>"
    yield (
        '<th scope=col class="n">size</th><th scope=col>access</th><th scope=col class="n">resident</th>'
        '<th scope=col class="n">swapped</th><th scope=col>what</th><th scope=col>name</th></tr></thead><tbody>\n'
    )
    for number, (row, base, marks, _) in enumerate(account.seen[:MOST_ROWS]):
        address = f'<td class="m">{row.address:012x}</td>' if has_addresses else ""
        sizes = ("unknown" if size is None else size_text(size) for size in (row.resident_size, row.swapped_size))
        titles = [(base, KINDS[base].title), *((mark, MARKS[mark].title) for mark in marks)]
        what = " ".join(f"<span class=w>{_swatch(letter)} {title}</span>" for letter, title in titles)
        name = f'<td class="name">{_text(row.path or "")}</td>'
        yield (
            f'<tr id="r{number}">{address}{_figure(size_text(row.size))}<td class="m">{access_of(row)}</td>'
            f"{''.join(map(_figure, sizes))}<td>{what}</td>{name}</tr>\n"
        )
    yield "</tbody></table>"


def _body(account: Account, when: str, *, has_addresses: bool) -> Iterator[str]:
    yield f"<main><h1>{_text(account.title)}</h1><p class=by>What is in its memory, read {_text(when)}</p>\n"
    yield '<section class="totals" aria-label="Totals">'
    for name, size in account.totals.items():
        zero = ' class="zero"' if str(size) in ("0", "unknown") else ""
        letter = {"swapped": "W", "locked": "L", "secret": "#"}.get(name, "") if size.size else ""
        mark = _swatch(letter) + " " if letter else ""
        yield f"<div><dl><dt>{mark}{name}</dt><dd{zero}>{size}</dd></dl></div>"
    yield "</section>\n"
    if notes := list(account.notes()):
        yield '<section class="notes">' + "".join(f"<p>{_text(words)}</p>" for words in notes) + "</section>\n"
    if account.refused is not None:
        yield "<section><h2>What everybody may read</h2><table><tbody>"
        for name, title in EVERYBODY.items():
            if name in account.everybody:
                yield f"<tr><td>{name}</td>{_figure(size_text(account.everybody[name]))}<td>{title}</td></tr>"
        yield "</tbody></table></section>\n"
    elif account.seen:
        lines = lines_of(account, PER_LINE, MOST_LINES)
        yield '<section><h2>The picture</h2><div class="map" aria-hidden="true">\n'
        yield from _map(account, lines, has_addresses=has_addresses)
        yield '</section>\n<div class="two"><section><h2>What stands out</h2><ul>'
        for letter, words in account.standing_out():
            yield (
                f"<li>{_swatch(letter)}<span>{_text(words)}</span></li>"
                if letter in MARKS
                else (f'<li class="rest">{_text(words)}</li>')
            )
        yield "</ul></section>\n<section><h2>What it is</h2>"
        yield from _legend(account)
        yield '</section></div>\n<section class="regions"><h2>Region by region</h2>'
        yield from _regions(account, has_addresses=has_addresses)
        yield "</section>"
    yield "</main>"


def page(account: Account, when: str, *, has_addresses: bool = True) -> Iterator[str]:
    """The page, in pieces. ``when`` it was read, in words."""
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(account.title)}: memory</title>\n<style>{STYLE}</style></head><body>\n"
    )
    yield from _body(account, when, has_addresses=has_addresses)
    yield "</body></html>\n"
