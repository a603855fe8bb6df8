"""Partial page: 512 bytes of a page belong to a file. Does the rest of it reach any disk, and is its loss noticed?

The second experiment of 2001: "if you MMap 512 bytes, the remaining 3.5k in the page do not get written _anywhere_
during a swap. The parent routine can detect the loss of data and abort or restart." The controls are what must reach
the disk: the 512 bytes of an ordinary file of that size, and the page of an ordinary file. The VolatileBuffer must not,
must be gone from memory afterwards, and must say so.
"""

from __future__ import annotations

from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim
from strongroom.prove.model import HELD, PARTIAL, Cell, Row, demand_loss, judge, kinds_of
from strongroom.prove.tracer import HALF, TRACER, Tracers
from strongroom.prove.trials.mapped import force_out, how, why_not
from strongroom.prove.victim.vanishing import HEAD, MAPPED

ID = "partial-page"


def run(bench: Bench) -> list[Row]:
    """One row."""
    if refused := why_not(bench, ID):
        return refused
    assert bench.plan.disk is not None
    tracers = Tracers(kinds_of(ID))
    with bench.victim(tracers, pressed=bench.has_raw_swap, disk=bench.plan.disk.point) as victim:
        forced = force_out(bench, tracers, victim)
        cells = judge(
            forced.findings, missing=victim.missing, is_complete=forced.is_complete, exposed={}, kinds=kinds_of(ID),
            has_control=forced.has_control(MAPPED, HEAD),
        )  # fmt: skip
        forced.details["loss"] = loss = settle_loss(cells, tracers, victim, PARTIAL)
        if cells[PARTIAL].word == HELD:
            cells[PARTIAL] = Cell(HELD, note="partial")
        evidence = f"{forced.evidence}; strongroom's: {loss}"
        is_incomplete = not forced.is_complete or bench.swap_problem is not None or is_kept(loss)
        row = Row(ID, cells, evidence, how(forced), forced.details, victim.backings, is_incomplete=is_incomplete)
    return [row]


def settle_loss(cells: dict[str, Cell], tracers: Tracers, victim: Victim, kind: str) -> str:
    """Look whether the contents are gone, ask the library whether it knows, and set the cell; returns it in words."""
    if kind in victim.missing:
        return "not made"
    # First the look: what the library does about a loss may put something else there.
    is_gone = victim.look(tracers, kind) not in (TRACER, HALF)
    is_noticed = bool(victim.ask("notice", kind=kind)["noticed"])
    cells[kind] = demand_loss(cells[kind], is_gone=is_gone, is_noticed=is_noticed)
    if not is_gone:
        return _KEPT
    return "lost, and noticed" if is_noticed else "lost, and not noticed"


_KEPT = "still there"


def is_kept(loss: str) -> bool:
    """True if the system did not drop what it was pressed to drop: then the trial has shown nothing."""
    return loss == _KEPT
