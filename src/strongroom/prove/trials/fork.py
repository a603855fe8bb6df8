"""Fork: what a child inherits. Two rows.

The child's memory: a reader goes through all of it, and the child itself looks at the addresses where its
parent has the tracers. The child's copy in swap: page locks are not inherited (mlock(2)), so a child that
writes to an inherited page gets a copy that the kernel may swap; the child does so, both are pushed out, and
only copies in swap slots of the child alone count as the control.
"""

from __future__ import annotations

import errno
from typing import Any

from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim
from strongroom.prove.model import KINDS, ORDINARY, Finding, Row, count, judge, not_tried
from strongroom.prove.tracer import SIZE, Tracers
from strongroom.prove.trials.swapped import raw_scan

CHILD, SWAP = "fork-child", "fork-swap"
_SEEN = "the tracer"


def run(bench: Bench) -> list[Row]:
    """Two rows, one victim with one child."""
    tracers = Tracers(KINDS)
    is_raw = bench.has_raw_swap
    with bench.victim(tracers, pressed=is_raw) as victim:
        child = victim.fork()
        rows = [_memory(bench, tracers, victim, child)]
        if is_raw:
            rows.append(_swap(bench, tracers, victim, child))
        else:
            needs = bench.swap_problem or bench.plan.raw_needs
            rows.append(not_tried(SWAP, needs, is_incomplete=bench.swap_problem is not None))
    return rows


def _held(victim: Victim) -> list[str]:
    """The kinds that have plaintext at an address."""
    return [kind for kind, backing in victim.backings.items() if backing.seen != "ciphertext"]


def _memory(bench: Bench, tracers: Tracers, victim: Victim, child: int) -> Row:
    looks: dict[str, str] = {}
    # First the reader: what the child looks at must not lie in its memory because it looked.
    told = bench.attack("memory", tracers, pid=child)
    findings = bench.findings(told, tracers) if not told["refused"] else dict.fromkeys(KINDS, Finding())
    for kind in _held(victim):
        result = int(victim.ask_child("look", kind=kind, size=SIZE)["result"])
        if result <= 0:
            looks[kind] = errno.errorcode.get(-result, str(result))
            continue
        is_tracer = tracers.is_next_in(victim.leak, kind, result)
        looks[kind] = _SEEN if is_tracer else "other bytes"
        if is_tracer:
            findings[kind] = findings[kind].plus(Finding(whole=1, where={"seen by the child itself": 1}))
    is_complete = bool(told["is_complete"]) and not told["refused"]
    # A reader that this system refuses is no fault; the child's own look stands by itself.
    is_incomplete = not is_complete and not told["refused"]
    hole = "needs a reader, which this system refuses" if told["refused"] else "needs a complete scan"
    cells = judge(findings, missing=victim.missing, is_complete=is_complete, exposed={}, hole=hole)
    there = looks[ORDINARY]
    others = sorted({looks[kind] for kind in looks if kind != ORDINARY})
    evidence = f"the child sees {there}; of strongroom's: {' or '.join(others) or 'nothing'}"
    more = f"a reader of the child found {count(findings[ORDINARY].copies - (there == _SEEN))} in ordinary memory"
    details: dict[str, Any] = {key: told[key] for key in told if key != "needles"}
    details["looks"] = looks
    return Row(CHILD, cells, evidence, more, details, victim.backings, is_incomplete=is_incomplete)


def _swap(bench: Bench, tracers: Tracers, victim: Victim, child: int) -> Row:
    touched = {kind: int(victim.ask_child("touch", kind=kind)["result"]) == 1 for kind in _held(victim)}
    told, findings = raw_scan(bench, tracers, [("victim", victim.pid), ("child", child)], control="child")
    is_complete = told["is_complete"] and not told["pages_elsewhere"]
    cells = judge(findings, missing=victim.missing, is_complete=is_complete, exposed={})
    details: dict[str, Any] = {key: told[key] for key in told if key != "needles"}
    details["written_by_child"] = touched
    evidence = f"{count(findings[ORDINARY].copies)} in the child's own swap"
    more = "only copies in slots that the child's page table names, and its parent's does not, are counted"
    return Row(SWAP, cells, evidence, more, details, victim.backings, is_incomplete=not is_complete)
