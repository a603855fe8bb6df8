"""Findings become words: the rules that decide what the table says, and the exit code."""

from __future__ import annotations

import pytest

from strongroom.prove import model
from strongroom.prove.model import Backing, Finding, Row, judge

FOUND, NOTHING = Finding(whole=2, where={"heap": 2}), Finding()
HALF = Finding(half=1, where={"heap": 1})


def words(findings: dict[str, Finding], **changes: object) -> dict[str, str]:
    """The word of each kind."""
    options: dict[str, object] = {"missing": {}, "is_complete": True, "exposed": {}, **changes}
    return {kind: cell.word for kind, cell in judge(findings, **options).items()}  # type: ignore[arg-type]


def test_held_needs_a_control_and_a_complete_search() -> None:
    """Not found is `held` only if the control was found and nothing was left unsearched."""
    found = {"ordinary": FOUND}
    assert set(words(found).values()) == {"LEAKED", "held"}
    assert words(found)["ordinary"] == "LEAKED"
    assert words({"ordinary": NOTHING}) == dict.fromkeys(model.KINDS, "no control")
    assert words(found, is_complete=False)["locked"] == "not tried"


def test_a_copy_is_a_leak_whatever_else_failed() -> None:
    """A strongroom tracer that was found counts, even a half, even without a control or a complete search."""
    assert words({"ordinary": NOTHING, "locked": HALF})["locked"] == "LEAKED"
    assert words({"ordinary": FOUND, "locked": FOUND}, is_complete=False)["locked"] == "LEAKED"


def test_a_half_copy_is_a_control() -> None:
    """Half an ordinary copy proves that the attack works."""
    assert words({"ordinary": HALF})["secretmem"] == "held"


def test_exposed_is_only_what_is_documented() -> None:
    """`exposed` needs an entry for that kind; the same copy elsewhere is a leak; at rest no copy is excused."""
    exposed = {"locked": "readers", "secret-at-rest": "key"}
    found = {"ordinary": FOUND, "locked": FOUND, "secretmem": FOUND}
    assert words(found, exposed=exposed)["locked"] == "exposed"
    assert words(found, exposed=exposed)["secretmem"] == "LEAKED"
    assert words({"ordinary": FOUND}, exposed=exposed)["secret-at-rest"] == "exposed"
    assert words({"ordinary": FOUND, "secret-at-rest": FOUND}, exposed=exposed)["secret-at-rest"] == "LEAKED"


def test_what_could_not_be_made_is_not_tried() -> None:
    """A kind that the machine does not give says what it needs."""
    cell = judge({"ordinary": FOUND}, missing={"secretmem": "needs a kernel"}, is_complete=True, exposed={})[
        "secretmem"
    ]
    assert cell.text == "not tried (needs a kernel)"


@pytest.mark.parametrize("row", ["swapped", "core", "fork-child", "fork-swap", "freed"])
def test_only_readers_are_excused(row: str) -> None:
    """Swap, cores, children and freed memory excuse nothing, whatever the backing."""
    assert model.exposures(row, {"locked": Backing("anonymous", "locked")}) == {}


def test_an_excuse_needs_the_librarys_own_word() -> None:
    """Memory that readers can read is excused only if the library calls it `locked`, not `secretmem`."""
    honest, lying = Backing("anonymous", "locked"), Backing("anonymous", "secretmem")
    assert model.exposures("reader-user", {"secret-open": honest}) == {
        "secret-open": "readers",
        "secret-at-rest": "key",
    }
    assert model.exposures("reader-user", {"secret-open": lying, "locked": lying}) == {}
    assert model.exposures("reader-root", {"secret-open": Backing("secretmem", "secretmem")}) == {}


def row(findings: dict[str, Finding], **changes: object) -> Row:
    """A row of these findings."""
    cells = judge(findings, missing={}, is_complete=True, exposed={})
    return Row("freed", cells, **changes)  # type: ignore[arg-type]


def test_exit_codes() -> None:
    """1 a leak, 3 incomplete (or nothing at all), 0 otherwise; not tried alone is no fault."""
    held, leaked = row({"ordinary": FOUND}), row({"ordinary": FOUND, "locked": FOUND})
    no_control, skipped = row({"ordinary": NOTHING}), model.not_tried("swapped", "root")
    assert model.exit_code([held]) == 0
    assert model.exit_code([held, skipped]) == 0
    assert model.exit_code([held, leaked, no_control]) == 1
    assert model.exit_code([held, no_control]) == 3
    assert model.exit_code([held, model.not_tried("core", "a look", is_incomplete=True)]) == 3
    assert model.exit_code([skipped]) == 3
    assert model.exit_code([]) == 3


def test_the_strongroom_column_shows_the_worse_of_open_and_at_rest() -> None:
    """One column stands for two states of a Secret: the worse one is shown."""
    assert row({"ordinary": FOUND, "secret-open": FOUND}).strongroom.word == "LEAKED"
    assert row({"ordinary": FOUND, "secret-at-rest": HALF}).strongroom.word == "LEAKED"
    assert row({"ordinary": FOUND}).strongroom.word == "held"


@pytest.mark.parametrize(("swapped", "word"), [(0, "held"), (4096, "not tried"), (None, "not tried")])
def test_unread_secret_memory_is_held_only_if_none_is_in_swap(swapped: int | None, word: str) -> None:
    """Without root nobody reads secret memory: the kernel's own count has to say that none of it went to swap."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    from strongroom.prove.trials import swapped as trial

    backings = {
        "ordinary": Backing("heap", ""), "secret-open": Backing("secretmem", "secretmem"),
        "secret-at-rest": Backing("ciphertext", ""), "locked": Backing("anonymous", "locked"),
        "secretmem": Backing("secretmem", "secretmem"),
    }  # fmt: skip
    cells = judge({"ordinary": FOUND}, missing={}, is_complete=True, exposed={})
    trial._refuse_unseen(cells, backings, swapped)
    assert {cells[kind].word for kind in ("secret-open", "secret-at-rest", "secretmem")} == {word}
    assert cells["locked"].word == "held"


@pytest.mark.parametrize(("attacker", "own"), [(True, True), (False, True), (True, False)])
def test_swap_is_believed_only_if_our_own_tracers_were_locked(attacker: bool, own: bool) -> None:
    """Tracers that prove or its attacker could not lock may be in the swap file themselves."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    from types import SimpleNamespace
    from typing import Any

    from strongroom.prove.trials import swapped as trial

    told = {"is_complete": True, "is_locked": attacker, "pages_elsewhere": 0}
    bench: Any = SimpleNamespace(
        plan=SimpleNamespace(swap=SimpleNamespace(path="/swap")), push_out=lambda *_, **__: None,
        attack=lambda *_, **__: dict(told), findings=lambda _: {"ordinary": FOUND},
    )  # fmt: skip
    tracers: Any = SimpleNamespace(is_locked=own)
    result, _ = trial.raw_scan(bench, tracers, [("victim", 1)])
    assert result["is_locked"] is result["is_complete"] is (attacker and own)
