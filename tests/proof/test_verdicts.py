"""Findings become words: the rules that decide what the table says, and the exit code."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize("row", [row_id for row_id in model.ROW_TITLES if not row_id.startswith("reader-")])
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


FILE_ROW = {"kinds": model.kinds_of("mapped-file")}


def test_an_own_file_is_all_there_may_be() -> None:
    """`own file` needs every copy to be in that file, a control and a complete search; one copy elsewhere is a leak."""
    two = {"ordinary": FOUND, "file": FOUND}
    assert words(two, own={"file": 2}, **FILE_ROW) == {"ordinary": "LEAKED", "file": "own file"}
    assert words(two, own={"file": 1}, **FILE_ROW)["file"] == "LEAKED"
    assert words(two, own={}, **FILE_ROW)["file"] == words(two, **FILE_ROW)["file"] == "LEAKED"
    assert words(two, own={"file": 2}, has_control=False, **FILE_ROW)["file"] == "no control"
    assert words(two, own={"file": 2}, is_complete=False, **FILE_ROW)["file"] == "not tried"
    assert words({"ordinary": FOUND, "file": NOTHING}, own={"file": 0}, **FILE_ROW)["file"] == "held"


def test_a_trial_may_ask_more_of_its_control() -> None:
    """Where one ordinary copy somewhere is not enough, the trial says itself whether all have arrived."""
    found = {"ordinary": FOUND, "partial": NOTHING}
    kinds = model.kinds_of("partial-page")
    assert words(found, kinds=kinds, has_control=False)["partial"] == "no control"
    assert words(found, kinds=kinds, has_control=True)["partial"] == "held"
    assert words(found | {"partial": HALF}, kinds=kinds, has_control=False)["partial"] == "LEAKED"


@pytest.mark.parametrize(
    ("before", "is_gone", "is_noticed", "after"),
    [
        ("held", True, True, "held"),
        ("held", True, False, "UNNOTICED"),
        ("held", False, False, "not tried"),
        ("held", False, True, "not tried"),
        ("no control", True, False, "UNNOTICED"),
        ("no control", True, True, "no control"),
        ("not tried", True, False, "UNNOTICED"),
        ("not tried", False, False, "not tried"),
        ("LEAKED", True, True, "LEAKED"),
        ("LEAKED", True, False, "LEAKED"),
    ],
)
def test_held_needs_a_loss_that_was_noticed(before: str, is_gone: bool, is_noticed: bool, after: str) -> None:
    """Memory that may vanish is held only if it vanished and the library said so; a copy is a leak all the same."""
    cell = model.demand_loss(model.Cell(before), is_gone=is_gone, is_noticed=is_noticed)
    assert cell.word == after


def forced(**changes: Any) -> Any:
    """What an attack on disk and swap found: everything as it should be, but for the changes."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    from strongroom.prove.trials import mapped
    from strongroom.prove.victim.vanishing import MAPPED

    disk = Finding(whole=2, where={MAPPED: 1, "the file of 512 bytes": 1})
    given: dict[str, Any] = {
        "disk": {"ordinary": disk, "file": FOUND},
        "swap": {"ordinary": FOUND, "file": NOTHING},
        "blocks": {},
        "is_complete": True,
        "details": {},
    }
    return mapped.Forced(**(given | changes))


def test_each_control_must_have_arrived_where_it_belongs() -> None:
    """A copy in another file, or in the swap file only, is no control of the experiment with that file."""
    both = ("the mapped file", "the file of 512 bytes")
    assert forced().has_control(*both)
    assert forced().findings["ordinary"].copies == 4
    one = {"ordinary": Finding(whole=1, where={"the mapped file": 1})}
    assert forced(disk=one).has_control("the mapped file")
    assert not forced(disk=one).has_control(*both)
    assert not forced(swap={"ordinary": NOTHING}).has_control("the mapped file")
    assert forced(swap=None).has_control("the mapped file")
    assert not forced(disk={"ordinary": Finding(whole=9, where={"the disk, outside the files": 9})}).has_control(*both)


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
    lost = Row("droppable", {"ordinary": model.Cell("LEAKED"), "droppable": model.Cell("UNNOTICED")})
    assert model.exit_code([held, lost]) == 1
    assert (
        model.exit_code([Row("mapped-file", {"ordinary": model.Cell("LEAKED"), "file": model.Cell("own file")})]) == 0
    )


def test_the_last_line_says_what_the_exit_code_is_for() -> None:
    """Contents that were lost in silence are no leak, and a leak beside them is the worse."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    from strongroom.prove import present

    lost = Row("droppable", {"ordinary": model.Cell("LEAKED"), "droppable": model.Cell("UNNOTICED")})
    leaked = Row("mapped-file", {"ordinary": model.Cell("LEAKED"), "file": model.Cell("LEAKED")})
    assert present.verdict([lost], 1) == "strongroom under 1 attack: 1 UNNOTICED (exit code 1: lost without a word)\n"
    assert present.verdict([lost, leaked], 1).endswith("(exit code 1: leaked)\n")


def test_the_strongroom_column_shows_the_worse_of_open_and_at_rest() -> None:
    """One column stands for two states of a Secret: the worse one is shown."""
    assert row({"ordinary": FOUND, "secret-open": FOUND}).strongroom.word == "LEAKED"
    assert row({"ordinary": FOUND, "secret-at-rest": HALF}).strongroom.word == "LEAKED"
    assert row({"ordinary": FOUND}).strongroom.word == "held"
    cells = judge({"ordinary": FOUND, "file": HALF}, missing={}, is_complete=True, exposed={}, **FILE_ROW)  # type: ignore[arg-type]
    assert Row("mapped-file", cells).strongroom.word == "LEAKED"


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

    from strongroom.prove.trials import swapped as trial

    told = {"is_complete": True, "is_locked": attacker, "pages_elsewhere": 0}
    bench: Any = SimpleNamespace(
        plan=SimpleNamespace(swap=SimpleNamespace(path="/swap")), push_out=lambda *_, **__: None,
        attack=lambda *_, **__: dict(told), findings=lambda *_: {"ordinary": FOUND},
    )  # fmt: skip
    tracers: Any = SimpleNamespace(is_locked=own, kinds=model.KINDS)
    result, _ = trial.raw_scan(bench, tracers, [("victim", 1)])
    assert result["is_locked"] is result["is_complete"] is (attacker and own)
