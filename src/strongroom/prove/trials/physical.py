"""Physical pages: a store eight times its window is forced out. Is a page of it in the swap file, and is the content
right, window by window?

The same contents lie in ordinary memory, and in shared memory of which a locked window showed one part after the
other: the control is that all of the ordinary pages arrive in the swap file. Two rows, one victim: stores of secret
memory, and of memory that stays mapped and locked as a whole.
"""

from __future__ import annotations

from strongroom.prove.attackers import pages
from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim, VictimError
from strongroom.prove.model import ORDINARY, ROW_KINDS, TRIALS, Row, count, judge, kinds_of, not_tried
from strongroom.prove.tracer import SIZE, Tracers
from strongroom.prove.trials.swapped import raw_scan
from strongroom.prove.victim.paged import STORE_PAGES, WINDOW_PAGES

_TRIES = 3


def run(bench: Bench) -> list[Row]:
    """Two rows, one victim."""
    rows = TRIALS["physical"]
    if bench.plan.raw_needs:
        return [not_tried(row, bench.plan.raw_needs) for row in rows]
    if bench.swap_problem is not None:
        return [not_tried(row, bench.swap_problem, is_incomplete=True) for row in rows]
    tracers = Tracers((ORDINARY, *(ROW_KINDS[row][1] for row in rows)))
    with bench.victim(tracers, pressed=True) as victim:
        for _ in range(_TRIES):
            # By a second road: reclaim passes by pages that were locked once, and what waits in a processor's batch.
            bench.push_out([victim.pid], again=True)
            told, findings = raw_scan(bench, tracers, [("victim", victim.pid)])
            if findings[ORDINARY].copies >= STORE_PAGES:
                break
        # The page table does not tell of shared memory that is in swap; smaps does.
        told["swapped_stores"] = swapped = pages.swapped_stores(victim.pid)
        held = {row: _look_through(victim, tracers, ROW_KINDS[row][1]) for row in rows}
    is_complete = told["is_complete"] and not told["pages_elsewhere"] and swapped is not None
    details = {key: told[key] for key in told if key != "needles"}
    more = f"the kernel counts {swapped} bytes of stores in swap; all {told['scanned_size'] >> 20} MiB were searched"
    found = []
    for row in rows:
        cells = judge(
            findings, missing=victim.missing, is_complete=is_complete, exposed={}, kinds=kinds_of(row),
            has_control=findings[ORDINARY].copies >= STORE_PAGES,
        )  # fmt: skip
        evidence = f"{count(findings[ORDINARY].copies)} in the swap file; strongroom's: {held[row]}"
        found.append(Row(row, cells, evidence, more, details, victim.backings, is_incomplete=not is_complete))
    return found


def _look_through(victim: Victim, tracers: Tracers, kind: str) -> str:
    """See that every page of a store is what it was, one window after the other; in words."""
    if kind in victim.missing:
        return "not made"
    for first in range(0, STORE_PAGES, WINDOW_PAGES):
        numbers = victim.ask("show_window", kind=kind, first=first, size=SIZE)["numbers"]
        are_right = [tracers.is_next_in(victim.leak, kind, SIZE) for _ in numbers]
        if numbers != list(range(first, first + WINDOW_PAGES)) or not all(are_right):
            raise VictimError(f"the window from page {first} on does not show what was there")
    return f"{STORE_PAGES} pages right, in {STORE_PAGES // WINDOW_PAGES} windows"
