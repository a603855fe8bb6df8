"""Swapped out: the victim's memory is forced out, and the swap is searched.

As root: a swap file of our own, the victim in a control group of its own, everything in it evicted, and the
file read raw from the disk. Without root, where the machine has swap: the victim asks for its own memory to be
paged out, the page table says which pages went, and a reader says which of those hold a tracer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.prove import model
from strongroom.prove.attackers.pages import PAGE
from strongroom.prove.bench import Bench
from strongroom.prove.model import KINDS, ORDINARY, Cell, Finding, Row, count, judge, not_tried
from strongroom.prove.plan import OWN
from strongroom.prove.tracer import Tracers

ID = "swapped"
_TRIES = 3


def run(bench: Bench) -> list[Row]:
    """One row."""
    if bench.plan.swap_way is None:
        return [not_tried(ID, bench.plan.swap_needs)]
    if bench.swap_problem is not None:
        return [not_tried(ID, bench.swap_problem, is_incomplete=True)]
    return [_own_pages(bench) if bench.plan.swap_way == OWN else _raw(bench)]


def _raw(bench: Bench) -> Row:
    tracers = Tracers(KINDS)
    with bench.victim(tracers, pressed=True) as victim:
        told, findings = raw_scan(bench, tracers, [("victim", victim.pid)])
        is_complete = told["is_complete"] and not told["pages_elsewhere"]
        cells = judge(findings, missing=victim.missing, is_complete=is_complete, exposed={})
        backings = victim.backings
    evidence = f"{count(findings[ORDINARY].copies)} in the swap file, read raw"
    pushed = told["swapped_pages"]["victim"] * PAGE / 2**20
    more = f"{pushed:.1f} MiB of the victim went there; all {told['scanned_size'] >> 20} MiB of the file were searched"
    details = {key: told[key] for key in told if key != "needles"}
    return Row(ID, cells, evidence, more, details, backings, is_incomplete=not is_complete)


def raw_scan(
    bench: Bench, tracers: Tracers, owners: list[tuple[str, int]], control: str | None = None
) -> tuple[dict[str, Any], dict[str, Finding]]:
    """Push out and scan, again if the control has not arrived yet; `control`: whose own copy it must be."""
    assert bench.plan.swap is not None
    for attempt in range(_TRIES):
        bench.push_out([pid for _, pid in owners], again=attempt > 0)
        told = bench.attack("image", tracers, path=bench.plan.swap.path, owners=owners)
        # Tracers outside locked memory could be in that file by our own doing, and not by the victim's.
        told["is_locked"] = told["is_locked"] and tracers.is_locked
        told["is_complete"] = told["is_complete"] and told["is_locked"]
        findings = bench.findings(told, tracers)
        if control is not None:
            own = int(told["needles"][tracers.kinds.index(ORDINARY)]["owners"].get(control, 0))
            findings[ORDINARY] = Finding(whole=own, where=findings[ORDINARY].where)
        if findings[ORDINARY].copies and not told["pages_elsewhere"]:
            break
    return told, findings


def _refuse_unseen(cells: dict[str, Cell], backings: Mapping[str, model.Backing], swapped: int | None) -> None:
    """Secret memory was not read: it is held only if the kernel says that none of it is in swap."""
    if swapped == 0:
        return
    has_secretmem = any(backing.seen == "secretmem" for backing in backings.values())
    for kind, backing in backings.items():
        is_unseen = backing.seen == "secretmem" or (backing.seen == "ciphertext" and has_secretmem)
        if is_unseen and cells[kind].word == model.HELD:
            cells[kind] = Cell(model.NOT_TRIED, "needs root: secret memory was not read")


def _own_pages(bench: Bench) -> Row:
    tracers = Tracers(KINDS)
    with bench.victim(tracers) as victim:
        for _ in range(_TRIES):
            victim.ask("page_out")
            told = bench.attack("memory", tracers, pid=victim.pid, look_in_swap=True)
            if told["refused"] or not told["swap_was_visible"]:
                return not_tried(ID, "needs root: this system refuses readers")
            findings = {
                kind: Finding(whole=int(told["needles"][index]["in_swap"]), where=told["needles"][index]["where"])
                for index, kind in enumerate(KINDS)
            }
            if findings[ORDINARY].copies:
                break
        cells = judge(findings, missing=victim.missing, is_complete=told["is_complete"], exposed={})
        backings = victim.backings
    evidence = f"{count(findings[ORDINARY].copies)} on pages in swap"
    more = "the victim asked for its own pages to be swapped; the page table says which are"
    _refuse_unseen(cells, backings, told["swapped_secretmem"])
    if told["swapped_secretmem"] == 0:
        more += "; of secret memory, which no reader sees, the kernel counts 0 kB in swap"
    details = {key: told[key] for key in told if key != "needles"}
    return Row(ID, cells, evidence, more, details, backings, is_incomplete=not told["is_complete"])
