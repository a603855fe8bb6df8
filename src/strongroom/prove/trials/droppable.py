"""Droppable page: memory that the kernel may drop but not write out is put under pressure. Is it in the swap file, and
is its loss noticed?

The kernel's own form of "do not get written anywhere", Linux 6.11. The attack and the control are those of the swap
trial: the victim in a control group of its own, everything in it evicted, the swap file read raw.
"""

from __future__ import annotations

from strongroom.prove.attackers.pages import PAGE
from strongroom.prove.bench import Bench
from strongroom.prove.model import DROPPABLE, ORDINARY, Row, count, judge, kinds_of, not_tried
from strongroom.prove.tracer import HALF, TRACER, Tracers
from strongroom.prove.trials.partial import is_kept, settle_loss
from strongroom.prove.trials.swapped import raw_scan

ID = "droppable"
_TRIES = 3


def run(bench: Bench) -> list[Row]:
    """One row."""
    if bench.plan.drop_needs:
        return [not_tried(ID, bench.plan.drop_needs)]
    if bench.swap_problem is not None:
        return [not_tried(ID, bench.swap_problem, is_incomplete=True)]
    tracers = Tracers(kinds_of(ID))
    with bench.victim(tracers, pressed=True) as victim:
        for _ in range(_TRIES):  # a page that was touched just now may still wait in a batch of its processor
            told, findings = raw_scan(bench, tracers, [("victim", victim.pid)])
            if DROPPABLE in victim.missing or victim.look(tracers, DROPPABLE) not in (TRACER, HALF):
                break
            bench.push_out([victim.pid], again=True)
        is_complete = told["is_complete"] and not told["pages_elsewhere"]
        cells = judge(findings, missing=victim.missing, is_complete=is_complete, exposed={}, kinds=kinds_of(ID))
        loss = settle_loss(cells, tracers, victim, DROPPABLE)
        backings = victim.backings
    evidence = f"{count(findings[ORDINARY].copies)} in the swap file; strongroom's: {loss}"
    pushed = told["swapped_pages"]["victim"] * PAGE / 2**20
    more = f"{pushed:.1f} MiB of the victim went there; all {told['scanned_size'] >> 20} MiB of the file were searched"
    details = {key: told[key] for key in told if key != "needles"} | {"loss": loss}
    return [Row(ID, cells, evidence, more, details, backings, is_incomplete=not is_complete or is_kept(loss))]
