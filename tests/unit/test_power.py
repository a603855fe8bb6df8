"""Whether a machine can hibernate, judged from recorded text."""

from types import SimpleNamespace

import pytest

import needs
from strongroom._os import power

HIBERNATES = {"command_line": "root=/dev/vda1 quiet", "config": None, "resume_device": "0:0\n", "lockdown": None}


@pytest.mark.parametrize(
    ("changed", "can"),
    [
        ({}, True),
        ({"resume_device": None}, False),
        ({"command_line": "root=/dev/vda1 nohibernate"}, False),
        ({"command_line": "noresume"}, True),  # only skips looking for an image at boot
        ({"command_line": "hibernate=no"}, False),
        ({"command_line": "hibernate=nocompress"}, True),
        ({"command_line": "xnohibernate resume=/dev/sda2"}, True),
        ({"config": "CONFIG_X86=y\n# CONFIG_HIBERNATION is not set\n"}, False),
        ({"config": "CONFIG_HIBERNATION=y\n"}, True),
        ({"lockdown": "none [integrity] confidentiality\n"}, False),
        ({"lockdown": "[none] integrity confidentiality\n"}, True),
        ({"resume_device": "8:2\n"}, True),
    ],
)
def test_what_rules_hibernation_out(changed: dict[str, str | None], can: bool) -> None:
    """Only a kernel without it, a switch on its command line or lockdown do; everything else counts as able."""
    facts = {**HIBERNATES, **changed}
    judged = power.judge_hibernation(
        facts["command_line"] or "", facts["config"], facts["resume_device"], facts["lockdown"]
    )
    assert judged is can


@needs.linux
def test_the_judgement_does_not_change_with_the_state_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """``/sys/power/state`` and ``disk`` change while secret memory exists, so they are never read."""
    asked: list[str] = []
    monkeypatch.setattr(power, "_text", lambda path: asked.append(path))
    power.look()
    assert asked
    assert not {"/sys/power/state", "/sys/power/disk"} & set(asked)


def test_what_cannot_be_read_counts_as_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is not evidence against hibernation."""

    def refuse(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(power, "_text", refuse)
    assert power.look() is True


def test_an_answer_is_good_for_a_second_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of buffers costs one look; a machine that changes, or a process that was moved, is noticed."""
    now, answers = [100.0], iter([True, False, True])
    monkeypatch.setattr(power, "look", lambda: next(answers))
    monkeypatch.setattr(power, "_last", None)
    monkeypatch.setattr(power, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert [power.can_hibernate() for _ in range(3)] == [True] * 3
    now[0] += 0.9
    assert power.can_hibernate() is True
    now[0] += 0.2
    assert power.can_hibernate() is False
    now[0] = 5.0  # restored from a snapshot: the clock of another machine
    assert power.can_hibernate() is True


def test_most_machines_are_told_by_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no resume device nothing else is read, least of all its configuration, which is long."""
    asked: list[str] = []
    monkeypatch.setattr("os.path.isdir", lambda _path: True)
    monkeypatch.setattr(power, "_text", asked.append)
    assert power.look() is False
    assert asked == ["/sys/power/resume"]
