"""Rows for people and for programs.

In: the rows of a run. Out: the announcement, the table, the notes under it, and the object for --json. Never
contents, never addresses: counts and places only.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from strongroom.prove import model
from strongroom.report.table import Column, Paint, Text, render

if TYPE_CHECKING:  # both need Linux's own modules; this one also speaks where the trials cannot run
    from strongroom.prove.machine import Machine
    from strongroom.prove.plan import Plan

_STYLES = {
    model.HELD: "good", model.LEAKED: "bad", model.UNNOTICED: "bad", model.EXPOSED: "warn", model.OWN_FILE: "warn",
    model.NO_CONTROL: "warn", model.NOT_TRIED: "dim",
}  # fmt: skip
_NARROW = (Column("trial", 26), Column("ordinary", 10), Column("strongroom", 12), Column("evidence", 26))
_WIDE = (
    Column("trial", 26), Column("ordinary", 10), Column("Secret, open", 12), Column("Secret, at rest", 15),
    Column("LockedBuffer, locked", 20), Column("LockedBuffer, secretmem", 23),
)  # fmt: skip


def announcement(plan: Plan) -> str:
    """What is going to be changed, before it is."""
    if not plan.shared_changes:
        return f"This run only makes a private folder, and removes it: {plan.directory.path}\n"
    lines = ["This run changes the following, and puts it back when it ends, even if it is killed:"]
    for change in (plan.directory, *plan.shared_changes):
        what, details = change.describe()
        lines.append(f"  {what + ':':15}{details}")
    return "\n".join(lines) + "\n"


def header(machine: Machine, version: str, python: str) -> str:
    """One line: what is being tested, on what, as whom."""
    who = "root" if machine.is_root else "without root"
    return f"strongroom {version} · {machine.system} {machine.release} {machine.architecture} · {python} · {who}\n"


def _note(row: model.Row, kind: str) -> str | None:
    """The footnote of a cell: its own, else its row's; the control needs none."""
    return None if kind == model.ORDINARY else row.cells[kind].note or row.note


def _shown_kinds(row: model.Row, wide: bool) -> list[str]:
    """Which kinds' cells a row shows: all, or the control and the worse state of Secret."""
    if wide:
        return list(model.kinds_of(row.id))
    return [model.ORDINARY, next(kind for kind in model.shown_kinds(row.id) if row.cells[kind] is row.strongroom)]


def _cell(row: model.Row, kind: str, marks: dict[str, int], wide: bool) -> Text:
    """One cell; footnotes are numbered in the order in which they are met."""
    cell, note = row.cells[kind], _note(row, kind)
    mark = f" [{marks.setdefault(note, len(marks) + 1)}]" if note else ""
    if wide and kind not in model.KINDS:  # it has no column of its own, and its row has no other cell
        return Text(f"{model.TITLES[kind]}: {cell.word}{mark}", _STYLES[cell.word], len(_WIDE) - 2)
    return Text(cell.word + mark, _STYLES[cell.word])


def table(rows: list[model.Row], paint: Paint, *, wide: bool) -> str:
    """The table and its notes; wide also if a kind leaked that the narrow table does not show."""
    others = [kind for kind in model.KINDS[1:] if kind not in model.SECRET_KINDS]
    wide = wide or any(row.cells[kind].word == model.LEAKED for row in rows for kind in others if kind in row.cells)
    marks: dict[str, int] = {}
    lines: list[list[Text]] = []
    for row in rows:
        if row.needs is not None:
            lines.append([Text(row.title), Text(f"not tried ({row.needs})", "dim", 5 if wide else 3)])
            continue
        cells = [_cell(row, kind, marks, wide) for kind in _shown_kinds(row, wide)]
        if wide:
            lines.append([Text(row.title), *cells])
            lines.append([Text(""), Text(_evidence(row, wide=True), "dim", len(_WIDE) - 1)])
        else:
            lines.append([Text(row.title), *cells, Text(_evidence(row, wide=False))])
    text = render(_WIDE if wide else _NARROW, lines, paint)
    for note, number in marks.items():
        text += "\n" + _folded(f"[{number}] {model.NOTES[note]}")
    return text


def _evidence(row: model.Row, *, wide: bool) -> str:
    """The row's evidence, and why kinds are missing."""
    kinds = model.kinds_of(row.id)[1:] if wide else model.shown_kinds(row.id)
    needs = {row.cells[kind].needs for kind in kinds if row.cells[kind].needs}
    found = sum(row.cells[kind].finding.copies for kind in kinds)
    parts = [row.evidence, row.more] if wide else [row.evidence]
    if found:
        places = sorted({place for kind in kinds for place in row.cells[kind].finding.where})
        parts.append(f"strongroom's: {found} in {', '.join(places)}")
    return "; ".join([p for p in parts if p] + sorted(f"not tried: {reason}" for reason in needs if reason))


def _folded(text: str) -> str:
    return textwrap.fill(text, 80, subsequent_indent="    ") + "\n"


def verdict(rows: list[model.Row], code: int) -> str:
    """The line under the table: what the run amounts to."""
    words = [row.strongroom.word for row in rows]
    said = ", ".join(f"{words.count(word)} {word}" for word in _STYLES if word in words)
    cells = [cell for row in rows for kind, cell in row.cells.items() if kind != model.ORDINARY]
    has_leaked = any(cell.word == model.LEAKED for cell in cells)
    meaning = {0: "fine", 1: "leaked" if has_leaked else "lost without a word", 3: "incomplete"}[code]
    attacks = "1 attack" if len(rows) == 1 else f"{len(rows)} attacks"
    return f"strongroom under {attacks}: {said} (exit code {code}: {meaning})\n"


_FILES = "read a disk of its own raw, for mapped files and partial pages"
_STORES = "press a store of physical pages"
_ROOT_ADDS = {
    "swapped": "search a swap file of its own, raw",
    "core": "have the core written where it can read it",
    "reader-root": "read with root's rights",
    "fork-swap": "swap a forked child's copy out",
    "mapped-file": _FILES,
    "mapped-file-deleted": _FILES,
    "partial-page": _FILES,
    "droppable": "have droppable pages dropped",
    "physical-secretmem": _STORES,
    "physical-locked": _STORES,
}


def what_root_adds(machine: Machine, rows: list[model.Row]) -> str:
    """One line for those without root."""
    lacking = [row.id for row in rows if row.needs and "root" in row.needs]
    if machine.is_root or not lacking:
        return ""
    adds = dict.fromkeys(_ROOT_ADDS[row_id] for row_id in lacking)  # some rows say the same
    return _folded(f"As root it also tries this: {'; '.join(adds)}.")


def what_needs_no_lock(rows: list[model.Row]) -> str:
    """One line for those who may lock nothing, or too little."""
    needs = [row.needs for row in rows] + [cell.needs for row in rows for cell in row.cells.values()]
    if model.NEEDS_LOCKS not in needs:
        return ""
    return _folded(
        "The lock limit (ulimit -l) is too small for what was not tried. Where it cannot be raised, VolatileBuffer and "
        "FileBuffer need no lock: docs/unlocked.md says what they keep out, and what not."
    )


def as_object(
    rows: list[model.Row], plan: Plan | None, machine: Machine | None, version: str, python: str, code: int
) -> dict[str, Any]:
    """The content of --json (docs/schema/prove.schema.json)."""
    system = (
        {} if machine is None else
        {"name": machine.system, "release": machine.release, "architecture": machine.architecture,
         "is_root": machine.is_root, "ptrace_scope": machine.ptrace_scope}
    )  # fmt: skip
    changes = [] if plan is None else [
        {"what": what, "details": details} for what, details in (c.describe() for c in plan.shared_changes)
    ]  # fmt: skip
    notes = {cell.note for row in rows for cell in row.cells.values() if cell.note} | {r.note for r in rows if r.note}
    return {
        "version": version,
        "python": python,
        "system": system,
        "changes": changes,
        "trials": [_row(row) for row in rows],
        "notes": {note: model.NOTES[note] for note in sorted(notes)},
        "exit_code": code,
    }


def _row(row: model.Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "needs": row.needs,
        "strongroom": row.strongroom.word,
        "cells": {
            kind: {
                "word": cell.word,
                "needs": cell.needs,
                "note": cell.note,
                "copies": cell.finding.whole,
                "half_copies": cell.finding.half,
                "where": cell.finding.where,
                "backing": row.backings[kind].seen if kind in row.backings else None,
            }
            for kind, cell in row.cells.items()
        },
        "evidence": row.evidence,
        "more": row.more,
        "note": row.note,
        "attack": row.details,
        "is_incomplete": row.is_incomplete,
        "seconds": round(row.seconds, 3),
    }
