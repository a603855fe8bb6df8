"""Mapped file: whole pages that belong to a file are forced out. Do they go anywhere but to that file, and what is
left of them when it is gone?

The first experiment of 2001: "if you MMap entire pages, they will be written only to the memory-mapped-file, not the
main swapfile", and then "burn the MMF with a clear conscience". On a disk of prove's own the victim has an ordinary
file mapped, and a FileBuffer. Everything is written back and pushed out; the disk is read raw, below its file system,
and so is the swap file, if prove has one. Two rows: while both are in use, and after one was deleted as files are and
the other destroyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim, VictimError
from strongroom.prove.model import FILE, ORDINARY, Finding, Row, count, judge, kinds_of, not_tried
from strongroom.prove.tracer import TRACER, Tracers
from strongroom.prove.trials.swapped import raw_scan
from strongroom.prove.victim.vanishing import MAPPED, OWN

IN_USE, DELETED = "mapped-file", "mapped-file-deleted"


def run(bench: Bench) -> list[Row]:
    """Two rows, one victim."""
    if refused := why_not(bench, IN_USE, DELETED):
        return refused
    assert bench.plan.disk is not None
    tracers = Tracers(kinds_of(IN_USE))
    with bench.victim(tracers, pressed=bench.has_raw_swap, disk=bench.plan.disk.point) as victim:
        before = force_out(bench, tracers, victim)
        if FILE in victim.backings and victim.look(tracers, FILE) != TRACER:
            raise VictimError("the contents did not come back from the file")
        victim.ask("release")
        after = force_out(bench, tracers, victim, before.blocks)
        return [_in_use(bench, victim, before), _deleted(bench, victim, before, after)]


def why_not(bench: Bench, *row_ids: str) -> list[Row]:
    """The rows, if there is no disk for them."""
    if bench.plan.disk_needs:
        return [not_tried(row_id, bench.plan.disk_needs) for row_id in row_ids]
    if bench.disk_problem is not None:
        return [not_tried(each, bench.disk_problem, is_incomplete=not bench.is_disk_refused) for each in row_ids]
    return []


@dataclass(slots=True)
class Forced:
    """What was found after everything had been forced out."""

    disk: dict[str, Finding]
    swap: dict[str, Finding] | None  # None: there is no swap file of our own to be searched
    blocks: dict[str, Any]  # where on the disk the victim's files are, or were
    is_complete: bool
    details: dict[str, Any]

    @property
    def findings(self) -> dict[str, Finding]:
        """Both together."""
        return {kind: found.plus(self.swap[kind]) if self.swap else found for kind, found in self.disk.items()}

    def has_control(self, *files: str) -> bool:
        """True if the ordinary copies arrived: one in each of these files' blocks, and one in the swap file."""
        there = all(self.disk[ORDINARY].where.get(name, 0) for name in files)
        return there and (self.swap is None or self.swap[ORDINARY].copies > 0)

    @property
    def evidence(self) -> str:
        """How many ordinary copies there were, and where."""
        swapped = "no swap searched" if self.swap is None else f"{self.swap[ORDINARY].copies} in swap"
        return f"{count(self.disk[ORDINARY].copies)} on the disk, {swapped}"


def force_out(bench: Bench, tracers: Tracers, victim: Victim, blocks: dict[str, Any] | None = None) -> Forced:
    """Push everything out, have it all written, and search what it was written to."""
    assert bench.plan.disk is not None
    swap = swap_told = None
    if bench.has_raw_swap:
        swap_told, swap = raw_scan(bench, tracers, [("victim", victim.pid)])
    told = bench.attack(
        "disk", tracers, path=bench.plan.disk.path, point=bench.plan.disk.point, pid=victim.pid, files=victim.files,
        blocks=blocks,
    )  # fmt: skip
    is_locked = tracers.is_locked and told["is_locked"]
    is_complete = told["is_complete"] and is_locked
    details = {key: told[key] for key in told if key not in ("needles", "blocks")}
    if swap_told is not None:
        is_complete = is_complete and swap_told["is_complete"] and not swap_told["pages_elsewhere"]
        is_locked = is_locked and swap_told["is_locked"]
        details["scanned_size"] += swap_told["scanned_size"]
        details["unreadable"] += swap_told["unreadable"]
        details["swapped_pages"] = swap_told["swapped_pages"]
    details |= {"is_complete": is_complete, "is_locked": is_locked, "swap_was_searched": swap is not None}
    return Forced(bench.findings(told, tracers), swap, told["blocks"], is_complete, details)


def how(forced: Forced) -> str:
    """What was searched, for the wide table."""
    size = forced.details["scanned_size"] >> 20
    where = "disk image and swap file" if forced.swap is not None else "the disk image; there was no swap file of ours"
    return f"all {size} MiB of {where} were searched, below the file system"


def _in_use(bench: Bench, victim: Victim, forced: Forced) -> Row:
    own = {FILE: forced.disk[FILE].where.get(OWN, 0)}
    cells = judge(
        forced.findings, missing=victim.missing, is_complete=forced.is_complete, exposed={}, kinds=kinds_of(IN_USE),
        has_control=forced.has_control(MAPPED), own=own,
    )  # fmt: skip
    is_incomplete = not forced.is_complete or bench.swap_problem is not None
    return Row(
        IN_USE, cells, forced.evidence, how(forced), forced.details, victim.backings, is_incomplete=is_incomplete
    )


def _deleted(bench: Bench, victim: Victim, before: Forced, after: Forced) -> Row:
    # Whether the search sees the swap file was shown before; what was freed may be overwritten there by now.
    has_control = before.has_control(MAPPED) and after.disk[ORDINARY].where.get(MAPPED, 0) > 0
    cells = judge(
        after.findings, missing=victim.missing, is_complete=after.is_complete, exposed={}, kinds=kinds_of(DELETED),
        has_control=has_control,
    )  # fmt: skip
    evidence = f"{count(after.disk[ORDINARY].copies)} left on the disk, read raw"
    is_incomplete = not after.is_complete or bench.swap_problem is not None
    return Row(DELETED, cells, evidence, how(after), after.details, victim.backings, is_incomplete=is_incomplete)
