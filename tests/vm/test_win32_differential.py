"""Windows' own memory calls and strongroom's, side by side: what differs is in the table below, with its reason."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import needs
import win32calls

#: What kernel32 answered inside Wine 8.0: python win32calls.py kernel32 1 60 60. Where a fresh one was made
#: (.ci/windows does), the variable names its file.
RECORDED = Path(__file__).parent / "recorded" / "kernel32-wine-8.0.jsonl.gz"
STORY = os.environ.get("STRONGROOM_KERNEL32_STORY", "")

Answer = list[Any]
Rule = Callable[[str, dict[str, Any], Answer, Answer], bool]


def is_odd(protection: int) -> bool:
    """Whether no system has it."""
    return protection not in (*win32calls.PROTECTIONS, 0x08, 0x80, 0x104, 0x102, 0x204, 0x404)


def codes(ours: int, theirs: int) -> Callable[[Answer, Answer], bool]:
    """The same picture, another code."""
    return lambda mine, other: (mine[0], other[0]) == (ours, theirs) and mine[1:] == other[1:]


#: Name, what Wine does and why strongroom does not, when it applies.
DEVIATIONS: tuple[tuple[str, str, Rule], ...] = (
    (
        "VirtualProtect beyond an allocation",
        "Wine answers ERROR_INVALID_PARAMETER; Windows' STATUS_CONFLICTING_ADDRESSES becomes ERROR_INVALID_ADDRESS",
        lambda what, call, mine, other: what == "protect" and codes(487, 87)(mine, other),
    ),
    (
        "protections that do not exist",
        "Wine takes modifiers that exclude each other, ignores bits it does not know and looks at the pages first; "
        "Windows documents ERROR_INVALID_PARAMETER, and looks at the protection first",
        lambda what, call, mine, other: is_odd(call.get("protection", 4)) and mine[0] == 87 and other[0] in (0, 487),
    ),
    (
        "PAGE_NOCACHE and PAGE_WRITECOMBINE",
        "no Unix lets a process choose how its memory is cached: refused with ERROR_INVALID_PARAMETER",
        lambda what, call, mine, other: (
            call.get("protection", 4) in (0x204, 0x404) and mine[0] == 87 and other[0] in (0, 487)
        ),
    ),
    (
        "VirtualProtect, VirtualLock and VirtualUnlock of no bytes",
        "Wine rounds up to a page, or to none, and does that; Windows answers ERROR_INVALID_PARAMETER",
        lambda what, call, mine, other: what in ("protect", "lock", "unlock") and call["size"] == 0 and mine[0] == 87,
    ),
    (
        "VirtualLock of what cannot be locked",
        "Wine passes mlock's refusal on as ERROR_ACCESS_DENIED; Windows answers ERROR_NOACCESS for pages that are not "
        "committed or not accessible, ERROR_INVALID_ADDRESS beyond an allocation",
        lambda what, call, mine, other: what == "lock" and mine[0] in (487, 998) and other[0] in (5, 87, 0),
    ),
    (
        "VirtualUnlock of what is not locked",
        "Wine remembers no locks and says yes; Windows answers ERROR_NOT_LOCKED",
        lambda what, call, mine, other: what == "unlock" and mine[0] in (158, 487, 998, 87) and other[0] in (0, 87, 5),
    ),
    (
        "PrefetchVirtualMemory beyond user space",
        "Wine says yes; Windows documents ranges in the process's address space, and strongroom answers "
        "ERROR_INVALID_PARAMETER, as VirtualAlloc does",
        lambda what, call, mine, other: what == "prefetch" and call["size"] >= 1 << 46 and codes(87, 0)(mine, other),
    ),
)


def stories() -> list[Any]:
    """What Windows' own calls did: one list of steps for each seed, from 1 on."""
    text = Path(STORY).read_text() if STORY else gzip.decompress(RECORDED.read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def explanation(what: str, call: dict[str, Any], mine: Answer, other: Answer) -> str | None:
    """The name of the deviation that a difference is."""
    return next((name for name, _, applies in DEVIATIONS if applies(what, call, mine, other)), None)


@pytest.fixture(scope="module")
def comparison() -> tuple[int, dict[str, int], list[Any]]:
    """Steps compared, how often each deviation came up, and every difference that is none of them."""
    backend = win32calls.Ours()
    steps, seen, unexplained = 0, dict.fromkeys((name for name, _, _ in DEVIATIONS), 0), []
    for seed, story in enumerate(stories(), 1):
        ours = json.loads(json.dumps(win32calls.run(backend, seed, len(story))))
        for (what, call, mine), (same_what, same_call, other) in zip(ours, story, strict=True):
            assert (what, call) == (same_what, same_call), "the two sides drew different calls"
            steps += 1
            if mine == other:
                continue
            name = explanation(what, call, mine, other)
            if name is None:
                unexplained.append((seed, what, call, mine, other))
                break
            seen[name] += 1
            if mine[-1] != other[-1]:  # what is there differs from here on
                break
    return steps, seen, unexplained


def test_results_codes_and_queries_agree(comparison: tuple[int, dict[str, int], list[Any]]) -> None:
    """The same calls give the same results, error codes and VirtualQuery answers, but for the named deviations."""
    steps, _, unexplained = comparison
    assert unexplained == []
    assert steps > 1_000


@pytest.mark.skipif(needs.WINDOWS, reason="the table is of systems other than Windows, which has PAGE_NOCACHE")
def test_each_deviation_is_real(comparison: tuple[int, dict[str, int], list[Any]]) -> None:
    """A deviation that no longer occurs has no business in the table."""
    _, seen, _ = comparison
    assert [name for name, count in seen.items() if count == 0] == []


def test_a_difference_is_noticed() -> None:
    """Another code, another protection, another size: none passes as a deviation."""
    run = [[0, 0, 4, 4096, 4096, 4, 131072]]
    call = {"slot": 0, "offset": 0, "size": 1, "type": 4096, "protection": 4}
    assert explanation("alloc", call, [0, 0, run], [0, 0, [[0, 0, 4, 4096, 4096, 2, 131072]]]) is None
    assert explanation("alloc", call, [87, 0, run], [487, 0, run]) is None
    assert explanation("protect", call, [0, 4, run], [0, 2, run]) is None


def test_the_table_in_the_docs_is_this_one() -> None:
    """docs/vm/win32.md lists each deviation with its reason, and no other."""
    text = (Path(__file__).parents[2] / "docs" / "vm" / "win32.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what ")]
    assert rows == [f"| {name} | {reason} |" for name, reason, _ in DEVIATIONS]
