"""Another process: a reader that shares nothing with the victim but the machine reads all of its memory.

Two rows: the same user without privilege, and root. As root, "the same user" is uid 0 with every capability
given up, on both sides: the kernel then treats the pair like any two processes of one user, and files in a
private home stay readable.
"""

from __future__ import annotations

from typing import Any

from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim
from strongroom.prove.machine import CAP_SYS_PTRACE
from strongroom.prove.model import KINDS, ORDINARY, Row, count, exposures, judge, not_tried
from strongroom.prove.tracer import Tracers

USER, ROOT = "reader-user", "reader-root"
_YAMA_ADMIN_ONLY, _YAMA_NOBODY = 2, 3  # kernel.yama.ptrace_scope


def run(bench: Bench) -> list[Row]:
    """Two rows, one victim."""
    tracers = Tracers(KINDS)
    machine = bench.machine
    with bench.victim(tracers, drop=machine.is_root) as victim:
        rows = [_row(bench, tracers, victim, USER, drop=machine.is_root)]
        if machine.is_root:
            rows.append(_row(bench, tracers, victim, ROOT, drop=False))
        else:
            rows.append(not_tried(ROOT, "needs root"))
    return rows


def _closed(bench: Bench, row_id: str) -> str | None:
    scope = bench.machine.ptrace_scope
    if scope >= _YAMA_NOBODY:
        return f"needs kernel.yama.ptrace_scope below 3, it is {scope}"
    if row_id == USER and scope >= _YAMA_ADMIN_ONLY:
        return f"needs kernel.yama.ptrace_scope 0 or 1, it is {scope}"
    if row_id == ROOT and not bench.machine.has(CAP_SYS_PTRACE):
        return "needs CAP_SYS_PTRACE"
    return None


def _row(bench: Bench, tracers: Tracers, victim: Victim, row_id: str, *, drop: bool) -> Row:
    if (needs := _closed(bench, row_id)) is not None:
        return not_tried(row_id, needs)
    told = bench.attack("memory", tracers, pid=victim.pid, drop=drop)
    if told["refused"]:
        reasons = ", ".join(sorted({str(road["refused"]) for road in told["roads"].values()}))
        return not_tried(row_id, f"needs a system that lets processes be read: {reasons}")
    findings = bench.findings(told, tracers)
    exposed = exposures(row_id, victim.backings)
    cells = judge(findings, missing=victim.missing, is_complete=told["is_complete"], exposed=exposed)
    size = told["scanned_size"] / 2**20
    refused = sum(part["size"] for part in told["unreadable"] if part["where"] == "secretmem") // 1024
    evidence = f"{count(findings[ORDINARY].copies)} in {size:.1f} MiB; {refused} KiB refused"
    more = _how(told)
    if row_id == USER and bench.machine.ptrace_scope == 1:
        more += "; Yama refuses siblings here, so the victim let this reader in (PR_SET_PTRACER)"
    details = {key: told[key] for key in told if key != "needles"}
    return Row(
        row_id, cells, evidence, more, details, victim.backings,
        note="inject" if row_id == ROOT else None, is_incomplete=not told["is_complete"],
    )  # fmt: skip


def _how(told: dict[str, Any]) -> str:
    """Which roads led in, which did not, and what no road could read."""
    roads = told["roads"]
    parts = ["by " + " and ".join(name for name, road in roads.items() if "refused" not in road)]
    parts += [f"{name} refused ({road['refused']})" for name, road in roads.items() if "refused" in road]
    parts += [f"no road into {part['size'] // 1024} KiB of {part['where']}" for part in told["unreadable"]]
    return "; ".join(parts)
