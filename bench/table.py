"""The figures as text, as Markdown and as one JSON object."""

import json
from collections.abc import Sequence

from bench.rows import Group, Row
from bench.targets import Verdict

SCHEMA = 1

_UNITS = {"us": ("us", 3), "ms": ("ms", 1), "bytes": ("B", 1)}
_RATIOS = ("minimum", "median", "x minimum", "x median")
_DIFFERENCES = ("minimum", "median", "+ of minima", "+ median")
#: Columns: the longest title, and a figure with its unit.
_TITLE_WIDTH, _CELL_WIDTH = 54, 13


def _is_by_difference(group: Group) -> bool:
    return any(row.difference_of_minima is not None for row in group.rows)


def _cells(group: Group, row: Row) -> list[str]:
    """Return a row's four figures as text; what was not measured is a dash."""
    unit, digits = _UNITS[group.unit]
    with_unit = [
        None if row.figures is None else row.figures.minimum,
        None if row.figures is None else row.figures.median,
    ]
    ratios = [row.ratio_of_minima, row.ratio_of_medians]
    if _is_by_difference(group):
        with_unit += [row.difference_of_minima, row.median_of_differences]
        ratios = []
    cells = ["-" if value is None else f"{value:.{digits}f} {unit}" for value in with_unit]
    return cells + ["-" if value is None else f"{value:.2f}" for value in ratios]


def _headings(group: Group) -> tuple[str, ...]:
    return _DIFFERENCES if _is_by_difference(group) else _RATIOS


def _verdict_line(verdict: Verdict) -> str:
    word = {True: "met", False: "MISSED", None: "not measured"}[verdict.is_met]
    measured = "" if verdict.measured is None else f", measured {verdict.measured:.2f}"
    return f"{word} (limit {verdict.target.limit:g}{measured}): {verdict.target.text}"


def as_text(machine: dict[str, str], groups: Sequence[Group], verdicts: Sequence[Verdict]) -> str:
    """Return the table for a terminal."""
    lines = [f"{key}: {value}" for key, value in machine.items()]
    for group in groups:
        lines += ["", f"{group.title}", " " * _TITLE_WIDTH + "".join(f"{h:>{_CELL_WIDTH}}" for h in _headings(group))]
        for row in group.rows:
            if row.skipped is not None:
                lines.append(f"  {row.title:<{_TITLE_WIDTH - 2}}  skipped: {row.skipped}")
            else:
                cells = "".join(f"{cell:>{_CELL_WIDTH}}" for cell in _cells(group, row))
                lines.append(f"  {row.title:<{_TITLE_WIDTH - 2}}{cells}")
    lines += ["", "targets, judged on minima"]
    return "\n".join(lines + [f"  {_verdict_line(verdict)}" for verdict in verdicts])


def as_markdown(machine: dict[str, str], groups: Sequence[Group], verdicts: Sequence[Verdict]) -> str:
    """Return the same as a page for ``results/``."""
    lines = [
        f"# Figures of {machine['date']}",
        "",
        "Written by `python -m bench --save`; how to read them: ../README.md.",
        "",
    ]
    lines += [f"- {key}: {value}" for key, value in machine.items()]
    for group in groups:
        lines += ["", f"## {group.title}", "", f"| | {' | '.join(_headings(group))} |", "|---|---:|---:|---:|---:|"]
        for row in group.rows:
            if row.skipped is not None:
                lines.append(f"| {row.title} (skipped: {row.skipped}) | - | - | - | - |")
            else:
                lines.append(f"| {row.title} | {' | '.join(_cells(group, row))} |")
    lines += ["", "## Targets, judged on minima", ""]
    return "\n".join(lines + [f"- {_verdict_line(verdict)}" for verdict in verdicts]) + "\n"


def as_json(machine: dict[str, str], groups: Sequence[Group], verdicts: Sequence[Verdict]) -> str:
    """Return one JSON object with everything in it."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "machine": machine,
            "groups": [
                {
                    "key": group.key,
                    "title": group.title,
                    "unit": group.unit,
                    "base": group.rows[0].key,
                    "rows": [
                        {
                            "key": row.key,
                            "title": row.title,
                            "skipped": row.skipped,
                            "samples": 0 if row.figures is None else row.figures.samples,
                            **{name: row.measure(name) for name in _MEASURES},
                        }
                        for row in group.rows
                    ],
                }
                for group in groups
            ],
            "targets": [
                {
                    "row": verdict.target.row,
                    "measure": verdict.target.measure,
                    "limit": verdict.target.limit,
                    "text": verdict.target.text,
                    "required": verdict.target.is_required,
                    "measured": verdict.measured,
                    "met": verdict.is_met,
                }
                for verdict in verdicts
            ],
        },
        indent=2,
    )


_MEASURES = (
    "minimum",
    "median",
    "ratio_of_minima",
    "ratio_of_medians",
    "difference_of_minima",
    "median_of_differences",
)
