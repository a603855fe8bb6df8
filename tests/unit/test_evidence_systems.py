"""Evidence for each system, from answers as that system gives them; none of them is asked here."""

import errno

import pytest

from strongroom import guarantees as words
from strongroom._os.entries import Entry
from strongroom.buffers import evidence, promises
from strongroom.buffers.spans import judge_spans
from strongroom.exceptions import NO_SUCH_CALL

PAGE = 0x1000
BASE = 0x1F0_0000_0000
START, END = BASE + PAGE, BASE + 3 * PAGE
DONE: evidence.Steps = dict.fromkeys(("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE", "LOCK"))
#: What os_lacking.c answers wherever Linux' calls are missing.
LACKING: evidence.Steps = {
    "NO_HUGE": ("madvise(MADV_NOHUGEPAGE)", NO_SUCH_CALL),
    "NO_MERGE": ("madvise(MADV_UNMERGEABLE)", NO_SUCH_CALL),
}
#: What each system's native layer answers for a block that got all there is: os_windows.c, os_darwin.c, os_bsd.c.
STEPS: dict[str, evidence.Steps] = {
    "linux": DONE,
    "windows": {**DONE, **LACKING, "NO_DUMP": ("madvise(MADV_DONTDUMP)", NO_SUCH_CALL)},
    "darwin": {**DONE, **LACKING, "NO_DUMP": ("madvise(MADV_NOCORE)", NO_SUCH_CALL)},
    "freebsd": {**DONE, **LACKING},
    "netbsd": {**DONE, **LACKING, "NO_DUMP": ("mmap(MAP_CONCEAL)", NO_SUCH_CALL)},
    "openbsd": {**DONE, **LACKING, "NO_DUMP": ("mmap(MAP_CONCEAL)", NO_SUCH_CALL)},
}
LOCKED, NO_DUMP, NOT_IN_CHILD = words.LOCKED, words.NO_DUMP, words.NOT_IN_CHILD
GUARDED, CLOSED_AT_REST, NO_MERGE = words.GUARDED, words.CLOSED_AT_REST, words.NO_MERGE
#: What is asked for on each system, and the call that is the source of it.
ASKED = {
    "linux": {
        LOCKED: "mlock(2)",
        NO_DUMP: "madvise(2) MADV_DONTDUMP",
        NOT_IN_CHILD: "madvise(2) MADV_DONTFORK",
        NO_MERGE: "madvise(2) MADV_UNMERGEABLE",
        GUARDED: "mmap(2) PROT_NONE",
        CLOSED_AT_REST: "mprotect(2) PROT_NONE",
    },
    "windows": {LOCKED: "VirtualLock", NOT_IN_CHILD: "CreateProcess", GUARDED: "VirtualAlloc MEM_RESERVE"},
    "darwin": {
        LOCKED: "mlock(2)",
        NOT_IN_CHILD: "minherit(2) VM_INHERIT_NONE",
        GUARDED: "mmap(2) PROT_NONE",
        CLOSED_AT_REST: "mprotect(2) PROT_NONE",
    },
    "freebsd": {
        LOCKED: "mlock(2)",
        NO_DUMP: "madvise(2) MADV_NOCORE",
        NOT_IN_CHILD: "minherit(2) INHERIT_NONE",
        GUARDED: "mmap(2) PROT_NONE",
        CLOSED_AT_REST: "mprotect(2) PROT_NONE",
    },
    "netbsd": {
        LOCKED: "mlock(2)",
        NOT_IN_CHILD: "minherit(2) MAP_INHERIT_NONE",
        GUARDED: "mmap(2) PROT_NONE",
        CLOSED_AT_REST: "mprotect(2) PROT_NONE",
    },
    "openbsd": {
        LOCKED: "mlock(2)",
        NOT_IN_CHILD: "minherit(2) MAP_INHERIT_NONE",
        GUARDED: "mmap(2) PROT_NONE",
        CLOSED_AT_REST: "mprotect(2) PROT_NONE",
    },
}


@pytest.mark.parametrize("platform", STEPS)
def test_the_calls_own_answers_on_each_system(platform: str) -> None:
    """What was asked for is requested and names its call; all else is unavailable; nothing is verified."""
    found = evidence.judge_steps(STEPS[platform], False, 1.0, platform)
    assert list(found) == list(words.ALL)
    requested = {name: one.source for name, one in found.items() if one.state == words.REQUESTED}
    assert requested.keys() == ASKED[platform].keys()
    for name, call in ASKED[platform].items():
        assert call in requested[name]
    assert {one.state for name, one in found.items() if name not in requested} == {words.UNAVAILABLE}


@pytest.mark.parametrize("platform", STEPS)
@pytest.mark.parametrize("name", promises.STEP_OF)
def test_a_refusal_on_each_system(platform: str, name: str) -> None:
    """The call that failed and its reason, with no word of success."""
    steps = {**STEPS[platform], promises.STEP_OF[name]: ("minherit(INHERIT_NONE)", errno.EINVAL)}
    one = evidence.judge_steps(steps, False, 1.0, platform)[name]
    assert one.state == words.REFUSED
    assert one.source.startswith("minherit(INHERIT_NONE): ")
    assert "succeeded" not in one.source


@pytest.mark.parametrize("platform", ["darwin", "openbsd"])
def test_what_a_system_lacks_is_named(platform: str) -> None:
    """Neither has a call that leaves existing memory out of cores: the one that others have is named."""
    call, _ = STEPS[platform]["NO_DUMP"] or ("", 0)
    one = evidence.judge_steps(STEPS[platform], False, 1.0, platform)[NO_DUMP]
    assert (one.state, one.source.partition(":")[0]) == (words.UNAVAILABLE, call)


def test_a_system_without_a_table_still_says_something() -> None:
    """A kernel nobody thought of: what succeeded is requested, by its answer."""
    found = evidence.judge_steps(DONE, False, 1.0, "sunos")
    assert (found[LOCKED].state, found[LOCKED].source) == (words.REQUESTED, "the call succeeded")


def test_secret_memory_that_was_not_read_back() -> None:
    """Without a listing its nature is the call's word only; being absent in children is another call's."""
    found = evidence.judge_steps(DONE, True, 1.0, "linux")
    for name in (LOCKED, NO_DUMP, NO_MERGE, words.UNREADABLE_BY_OTHERS, words.NO_MIGRATION, words.NEVER_WRITTEN):
        assert (found[name].state, "memfd_secret(2)" in found[name].source) == (words.REQUESTED, True)
    assert "MADV_DONTFORK" in found[NOT_IN_CHILD].source
    assert found[words.FIXED_LAYOUT].state == words.UNAVAILABLE


# ---- Windows: VirtualQuery and QueryWorkingSetEx ----

COMMIT, RESERVE, FREE, PRIVATE, MAPPED = "committed", "reserved", "free", "private", "mapped"


def span(pages: int, count: int, state: str = COMMIT, protection: int = 2, kind: str = PRIVATE) -> Entry:
    """Return VirtualQuery's answer for some pages of the block's reservation, the first with this number."""
    if state == FREE:
        return Entry(BASE + pages * PAGE, count * PAGE, FREE, 0, 0, 0, "")
    return Entry(BASE + pages * PAGE, count * PAGE, state, protection if state == COMMIT else 0, BASE, 1, kind)


BELOW, PAGES, ABOVE = span(0, 1, RESERVE), span(1, 2), span(3, 1, RESERVE)


def judged(spans: list[Entry], locked: int = 2, steps: evidence.Steps = STEPS["windows"]) -> words.Guarantees:
    """Return what is made of such answers for two pages between guards."""
    answers = evidence.judge_steps(steps, False, 1.0, "windows")
    return judge_spans(spans, START, END, locked, 2, answers, 2.0)


def states(found: words.Guarantees) -> dict[str, str]:
    """Return only the words."""
    return {name: one.state for name, one in found.items()}


def test_a_windows_block_that_is_as_it_should_be() -> None:
    """Guards, lock and privacy are read back, and each source says where; the rest is unavailable."""
    found = judged([BELOW, PAGES, ABOVE])
    assert {n for n, state in states(found).items() if state == words.VERIFIED} == {LOCKED, GUARDED, NOT_IN_CHILD}
    assert {state for n, state in states(found).items() if n not in (LOCKED, GUARDED, NOT_IN_CHILD)} == {"unavailable"}
    assert "QueryWorkingSetEx" in found[LOCKED].source
    assert "VirtualQuery" in found[GUARDED].source
    assert "MEM_PRIVATE" in found[NOT_IN_CHILD].source
    assert (found[LOCKED].time, found[NO_DUMP].time) == (2.0, 1.0)


def test_a_locked_bit_that_no_page_has_proves_nothing() -> None:
    """Wine never sets it: VirtualLock's answer stands, and it is said that the bit was looked for."""
    one = judged([BELOW, PAGES, ABOVE], locked=0)[LOCKED]
    assert one.state == words.REQUESTED
    assert "VirtualLock" in one.source
    assert "Wine" in one.source


def test_a_locked_bit_that_some_pages_lack_refutes_the_lock() -> None:
    """This system does tell, and tells that a page may go to the page file."""
    one = judged([BELOW, PAGES, ABOVE], locked=1)[LOCKED]
    assert (one.state, "1 of 2 pages" in one.source) == (words.REFUSED, True)


def test_an_inaccessible_page_has_lost_its_lock() -> None:
    """Whatever VirtualLock said before: ERROR_WAS_UNLOCKED."""
    one = judged([BELOW, span(1, 1), span(2, 1, protection=1), ABOVE], locked=0)[LOCKED]
    assert (one.state, "ERROR_WAS_UNLOCKED" in one.source) == (words.REFUSED, True)


def test_a_lock_that_was_refused_stays_refused() -> None:
    """A bit that somebody else's lock has set is not ours."""
    steps = {**STEPS["windows"], "LOCK": ("VirtualLock", 1453)}
    one = judged([BELOW, PAGES, ABOVE], steps=steps)[LOCKED]
    assert (one.state, one.source.startswith("VirtualLock: ")) == (words.REFUSED, True)


@pytest.mark.parametrize(
    "spans",
    [
        [span(0, 1), PAGES, ABOVE],  # somebody committed the guard below
        [BELOW, PAGES, span(3, 1, protection=4)],
        [BELOW, PAGES, span(3, 1, FREE)],  # the next VirtualAlloc of anybody may land there
        [PAGES, ABOVE],
        [BELOW, span(1, 3)],  # one span with the pages: readable
    ],
)
def test_a_missing_guard_is_seen(spans: list[Entry]) -> None:
    """A neighbour that is accessible, free or not listed refutes GUARDED, on either side."""
    assert states(judged(spans))[GUARDED] == words.REFUSED


def test_committed_inaccessible_pages_are_guards_too() -> None:
    """PAGE_NOACCESS guards as well as reserved space does."""
    spans = [span(0, 1, protection=1), PAGES, span(3, 1, protection=1)]
    assert states(judged(spans))[GUARDED] == words.VERIFIED


def test_shared_pages_are_not_called_absent_in_children() -> None:
    """A mapped view may be in another process: only the calls' own word is left."""
    spans = [BELOW, span(1, 2, kind=MAPPED), ABOVE]
    assert states(judged(spans))[NOT_IN_CHILD] == words.REQUESTED


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [BELOW, ABOVE],
        [BELOW, span(1, 1), ABOVE],
        [BELOW, span(2, 1), ABOVE],
        [BELOW, span(1, 1), span(2, 1, RESERVE), ABOVE],
    ],
)
def test_pages_that_are_not_listed_as_a_whole_verify_nothing(spans: list[Entry]) -> None:
    """Missing or decommitted pages leave what the calls said."""
    assert judged(spans) == evidence.judge_steps(STEPS["windows"], False, 1.0, "windows")
    assert words.VERIFIED not in states(judged(spans)).values()
