"""Tables for a terminal: fixed columns, wrapped cells, colour only where a person looks at it.

In: columns, rows of cells. Out: text. Nothing is measured or decided here.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

GAP = "  "
_CODES = {"good": "32", "bad": "1;31", "warn": "33", "dim": "2", "bold": "1"}

Paint = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `width` in characters."""

    title: str
    width: int


@dataclass(frozen=True, slots=True)
class Text:
    """One cell: its words, how they are meant ("good", "bad", "warn", "dim", "bold" or ""), its columns."""

    words: str
    style: str = ""
    columns: int = 1


def painter(stream: TextIO, environment: Mapping[str, str] | None = None, codes: Mapping[str, str] = _CODES) -> Paint:
    """Return a function that colours text for this stream, or leaves it alone.

    Plain unless the stream is a terminal; plain if NO_COLOR is set to anything (no-color.org) or TERM is "dumb".
    ``codes`` are the styles and the numbers of their escape sequences.
    """
    environment = os.environ if environment is None else environment
    is_plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb" or not stream.isatty()

    def paint(words: str, style: str) -> str:
        return words if is_plain or style not in codes else f"\x1b[{codes[style]}m{words}\x1b[0m"

    return paint


def render(columns: Sequence[Column], rows: Sequence[Sequence[Text]], paint: Paint) -> str:
    """Return the table, one line feed after each line.

    A cell that covers several columns takes their width and the gaps between. Words longer than a cell are cut
    over lines, never dropped.
    """
    lines = _lines(columns, [Text(column.title, "bold") for column in columns], paint)
    lines.append(GAP.join("─" * column.width for column in columns))
    for row in rows:
        lines += _lines(columns, row, paint)
    return "".join(line.rstrip() + "\n" for line in lines)


def _lines(columns: Sequence[Column], row: Sequence[Text], paint: Paint) -> list[str]:
    blocks: list[tuple[int, str, list[str]]] = []
    at = 0
    for cell in row:
        covered = columns[at : at + cell.columns]
        width = sum(column.width for column in covered) + len(GAP) * (len(covered) - 1)
        at += cell.columns
        blocks.append((width, cell.style, textwrap.wrap(cell.words, width) or [""]))
    height = max(len(block[2]) for block in blocks)
    lines = []
    for number in range(height):
        parts = []
        for width, style, wrapped in blocks:
            words = wrapped[number] if number < len(wrapped) else ""
            # Padded after painting: escape codes have no width.
            parts.append((paint(words, style) if words else "") + " " * (width - len(words)))
        lines.append(GAP.join(parts))
    return lines
