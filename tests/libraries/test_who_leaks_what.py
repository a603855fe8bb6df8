"""Who leaks what: docs/libraries.md says what its program finds, and that program finds what is there."""

import dataclasses
import json
import subprocess
import sys

import pytest

import needs
from leaking import measuring, page
from leaking.measuring import Found, MeasuringError, measure
from leaking.operation import BIND_NOW, THE_SECRET, Operation, in_environment
from observed_linux import Memory

pytestmark = needs.linux
TRIES = 4
QUICK = [operation for operation in page.ALL if operation.is_quick]


@pytest.mark.parametrize("operation", QUICK, ids=lambda operation: operation.call)
def test_a_row_is_as_the_page_says(operation: Operation) -> None:
    """Nothing is found where the page says so, each time, something where it says so, and the control in each process.

    With LD_BIND_NOW: what the dynamic linker lays on the stack otherwise depends on how each Python was built. What was
    left in freed memory is written over by whoever gets that memory next, now and then before it is searched: so what
    is said to be left may be found in any of a few processes.
    """
    if lacking := measuring.missing(operation):
        pytest.skip(f"needs {', '.join(lacking)}: pip install '.[test]'")
    rows = page.read()
    bound = dataclasses.replace(operation, environment={**operation.environment, **BIND_NOW})
    for _ in range(TRIES):
        unseen = []
        for name, stages in measure(bound).items():
            for stage, found in stages.items():
                expected = page.verdict(getattr(rows[operation.call, name], stage))
                assert expected is not False or found.is_none, (name, stage, found.copies, found.pieces)
                if expected and found.is_none:
                    unseen.append((name, stage))
        if not unseen:
            break
    assert unseen == []


def test_the_page_has_every_row() -> None:
    """Each call is in a table, with each thing looked for and what to do instead, or named as not measured."""
    rows = page.read()
    text = " ".join(page.PAGE.read_text(encoding="utf-8").split())
    calls = [operation.call for operation in page.ALL]
    assert len(calls) == len(set(calls))
    assert {call for call, _ in rows} <= set(calls)
    for operation in page.ALL:
        lines = {name: line for (call, name), line in rows.items() if call == operation.call}
        if not lines:
            assert f"`{operation.call}` (needs {', '.join(operation.needs)})" in text
        for line in lines.values():
            assert line.instead == ("" if line.lives == line.gone == page.NONE else operation.instead), operation.call
        if not measuring.missing(operation):
            assert lines.keys() in (operation.make().hunted.keys(), set()), operation.call


def test_copies_are_found_wherever_they_are() -> None:
    """What lives, what was freed a moment ago, what the kernel laid on the stack, and a half of it alone."""
    kept = measure(Operation("kept", "result = None; public[len(public)] = bytes(view)"))[THE_SECRET]
    assert kept["gone"].copies["heap"] >= measuring.ROUNDS
    freed = measure(Operation("freed", "bytes(view); result = None"))[THE_SECRET]
    assert freed["lives"].copies["heap"] >= 1
    given = measure(Operation("given", "result = None", make=in_environment, is_opened=False))[THE_SECRET]
    assert given["gone"].copies["stack"] >= 1
    half = measure(Operation("half", "result = bytes(view[16:])"))[THE_SECRET]
    assert half["lives"].copies == {}
    assert half["lives"].pieces["heap"] >= 1


def test_a_search_that_finds_nothing_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the control, or with a process that failed, there is an error and no row of zeros."""
    with pytest.raises(MeasuringError, match="process failed"):
        measure(Operation("wrong", "raise SystemExit"))
    monkeypatch.setattr(Memory, "find_all", lambda *_: iter(()))
    with pytest.raises(MeasuringError, match="does not find what is there"):
        measure(Operation("blind", "result = bytes(view)"))


def test_a_cell_says_what_the_runs_found() -> None:
    """Numbers from the least to the most, kinds of memory, pieces apart; read again as always, never or sometimes."""
    nothing, one, two = Found({}, {}), Found({"heap": 1}, {}), Found({"heap": 1, "stack": 1}, {})
    half = Found({}, {"stack": 1})
    assert page.cell([nothing, nothing]) == "none"
    assert page.cell([one, one]) == "1 (heap)"
    assert page.cell([one, two]) == "1-2 (heap, stack)"
    assert page.cell([nothing, half]) == "pieces 0-1 (stack)"
    assert page.cell([half, one]) == "0-1 (heap); pieces 0-1 (stack)"
    assert page.verdict("none") is False
    assert page.verdict("1-2 (heap, stack)") is page.verdict("0-1 (heap); pieces 1 (stack)") is True
    assert page.verdict("0-1 (heap)") is page.verdict("pieces 0-1 (stack)") is None


def test_the_program_runs() -> None:
    """As the page says: with a word only what contains it, as JSON what each run found."""
    command = [
        sys.executable,
        str(page.PAGE.parents[1] / "tests" / "leaking"),
        "--runs",
        "1",
        "--json",
        "secret.reveal()",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["secret.reveal()"][0][THE_SECRET]["lives"]["copies"]["heap"] >= 1
    assert all("secret.reveal()" in call for call in found)
