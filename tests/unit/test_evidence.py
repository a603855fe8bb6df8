"""From a listing and the calls' answers to the words for each guarantee; no system involved."""

import errno

import pytest

from strongroom import guarantees as words
from strongroom._os.procfs import Mapping
from strongroom.buffers import evidence
from strongroom.exceptions import NO_SUCH_CALL, reason_of

START, END = 0x7000_0000_1000, 0x7000_0000_3000
DONE: evidence.Steps = dict.fromkeys(("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE", "LOCK"))


def listing(flags: str = "mr mw me lo dc dd nh", permissions: str = "---p", path: str = "") -> list[Mapping]:
    """Return guard page, data pages, guard page."""
    return [
        Mapping(START - 0x1000, START, "---p", "", frozenset({"mr"})),
        Mapping(START, END, permissions, path, frozenset(flags.split())),
        Mapping(END, END + 0x1000, "---p", "", frozenset({"mr"})),
    ]


def states(found: words.Guarantees) -> dict[str, str]:
    """Return only the words."""
    return {name: one.state for name, one in found.items()}


def test_a_locked_buffer_at_rest() -> None:
    """What the flags bear out is verified; what such memory cannot have is unavailable."""
    got = states(evidence.judge_smaps(listing(), START, END, DONE, False, 1.0))
    verified = {"LOCKED", "NO_DUMP", "NOT_IN_CHILD", "GUARDED", "CLOSED_AT_REST", "NO_MERGE"}
    assert {name for name, state in got.items() if state == words.VERIFIED} == verified
    assert {got[name] for name in words.ALL if name not in verified} == {words.UNAVAILABLE}


def test_secret_memory_at_rest_has_more() -> None:
    """The path tells secret memory from anything else, and what follows from it is said."""
    found = evidence.judge_smaps(listing(path="/secretmem (deleted)"), START, END, DONE, True, 1.0)
    got = states(found)
    assert got["UNREADABLE_BY_OTHERS"] == got["NO_MIGRATION"] == got["NEVER_WRITTEN"] == words.VERIFIED
    assert got["FIXED_LAYOUT"] == words.UNAVAILABLE


@pytest.mark.parametrize(("flag", "name"), [("lo", "LOCKED"), ("dd", "NO_DUMP"), ("dc", "NOT_IN_CHILD")])
def test_a_flag_that_is_missing_refutes_the_call(flag: str, name: str) -> None:
    """A call that succeeded and left no trace is refused, not requested (mlock on droppable memory does that)."""
    flags = " ".join({"lo", "dd", "dc"} - {flag})
    found = evidence.judge_smaps(listing(flags), START, END, DONE, False, 1.0)
    assert found[name].state == words.REFUSED
    assert f"lacks {flag}" in found[name].source


def test_a_listing_without_flags_refutes_nothing() -> None:
    """Every mapping has some: none at all is a /proc that does not tell, so the calls' own answers stand."""
    got = states(evidence.judge_smaps(listing(""), START, END, DONE, False, 1.0))
    assert {got[name] for name in ("LOCKED", "NO_DUMP", "NOT_IN_CHILD")} == {words.REQUESTED}


def test_a_page_that_differs_spoils_the_whole() -> None:
    """All pages must bear a flag, not the first."""
    middle = START + 0x1000
    pages = [
        Mapping(START - 0x1000, START, "---p", "", frozenset()),
        Mapping(START, middle, "---p", "", frozenset({"lo", "dd", "dc"})),
        Mapping(middle, END, "---p", "", frozenset({"dd", "dc"})),
        Mapping(END, END + 0x1000, "---p", "", frozenset()),
    ]
    got = states(evidence.judge_smaps(pages, START, END, DONE, False, 1.0))
    assert (got["LOCKED"], got["NO_DUMP"]) == (words.REFUSED, words.VERIFIED)


def test_a_missing_guard_is_seen() -> None:
    """Memory that somebody mapped next door, or a guard page that went away, refutes GUARDED."""
    for broken in (listing()[1:], listing()[:2]):
        assert states(evidence.judge_smaps(broken, START, END, DONE, False, 1.0))["GUARDED"] == words.REFUSED


def test_guards_that_the_kernel_merged_with_the_pages_are_guards() -> None:
    """Without lock and advice (Policy allow) the kernel lists guards and pages as one inaccessible mapping."""
    merged = [Mapping(START - 0x1000, END + 0x1000, "---p", "", frozenset({"mr", "mw", "me"}))]
    assert states(evidence.judge_smaps(merged, START, END, DONE, False, 1.0))["GUARDED"] == words.VERIFIED


def test_a_listing_with_a_hole_verifies_nothing() -> None:
    """Pages missing in the middle make the listing a torn one, whatever its ends say."""
    flags = frozenset(["lo", "dd", "dc"])
    torn = [
        Mapping(START, START + 0x1000, "---p", "", flags),
        Mapping(START + 0x2000, START + 0x3000, "---p", "", flags),
    ]
    got = states(evidence.judge_smaps(torn, START, START + 0x3000, DONE, False, 1.0))
    assert words.VERIFIED not in got.values()


def test_open_pages_are_not_called_closed() -> None:
    """While a block has it open, CLOSED_AT_REST cannot be read back."""
    assert (
        states(evidence.judge_smaps(listing(permissions="rw-p"), START, END, DONE, False, 1.0))["CLOSED_AT_REST"]
        == words.REQUESTED
    )


def test_a_mergeable_page_is_refused() -> None:
    """The flag mg says that the kernel may merge it, whatever the call answered."""
    got = states(evidence.judge_smaps(listing("lo dd dc mg"), START, END, DONE, False, 1.0))
    assert got["NO_MERGE"] == words.REFUSED


@pytest.mark.parametrize("mappings", [[], listing()[:1], [Mapping(START + 0x1000, END, "---p", "", frozenset())]])
def test_a_torn_listing_verifies_nothing(mappings: list[Mapping]) -> None:
    """Pages that are not listed as a whole leave the calls' own answers."""
    assert words.VERIFIED not in states(evidence.judge_smaps(mappings, START, END, DONE, False, 1.0)).values()


def test_without_a_listing_the_calls_answers_stand() -> None:
    """Done is requested, refused is refused with its call and reason, what a system lacks is unavailable."""
    steps = {**DONE, "LOCK": ("mlock", errno.ENOMEM), "NO_DUMP": ("madvise", NO_SUCH_CALL)}
    found = evidence.judge_steps(steps, False, 7.5)
    assert list(found) == list(words.ALL)
    assert found["LOCKED"] == words.Evidence(words.REFUSED, f"mlock: {reason_of(errno.ENOMEM)}", 7.5)
    assert found["NO_DUMP"].state == words.UNAVAILABLE
    assert found["NOT_IN_CHILD"].state == words.REQUESTED
    assert words.VERIFIED not in states(found).values()


def test_a_table_for_people() -> None:
    """str() has one line for each guarantee, with its state and source."""
    lines = str(evidence.judge_steps(DONE, False, 1.0)).splitlines()
    assert len(lines) == len(words.ALL)
    assert lines[0].split()[:2] == ["LOCKED", "requested"]
