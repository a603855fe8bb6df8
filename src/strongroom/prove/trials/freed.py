"""Freed memory: the ordinary objects are deleted, strongroom's destroyed, and everything left is searched."""

from __future__ import annotations

from strongroom.prove.bench import Bench
from strongroom.prove.model import KINDS, ORDINARY, Row, count, judge, not_tried
from strongroom.prove.tracer import Tracers

ID = "freed"


def run(bench: Bench) -> list[Row]:
    """One row."""
    tracers = Tracers(KINDS)
    with bench.victim(tracers) as victim:
        victim.ask("release")
        told = bench.attack("memory", tracers, pid=victim.pid)
        missing, backings = victim.missing, victim.backings
    if told["refused"]:
        return [not_tried(ID, "needs a system that lets processes be read")]
    findings = bench.findings(told)
    cells = judge(findings, missing=missing, is_complete=told["is_complete"], exposed={})
    evidence = f"{count(findings[ORDINARY].copies)} in freed heap"
    more = f"{findings[ORDINARY].half} of them half; all {told['scanned_size'] / 2**20:.1f} MiB were searched"
    if not findings[ORDINARY].copies:
        evidence = "this Python wipes what it frees (PYTHONMALLOC=debug?)"
    details = {key: told[key] for key in told if key != "needles"}
    return [Row(ID, cells, evidence, more, details, backings, is_incomplete=not told["is_complete"])]
