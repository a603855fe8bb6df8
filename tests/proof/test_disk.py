"""The disk of prove's own: made and put back, whatever comes between; and what it needs."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

fcntl = pytest.importorskip("fcntl", reason="needs a Unix")

import proving  # noqa: E402
from strongroom.prove import disk, mounts, restore, undo  # noqa: E402

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


def mounted() -> str:
    """What is mounted now."""
    return Path("/proc/self/mountinfo").read_text()


def test_a_disk_is_made_and_put_back(work_folder: str) -> None:
    """It is ext4 in a private folder with pages for blocks; afterwards mount, loop device and image are gone."""
    made = disk.Disk(work_folder, "test")
    try:
        made.apply()
        assert made.point in mounted()
        assert mounts.kind_of(made.point, mounts.listed()) == "ext4"
        assert os.statvfs(made.point).f_bsize == 4096
        assert len(undo.loops_of(made.path)) == 1
        assert undo.loops_of(made.path + "x") == []
    finally:
        assert undo.undo(made.record()) is None
    assert made.point not in mounted()
    assert undo.loops_of(made.path) == []
    assert os.listdir(work_folder) == []
    assert undo.undo(made.record()) is None


def test_a_disk_that_was_never_mounted_is_put_back(work_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between loop device and mount: also a device that does not clear itself is let go of."""
    monkeypatch.setattr(disk, "_LO_FLAGS_AUTOCLEAR", 0)

    def stop(*_: object) -> None:
        raise OSError(errno.EPERM, "mount")

    monkeypatch.setattr(disk, "_mount", stop)
    made = disk.Disk(work_folder, "test")
    try:
        with pytest.raises(OSError, match="mount"):
            made.apply()
        assert len(undo.loops_of(made.path)) == 1
    finally:
        assert undo.undo(made.record()) is None
    assert undo.loops_of(made.path) == []
    assert os.listdir(work_folder) == []


def test_a_signal_leaves_no_device_open(work_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes when the device has just been attached waits until it can be let go of."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    real = fcntl.ioctl

    def interrupted(descriptor: int, request: int, argument: Any = 0) -> Any:
        try:
            return real(descriptor, request, argument)
        finally:
            if request == disk._LOOP_SET_STATUS64:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(disk, "fcntl", SimpleNamespace(ioctl=interrupted))
    made = disk.Disk(work_folder, "test")
    try:
        with pytest.raises(KeyboardInterrupt):
            made.apply()
        assert made.point in mounted()  # it came afterwards
    finally:
        signal.signal(signal.SIGINT, before)
        assert undo.undo(made.record()) is None
    assert undo.loops_of(made.path) == []


def test_a_busy_disk_is_told_and_can_be_put_back_later(own_disk: disk.Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody has a file open there it stays mounted, and the sentence says so."""
    monkeypatch.setattr(undo, "_PATIENCE_SECONDS", 0.0)
    with open(os.path.join(own_disk.point, "busy"), "w", encoding="ascii"):
        assert "still mounted" in str(undo.undo(own_disk.record()))
        assert own_disk.point in mounted()
    monkeypatch.undo()
    assert undo.undo(own_disk.record()) is None


def test_only_our_images_are_touched(tmp_path: Path) -> None:
    """A record without our prefix undoes nothing."""
    image = tmp_path / "image"
    image.touch()
    record = {"do": "disk", "path": str(image), "point": str(tmp_path)}
    assert "left alone" in str(undo.undo(record))
    assert image.exists()


def test_a_failing_mkfs_is_told(work_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What mkfs.ext4 says is in the reason, and nothing stays attached."""
    monkeypatch.setattr(disk, "_MKFS_OPTIONS", ("-b", "1"))
    made = disk.Disk(work_folder, "test")
    try:
        with pytest.raises(OSError, match=r"mkfs\.ext4 ended with 1"):
            made.apply()
    finally:
        assert undo.undo(made.record()) is None
    assert os.listdir(work_folder) == []


def test_a_disk_without_a_journal_is_an_orphan(own_disk: disk.Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the journal lost, too, `--restore` finds the folder, and unmounts before it removes."""
    folder = os.path.dirname(own_disk.path)
    monkeypatch.setattr(restore, "orphans", lambda _: [folder])
    settled, problems = restore.stale()
    assert (folder in settled, problems) == (True, [])
    assert own_disk.point not in mounted()
    assert not os.path.exists(folder)
    os.mkdir(folder, 0o700)  # for the fixture


@pytest.mark.parametrize(
    ("facts", "changed", "expected"),
    [
        ({"is_root": False}, False, "needs root"),
        ({}, True, "needs changes: a disk image"),
        ({"has": lambda _: False}, False, "needs CAP_SYS_ADMIN"),
        ({"mkfs": None}, False, "needs mkfs.ext4"),
        ({"control": "/no/such/file"}, False, "needs /no/such/file"),
        ({"folder": "/dev/shm"}, False, "needs --folder on a disk"),
        ({}, False, ""),
    ],
)
def test_what_a_disk_needs(
    facts: dict[str, Any], changed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named."""
    monkeypatch.setattr(disk, "mkfs_path", lambda: facts.get("mkfs", "/sbin/mkfs.ext4"))
    monkeypatch.setattr(disk, "_LOOP_CONTROL", facts.get("control", "/dev/null"))
    this: Any = SimpleNamespace(is_root=facts.get("is_root", True), has=facts.get("has", lambda _: True))
    monkeypatch.setattr(mounts, "kind_of", lambda path, _: "tmpfs" if path == "/dev/shm" else "ext4")
    assert disk.needs(this, facts.get("folder", "/var/tmp"), no_changes=changed) == expected


def test_a_disk_that_is_refused_is_a_reason_and_no_fault(tmp_path: Path) -> None:
    """Where mounting is forbidden (most containers) the rows say so, and the exit code does not blame the machine."""
    proving.disk_or_skip()
    (tmp_path / "sitecustomize.py").write_text(
        "import strongroom.prove.disk as disk\n"
        "def refused(*_): raise PermissionError(1, 'mount: Operation not permitted')\n"
        "disk._mount = refused\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    run = proving.prove("--json", "--only", "mapped", "--only", "freed", environment=environment)
    row = run.rows["mapped-file"]
    assert row["needs"] == "needs a disk image, which failed: mount: Operation not permitted"
    assert (row["is_incomplete"], run.code) == (False, 0)
