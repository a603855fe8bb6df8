"""Freed memory: the ordinary objects are deleted, strongroom's destroyed, and what is left is searched.

Twice: a reader goes through everything that it can read, and the victim looks at the addresses where strongroom
had plaintext. The second look is what counts for secret memory: its empty rooms stay mapped, and no reader sees
into them. Pages given back to the kernel are gone from both; the RAM behind them is not searched.
"""

from __future__ import annotations

import errno

from strongroom.prove.bench import Bench
from strongroom.prove.handle import Victim
from strongroom.prove.model import HELD, KINDS, NOT_TRIED, ORDINARY, Cell, Finding, Row, count, judge, not_tried
from strongroom.prove.tracer import HALF, OTHER, SIZE, TRACER, ZEROS, Tracers

ID = "freed"
_UNMAPPED, _USED_AGAIN = "unmapped", "used again"
_GOOD = (ZEROS, _UNMAPPED, _USED_AGAIN)
_PLACE = "the old address, seen by the victim itself"


def run(bench: Bench) -> list[Row]:
    """One row."""
    tracers = Tracers(KINDS)
    with bench.victim(tracers) as victim:
        victim.ask("release")
        # First the reader: what the victim looks at must not lie in its memory because it looked.
        told = bench.attack("memory", tracers, pid=victim.pid)
        looks = {kind: _look(victim, tracers, kind) for kind in victim.backings if kind != ORDINARY}
        missing, backings = victim.missing, victim.backings
    findings = dict.fromkeys(KINDS, Finding()) if told["refused"] else bench.findings(told, tracers)
    for kind, seen in looks.items():
        if seen in (TRACER, HALF):
            findings[kind] = findings[kind].plus(Finding(seen == TRACER, seen == HALF, {_PLACE: 1}))
    is_leak = any(finding.copies for kind, finding in findings.items() if kind != ORDINARY)
    if told["refused"] and not is_leak:
        return [not_tried(ID, "needs a system that lets processes be read")]
    is_complete = bool(told["is_complete"]) and not told["refused"]
    cells = judge(findings, missing=missing, is_complete=is_complete, exposed={})
    unseen = {kind: seen for kind, seen in looks.items() if seen not in (*_GOOD, TRACER, HALF)}
    for kind, seen in unseen.items():
        if cells[kind].word == HELD:
            cells[kind] = Cell(NOT_TRIED, f"needs empty pages, not {seen}")
    now = " or ".join(sorted(set(looks.values()))) or "nothing"
    evidence = f"{count(findings[ORDINARY].copies)} in freed heap; strongroom's: {now}"
    more = (
        f"{findings[ORDINARY].half} of them half; all {told['scanned_size'] / 2**20:.1f} MiB were searched, and the "
        f"victim looked where strongroom's had been; RAM given back to the kernel (unmapped) is not searched"
    )
    if not findings[ORDINARY].copies:
        evidence = "this Python wipes what it frees (PYTHONMALLOC=debug?)"
    details = {key: told[key] for key in told if key != "needles"}
    details["looks"] = looks
    is_incomplete = bool(unseen) or (not is_complete and not told["refused"])
    return [Row(ID, cells, evidence, more, details, backings, is_incomplete=is_incomplete)]


def _look(victim: Victim, tracers: Tracers, kind: str) -> str:
    """What lies where a kind had its plaintext; anything but _GOOD and the tracer proves nothing."""
    told = victim.ask("look_back", kind=kind, size=SIZE)
    result, now = int(told["result"]), str(told["now"])
    if result <= 0:
        is_gone = result == -errno.EFAULT and now == "unmapped"
        return _UNMAPPED if is_gone else errno.errorcode.get(-result, str(result))
    seen = tracers.next_in(victim.leak, kind, result)
    if seen == OTHER and now != "secretmem":
        return _USED_AGAIN  # readable memory: whatever it is, the reader has searched it
    return seen
