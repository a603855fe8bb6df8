"""From what the operating system says of a block's pages to evidence for each guarantee."""

from __future__ import annotations

import time
from itertools import pairwise

from strongroom import _native
from strongroom import guarantees as words
from strongroom._os import LOCKS_INACCESSIBLE_PAGES, PLATFORM, procfs
from strongroom.exceptions import NO_SUCH_CALL, reason_of
from strongroom.guarantees import Evidence, Guarantees

__all__ = ["Steps", "collect", "judge_smaps", "judge_steps", "read_back"]

#: For each step of the native layer: None if it was done, else the call that failed and its code.
Steps = dict[str, "tuple[str, int] | None"]

_SMAPS = "/proc/self/smaps"
_SECRET_PATH = "/secretmem"  # noqa: S105 - a path, as the kernel spells it

#: The native layer's step that asks for each of these.
_ASKED = {
    words.LOCKED: "LOCK",
    words.NO_DUMP: "NO_DUMP",
    words.NOT_IN_CHILD: "NOT_IN_CHILD",
    words.NO_MERGE: "NO_MERGE",
}
#: The VmFlag that bears each of these out; proc_pid_smaps(5).
_FLAG = {words.LOCKED: "lo", words.NO_DUMP: "dd", words.NOT_IN_CHILD: "dc", words.FIXED_LAYOUT: "sl"}


def _reason(failure: tuple[str, int]) -> str:
    call, code = failure
    return f"{call}: {reason_of(code)}"


def judge_steps(steps: Steps, is_secretmem: bool, now: float) -> Guarantees:
    """What can be said from the calls' own answers alone: nothing is verified."""
    found = Guarantees()
    for name in words.ALL:
        step = _ASKED.get(name)
        failure = steps[step] if step is not None else None
        if failure is not None:
            state = words.UNAVAILABLE if failure[1] == NO_SUCH_CALL else words.REFUSED
            found[name] = Evidence(state, _reason(failure), now)
        elif step is not None:
            made = "memfd_secret(2)" if is_secretmem and name != words.NOT_IN_CHILD else "the call"
            found[name] = Evidence(words.REQUESTED, f"{made} succeeded", now)
        elif name == words.CLOSED_AT_REST and not LOCKS_INACCESSIBLE_PAGES:
            found[name] = Evidence(words.UNAVAILABLE, "read-only: this system unlocks inaccessible pages", now)
        elif name in (words.GUARDED, words.CLOSED_AT_REST):
            found[name] = Evidence(words.REQUESTED, "by the layout of the block", now)
        elif is_secretmem and name != words.FIXED_LAYOUT:
            found[name] = Evidence(words.REQUESTED, "memfd_secret(2) succeeded", now)
        else:
            found[name] = Evidence(words.UNAVAILABLE, "this kind of memory does not have it", now)
    return found


def judge_smaps(
    mappings: list[procfs.Mapping], start: int, end: int, steps: Steps, is_secretmem: bool, now: float
) -> Guarantees:
    """What the kernel's listing bears out for the pages from ``start`` up to ``end``."""
    found = judge_steps(steps, is_secretmem, now)
    pages = [m for m in mappings if m.start < end and m.end > start]
    whole = bool(pages) and pages[0].start <= start and pages[-1].end >= end
    if not whole or any(one.end != other.start for one, other in pairwise(pages)):
        return found  # not listed as a whole: the listing is torn, the calls' own answers stand
    if not all(m.flags for m in pages):
        return found  # a listing without flags, which no mapping lacks, says nothing against the calls

    def set_state(name: str, state: str, source: str) -> None:
        found[name] = Evidence(state, f"{_SMAPS}: {source}", now)

    for name, flag in _FLAG.items():
        if all(flag in m.flags for m in pages):
            set_state(name, words.VERIFIED, f"VmFlags has {flag}")
        elif found[name].state == words.REQUESTED:
            set_state(name, words.REFUSED, f"the call succeeded, but VmFlags lacks {flag}")
    if all("mg" not in m.flags for m in pages):
        set_state(words.NO_MERGE, words.VERIFIED, "VmFlags lacks mg")
    else:
        set_state(words.NO_MERGE, words.REFUSED, "VmFlags has mg")
    closed = [m for m in mappings if m.permissions.startswith("---")]  # may reach from a guard over the pages
    below = any(m.start < start <= m.end for m in closed)
    above = any(m.start <= end < m.end for m in closed)
    if below and above:
        set_state(words.GUARDED, words.VERIFIED, "an inaccessible page below and above")
    else:
        set_state(words.GUARDED, words.REFUSED, "a neighbouring page is accessible or missing")
    if all(m.permissions.startswith("---") for m in pages):
        set_state(words.CLOSED_AT_REST, words.VERIFIED, "the pages are inaccessible now")
    else:
        set_state(words.CLOSED_AT_REST, words.REQUESTED, "open at this moment")
    if all(m.path.startswith(_SECRET_PATH) for m in pages):
        why = {
            words.UNREADABLE_BY_OTHERS: "not in the kernel's own map, so no other process's read reaches it",
            words.NO_MIGRATION: "its pages are unevictable and cannot be moved",
            words.NEVER_WRITTEN: "neither swapped nor, while it exists, hibernated",
        }
        for name, reason in why.items():
            set_state(name, words.VERIFIED, f"secret memory: {reason} (mm/secretmem.c)")
    else:
        found[words.NO_MIGRATION] = Evidence(
            words.UNAVAILABLE, "the kernel may move a locked page and leave the old copy in free RAM", now
        )
        found[words.NEVER_WRITTEN] = Evidence(words.UNAVAILABLE, "hibernation writes locked pages to disk", now)
        found[words.UNREADABLE_BY_OTHERS] = Evidence(
            words.UNAVAILABLE, "root, and where ptrace allows it the same user, reads locked pages", now
        )
    return found


def collect(block: _native.Block) -> Guarantees:
    """Read back what a live block has."""
    start, end, steps = block._layout()
    return read_back(start, end, steps, block.backing == "secretmem")


def read_back(start: int, end: int, steps: Steps, is_secretmem: bool) -> Guarantees:
    """Read back what the pages from ``start`` up to ``end`` have."""
    now = time.time()
    if PLATFORM == "linux":
        try:
            return judge_smaps(procfs.read_smaps(), start, end, steps, is_secretmem, now)
        except OSError:
            pass  # /proc not mounted: what the calls said is all there is
    return judge_steps(steps, is_secretmem, now)
