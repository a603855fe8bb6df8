"""From what the operating system says of a block's pages to evidence for each guarantee."""

from __future__ import annotations

import time
from itertools import pairwise

from strongroom import _native
from strongroom import guarantees as words
from strongroom._os import PLATFORM, procfs
from strongroom.buffers.promises import STEP_OF, promised
from strongroom.buffers.spans import judge_spans
from strongroom.buffers.unlocked import judge_ordinary, judge_stand_in, judge_unlocked
from strongroom.exceptions import NO_SUCH_CALL, reason_of
from strongroom.guarantees import Evidence, Guarantees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom._os.entries import Entry

__all__ = ["Steps", "collect", "judge_smaps", "judge_steps", "read_back"]

#: For each step of the native layer: None if it was done, else the call that failed and its code.
Steps = dict[str, "tuple[str, int] | None"]

_SMAPS = "/proc/self/smaps, proc_pid_smaps(5)"
_SECRET_PATH = "/secretmem"  # noqa: S105 - a path, as the kernel spells it

#: The VmFlag that bears each of these out; proc_pid_smaps(5).
_FLAG = {words.LOCKED: "lo", words.NO_DUMP: "dd", words.NOT_IN_CHILD: "dc", words.FIXED_LAYOUT: "sl"}
#: What secret memory has without a call for it; NOT_IN_CHILD is none of these.
_BY_SECRETMEM = frozenset(words.ALL).difference(
    (words.NOT_IN_CHILD, words.GUARDED, words.CLOSED_AT_REST, words.FIXED_LAYOUT)
)
#: Why memory that is not secret memory goes without.
_LACKING = {
    words.UNREADABLE_BY_OTHERS: "a debugger, and who the system lets act as one, reads locked pages",
    words.NO_MIGRATION: "a lock keeps a page in RAM, not in its place there",
    words.FIXED_LAYOUT: "no call was made for it: the pages can be changed and unmapped",
    words.NEVER_WRITTEN: "hibernation writes locked pages to disk",
}


def _reason(failure: tuple[str, int]) -> str:
    call, code = failure
    return f"{call}: {reason_of(code)}"


def judge_steps(steps: Steps, is_secretmem: bool, now: float, platform: str = PLATFORM) -> Guarantees:
    """What can be said from the calls' own answers alone: nothing is verified."""
    found = Guarantees()
    for name in words.ALL:
        step = STEP_OF.get(name)
        failure = steps[step] if step is not None else None
        if failure is not None:
            state = words.UNAVAILABLE if failure[1] == NO_SUCH_CALL else words.REFUSED
            found[name] = Evidence(state, _reason(failure), now)
        elif is_secretmem and name in _BY_SECRETMEM:
            found[name] = Evidence(words.REQUESTED, "memfd_secret(2): succeeded, not read back", now)
        elif step is not None or name == words.GUARDED:
            found[name] = Evidence(words.REQUESTED, promised(platform, name), now)
        elif name == words.CLOSED_AT_REST and platform == "windows":
            source = "read-only at rest: Windows unlocks inaccessible pages (winerror.h, ERROR_WAS_UNLOCKED)"
            found[name] = Evidence(words.UNAVAILABLE, source, now)
        elif name == words.CLOSED_AT_REST:
            found[name] = Evidence(words.REQUESTED, promised(platform, name), now)
        else:
            found[name] = Evidence(words.UNAVAILABLE, _LACKING[name], now)
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
            words.UNREADABLE_BY_OTHERS: "not in the kernel's own map, nor in any other process: memfd_secret(2)",
            words.NO_MIGRATION: "its pages cannot be moved: mm/secretmem.c, secretmem_migrate_folio",
            words.NEVER_WRITTEN: "neither swapped nor, while it exists, hibernated: memfd_secret(2)",
        }
        for name, reason in why.items():
            set_state(name, words.VERIFIED, f"a mapping of {_SECRET_PATH}, {reason}")
    else:
        found[words.NO_MIGRATION] = Evidence(
            words.UNAVAILABLE,
            "the kernel may move a locked page and leave the old copy in free RAM: sysctl "
            "vm.compact_unevictable_allowed (admin-guide/sysctl/vm.rst), mlock(2)",
            now,
        )
        found[words.NEVER_WRITTEN] = Evidence(
            words.UNAVAILABLE, "hibernation writes locked pages to disk: mlock(2)", now
        )
        found[words.UNREADABLE_BY_OTHERS] = Evidence(
            words.UNAVAILABLE,
            "root, and where ptrace(2) allows it the same user, reads locked pages: proc_pid_mem(5)",
            now,
        )
    return found


def judge_slot(found: Guarantees, now: float) -> None:
    """Change that to what it is where many small buffers share the pages: they are never closed, nor each guarded."""
    found[words.GUARDED] = Evidence(
        words.UNAVAILABLE,
        "shares pages with others, a canary before each, inaccessible pages around all: isolated=True for its own",
        now,
    )
    found[words.CLOSED_AT_REST] = Evidence(
        words.UNAVAILABLE, "shares pages with others, which stay accessible: isolated=True for its own", now
    )


def read_back(start: int, end: int, steps: Steps, backing: str) -> Guarantees:
    """Read back what the pages from ``start`` up to ``end`` have, which are of that backing."""
    found, mappings = _ask(start, end, steps, backing == "secretmem")
    if backing not in ("locked", "secretmem"):
        judge_unlocked(found, backing, mappings, time.time())
    elif backing == "locked":
        judge_ordinary(found, time.time())
    return found


def _ask(start: int, end: int, steps: Steps, is_secretmem: bool) -> tuple[Guarantees, list[procfs.Mapping]]:
    """The answers, and what the kernel's listing says of the pages themselves, if it is one that does."""
    now = time.time()
    answers = judge_steps(steps, is_secretmem, now)
    try:
        if PLATFORM == "linux":
            listing = procfs.read_smaps()
            pages = [m for m in listing if m.start < end and m.end > start]
            return judge_smaps(listing, start, end, steps, is_secretmem, now), pages
        if PLATFORM == "windows":
            size = end - start
            spans = list(_spans(start - _native.PAGE_SIZE, end))
            locked = _native.locked_pages(start, size)
            return judge_spans(spans, start, end, locked, size // _native.PAGE_SIZE, answers, now), []
    except OSError:
        pass  # /proc not mounted, or a query refused: what the calls said is all there is
    return answers, []


def _spans(start: int, last: int) -> Iterator[Entry]:
    """Windows' answers from one address up to another and what lies there."""
    from strongroom._os import entries  # no other system is asked like that

    while start <= last:
        span = entries.at(start)
        if span is None:
            return  # the end of user space
        yield span
        start = span.address + span.size


class _UntilFork:
    """Whether this process has neither forked nor been forked since it had a number of forks behind it."""

    __slots__ = ("forks",)

    def __init__(self, forks: int) -> None:
        self.forks = forks

    def __call__(self) -> bool:
        return self.forks == _native.forks()


def collect(block: _native.Block) -> Guarantees:
    """Read back what a live block has. What is verified is so until the next fork."""
    is_current = _UntilFork(_native.forks())  # first: what a fork overtakes while it is read is outdated
    start, end, steps = block._layout()
    found = read_back(start, end, steps, block.backing)
    if not block.is_isolated:
        judge_slot(found, time.time())
    if steps["LOCK"] is not None and isinstance(block, _native.LockedBuffer | _native.LockedBlock):
        judge_stand_in(found, block.backing)
    return Guarantees({name: Evidence(one.state, one.source, one.time, is_current) for name, one in found.items()})
