"""Whatever ends prove, the machine is as it was: signals, a dead janitor, two at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving

killing = proving.killing

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("after_seconds", [0.25, 0.6])
def test_nothing_is_left_behind(number: signal.Signals, after_seconds: float) -> None:
    """Killed at some moment, prove dies of that signal and leaves nothing (90 moments: kill_at_random.py)."""
    status, left = killing.kill_once(number, after_seconds)
    assert left == []
    assert status in (-number, 0)


def wait_for(condition: Any, seconds: float = 120.0) -> Any:
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come to that")


def janitor_of(pid: int) -> int | None:
    """The janitor that a prove has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(c) for c in children if b"prove.janitor" in Path(f"/proc/{c}/cmdline").read_bytes()), None)
    except OSError:
        return None


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(killing.command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_restore_after_both_died() -> None:
    """With prove and its janitor both killed things are left behind; `prove --restore` puts them back."""
    before = killing.settings()
    process = start()
    try:
        janitor = wait_for(lambda: janitor_of(process.pid))
        wait_for(lambda: any(_is_change(item) for item in _left(before)))
        os.kill(janitor, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    left = _left(before)
    assert any(item.endswith(".journal") for item in left), "the search for leftovers finds nothing"
    assert any(_is_change(item) for item in left)
    restored = subprocess.run(
        killing.command("--restore"), capture_output=True, text=True, timeout=proving.DEADLINE_SECONDS, check=False
    )
    assert restored.returncode == 0, restored.stderr
    assert "put back" in restored.stdout
    assert killing.settle(before, killing.journal_folders()) == []
    again = subprocess.run(
        killing.command("--restore"), capture_output=True, text=True, timeout=proving.DEADLINE_SECONDS, check=False
    )
    assert (again.returncode, again.stdout) == (0, "nothing to put back\n")


def _is_change(item: str) -> bool:
    """Something that a run made on the machine, not the journal in which it says so."""
    return "strongroom-prove-" in item and not item.endswith(".journal")


def _left(before: dict[str, str]) -> list[str]:
    found: list[str] = killing.leftovers(before, killing.journal_folders())
    return found


@pytest.mark.parametrize("is_janitor_killed", [False, True], ids=["by the janitor", "by restore"])
def test_a_mounted_disk_goes(is_janitor_killed: bool) -> None:
    """Killed while the disk is mounted: mount, loop device and image go, whoever is left to see to it."""
    proving.disk_or_skip()
    before = killing.settings()
    process = start("--only", "mapped", "--only", "partial")
    try:
        janitor = wait_for(lambda: janitor_of(process.pid))
        wait_for(lambda: any(item.startswith("mount ") for item in killing.disks()))
        if is_janitor_killed:
            os.kill(janitor, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    if is_janitor_killed:
        time.sleep(0.05)  # the victims die with it, and would be gone by the time somebody restores
        assert {item.split()[0] for item in _left(before)} >= {"mount", "loop"}
        restored = subprocess.run(
            killing.command("--restore"), capture_output=True, text=True, timeout=proving.DEADLINE_SECONDS, check=False
        )
        assert restored.returncode == 0, restored.stderr
    assert killing.settle(before, killing.journal_folders()) == []


def test_restore_leaves_a_living_run_alone() -> None:
    """A journal whose prove is alive is not touched, and that run ends well."""
    before = killing.settings()
    process = start()
    wait_for(lambda: any(item.endswith(".journal") for item in _left(before)))
    restored = subprocess.run(
        killing.command("--restore"), capture_output=True, text=True, timeout=proving.DEADLINE_SECONDS, check=False
    )
    assert (restored.returncode, restored.stdout) == (0, "nothing to put back\n")
    assert process.wait(proving.DEADLINE_SECONDS) == 0
    assert killing.settle(before, killing.journal_folders()) == []


def test_two_at_a_time_do_not_disturb_each_other() -> None:
    """Two runs side by side both succeed, and the settings are the machine's own afterwards."""
    before = killing.settings()
    both = [start(), start()]
    assert [process.wait(proving.DEADLINE_SECONDS) for process in both] == [0, 0]
    assert killing.settle(before, killing.journal_folders()) == []


def test_the_second_finds_the_true_settings_when_the_first_is_killed() -> None:
    """Killed in the middle of its changes, the first run does not pass them on to the second as the originals."""
    before = killing.settings()
    first = start()
    wait_for(lambda: any(item.endswith(".journal") for item in _left(before)))
    second = start()
    first.kill()
    first.wait()
    assert second.wait(proving.DEADLINE_SECONDS) == 0
    assert killing.settle(before, killing.journal_folders()) == []


def test_announced_before_anything_is_done() -> None:
    """When the announcement is made, nothing of what it announces exists yet."""
    from strongroom.prove import plan, present, runner

    seen: list[str] = []

    def announce(what: plan.Plan) -> None:
        seen.append(present.announcement(what))
        assert not os.path.exists(what.directory.path)
        assert what.cgroup is None or not os.path.exists(what.cgroup.path)
        assert what.swap is None or what.swap.path not in Path("/proc/swaps").read_text()
        assert what.disk is None or not os.path.exists(what.disk.path)
        for change in (what.core_pattern, what.zswap):
            assert change is None or Path(change.path).read_text().strip() == change.original

    rows = runner.run(plan.Options(only=("freed", "swapped", "mapped")), announce, lambda _: None)
    assert rows
    assert len(seen) == 1
    assert "strongroom-prove-" in seen[0]
