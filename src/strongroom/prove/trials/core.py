"""Core file: the victim crashes with the core limit raised and everything allowed in; the core is searched."""

from __future__ import annotations

import contextlib
import os

from strongroom.prove.bench import ERRORS, Bench
from strongroom.prove.model import KINDS, ORDINARY, Finding, Row, count, judge, not_tried
from strongroom.prove.tracer import Tracers

ID = "core"


def run(bench: Bench) -> list[Row]:
    """One row."""
    if bench.plan.core_needs:
        return [not_tried(ID, bench.plan.core_needs)]
    tracers = Tracers(KINDS)
    before = set(os.listdir(bench.folder))
    with contextlib.ExitStack() as stack:
        if bench.plan.core_pattern is not None:
            stack.enter_context(bench.changes.made(bench.plan.core_pattern))
        with bench.victim(tracers) as victim:
            missing, backings = victim.missing, victim.backings
            victim.crash()
    cores = sorted(name for name in os.listdir(bench.folder) if name not in before and _is_core(name))
    # With core_uses_pid or %p the name varies; the folder is private, so whatever is new there is the core.
    if not cores:
        nothing = dict.fromkeys(KINDS, Finding())
        cells = judge(nothing, missing=missing, is_complete=False, exposed={})
        return [Row(ID, cells, "the kernel wrote no core file", "", {}, backings, is_incomplete=True)]
    path = os.path.join(bench.folder, cores[0])
    told = bench.attack("core", tracers, path=path)
    os.unlink(path)
    findings = bench.findings(told, tracers)
    cells = judge(findings, missing=missing, is_complete=told["is_complete"], exposed={})
    evidence = f"{count(findings[ORDINARY].copies)} in a core of {told['scanned_size'] / 2**20:.1f} MiB"
    more = f"core filter wide open; what the kernel left out is {told['left_out_size'] // 1024} KiB"
    details = {key: told[key] for key in told if key != "needles"}
    return [Row(ID, cells, evidence, more, details, backings, is_incomplete=not told["is_complete"])]


def _is_core(name: str) -> bool:
    return name not in (ERRORS, "swap")
