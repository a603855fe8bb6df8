"""Journal and undo: each change undone, harmless when there is nothing to undo, and nobody else's touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")
pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

from strongroom.prove import changes, journal, undo  # noqa: E402


def marked_sleeper(marker: str) -> subprocess.Popen[bytes]:
    """A process that carries a run's marker."""
    return subprocess.Popen(["/bin/sleep", "60"], env={**os.environ, "STRONGROOM_PROVE": marker})


def test_a_journal_is_read_back(tmp_path: Path) -> None:
    """What was recorded and not yet undone is pending, in order; the writer is known to be alive."""
    path = str(tmp_path / "j" / "prove-x.journal")
    book = journal.Journal(path, "x")
    one = book.record({"do": "directory", "path": "/a"})
    book.record({"do": "directory", "path": "/b"})
    book.record({"do": "directory", "path": "/c"})
    book.undone(one)
    story = journal.Story(path)
    assert [record["path"] for record in story.pending] == ["/b", "/c"]
    assert story.is_alive
    book.close()


def test_a_record_is_on_disk_before_the_change(tmp_path: Path) -> None:
    """While a change is being made the journal already names it; afterwards it is undone."""
    path = str(tmp_path / "j" / "prove-x.journal")
    book = journal.Journal(path, "x")
    seen = []

    class Looking(changes.Directory):
        """Looks into the journal while it is being made."""

        def apply(self) -> None:
            """Look, then do it."""
            seen.append([record["path"] for record in journal.Story(path).pending])
            super().apply()

    folder = str(tmp_path / "strongroom-prove-y")
    with changes.Changes(book).made(Looking(folder)):
        assert os.path.isdir(folder)
    assert seen == [[folder]]
    assert not os.path.exists(folder)
    assert journal.Story(path).pending == []
    book.close()


def test_a_torn_last_line_is_no_change(tmp_path: Path) -> None:
    """A record cut off by a crash was never acted on, and does not spoil the others."""
    path = tmp_path / "prove-x.journal"
    path.write_text(
        '{"run": "x", "pid": 1, "start": 0, "boot": ""}\n{"number": 1, "do": "directory", "path": "/b"}\n{"num'
    )
    assert [record["path"] for record in journal.Story(str(path)).pending] == ["/b"]


@pytest.mark.parametrize("how", ["link", "open to others", "a file"])
def test_a_folder_that_is_not_private_is_refused(tmp_path: Path, how: str) -> None:
    """A journal never goes where somebody else could write one."""
    path = tmp_path / "strongroom"
    if how == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "a file":
        path.touch(mode=0o600)
    else:
        path.mkdir()
        path.chmod(0o777)
    assert not journal.private_folder(str(path), create=True)
    with pytest.raises(journal.JournalError):
        journal.Journal(str(path / "prove-x.journal"), "x")


def test_a_private_folder_is_made(tmp_path: Path) -> None:
    """The same check passes for a folder of ours, or the test above proves nothing."""
    path = tmp_path / "strongroom"
    assert journal.private_folder(str(path), create=True)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_private_folder_is_ours_to_enter_under_any_umask(tmp_path: Path) -> None:
    """A umask that takes the owner's own bits does not lock this and every later run out."""
    path = tmp_path / "strongroom"
    before = os.umask(0o777)
    try:
        assert journal.private_folder(str(path), create=True)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o700


def test_undoing_what_never_happened_is_harmless(tmp_path: Path) -> None:
    """Killed between journal and change, there is nothing to undo, and that is fine (twice)."""
    setting = tmp_path / "setting"
    setting.write_text("theirs\n")
    for record in (
        {"do": "directory", "path": str(tmp_path / "strongroom-prove-none")},
        {"do": "swap", "path": str(tmp_path / "none" / "swap")},
        {"do": "setting", "path": str(setting), "original": "theirs", "ours": "ours"},
        {"do": "cgroup", "path": str(tmp_path / "none")},
    ):
        assert undo.undo(record) is None
        assert undo.undo(record) is None
    assert setting.read_text() == "theirs\n"


@pytest.mark.parametrize("has_kill", [False, True])
def test_processes_of_other_namespaces_do_not_end_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_kill: bool
) -> None:
    """cgroup.procs lists them as 0, and kill(0) would be our own process group; cgroup.kill needs no list."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    monkeypatch.setattr(undo, "_PATIENCE_SECONDS", 0.0)
    (tmp_path / "cgroup.procs").write_text("0\n4194305\n-1\n")
    if has_kill:
        (tmp_path / "cgroup.kill").touch()
    assert undo.undo({"do": "cgroup", "path": str(tmp_path)}) is not None  # a plain folder with files stays
    assert set(killed) == (set() if has_kill else {4194305})
    assert not has_kill or (tmp_path / "cgroup.kill").read_text() == "1"


def test_a_setting_is_put_back_only_if_it_is_still_ours(tmp_path: Path) -> None:
    """What an administrator set in the meantime is his."""
    path = tmp_path / "setting"
    path.write_text("original\n")
    change = changes.Setting(str(path), "ours")
    change.apply()
    assert path.read_text() == "ours\n"
    assert undo.undo(change.record()) is None
    assert path.read_text() == "original\n"
    path.write_text("third\n")
    assert undo.undo(change.record()) is None
    assert path.read_text() == "third\n"


def test_only_our_folders_are_removed(tmp_path: Path) -> None:
    """A link, or a folder without our prefix, stays, and what it holds too."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    link = tmp_path / "strongroom-prove-link"
    link.symlink_to(precious)
    assert undo.undo({"do": "directory", "path": str(link)}) is not None
    assert undo.undo({"do": "directory", "path": str(precious)}) is not None
    assert (precious / "file").exists()


def test_a_swap_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    """What was swapped does not stay on the disk: seen through a second link to the same blocks."""
    path, other = tmp_path / "swap", tmp_path / "other"
    path.write_bytes(b"somebody's page" * 1000)
    os.link(path, other)
    assert undo.undo({"do": "swap", "path": str(path)}) is None
    assert not path.exists()
    assert other.read_bytes() == bytes(15_000)


def test_marked_processes_are_ended_and_no_others() -> None:
    """The marker names the run: its processes go, another run's stay."""
    mine, other = marked_sleeper("run-a"), marked_sleeper("run-ab")
    try:
        assert undo.kill_marked("run-a") is None
        assert mine.wait(60) == -9
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_a_dead_runs_journal_is_settled(tmp_path: Path) -> None:
    """Everything pending is undone in reverse order, processes first, and the journal goes."""
    place = tmp_path / "j"
    place.mkdir(mode=0o700)
    folder = tmp_path / "strongroom-prove-z"
    folder.mkdir()
    (folder / "swap").write_bytes(b"x" * 5000)
    sleeper = marked_sleeper("run-z")
    path = place / "prove-run-z.journal"
    lines = [
        {"run": "run-z", "pid": 2**22 + 1, "start": 1, "boot": journal.boot_id()},
        {"number": 1, "do": "directory", "path": str(folder)},
        {"number": 2, "do": "swap", "path": str(folder / "swap")},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not journal.Story(str(path)).is_alive
    assert undo.settle(str(path)) == []
    assert sleeper.wait(60) == -9
    assert not folder.exists()
    assert not path.exists()
    assert undo.settle(str(path)) == []


def test_what_cannot_be_put_back_keeps_its_journal(tmp_path: Path) -> None:
    """A failure is told and can be tried again: the journal stays."""
    place = tmp_path / "j"
    place.mkdir(mode=0o700)
    path = place / "prove-run-q.journal"
    record = {"number": 1, "do": "setting", "path": str(tmp_path / "gone"), "original": "a", "ours": "b"}
    path.write_text(json.dumps({"run": "q", "pid": 1, "start": 0, "boot": ""}) + "\n" + json.dumps(record) + "\n")
    assert len(undo.settle(str(path))) == 1
    assert path.exists()


def test_the_janitor_outlives_signals_and_settles_at_end_of_file(tmp_path: Path) -> None:
    """SIGINT, SIGTERM and SIGHUP do not stop it; the end of its pipe does its work."""
    import signal

    from strongroom.prove import spawn

    place = tmp_path / "j"
    place.mkdir(mode=0o700)
    folder = tmp_path / "strongroom-prove-w"
    folder.mkdir()
    path = place / "prove-w.journal"
    record = {"number": 1, "do": "directory", "path": str(folder)}
    path.write_text(json.dumps({"run": "", "pid": 1, "start": 0, "boot": ""}) + "\n" + json.dumps(record) + "\n")
    reading, writing = os.pipe()
    command = spawn.bare_command("janitor", str(path), str(reading))
    janitor = subprocess.Popen(command, pass_fds=(reading,), stdout=subprocess.PIPE, start_new_session=True)
    os.close(reading)
    assert janitor.stdout is not None
    assert janitor.stdout.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        janitor.send_signal(number)
    time.sleep(0.1)
    assert janitor.poll() is None
    assert folder.exists()
    os.close(writing)
    assert janitor.wait(60) == 0
    janitor.stdout.close()
    assert not folder.exists()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo")
def test_a_folder_without_a_journal_is_an_orphan(tmp_path: Path) -> None:
    """After a power cut /run is empty and the folder is still there: it is found, and others' folders are not."""
    from strongroom.prove import restore

    for name, mode in (("strongroom-prove-dead", 0o700), ("strongroom-prove-open", 0o755), ("precious", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    (tmp_path / "strongroom-prove-link").symlink_to(tmp_path / "precious")
    assert restore.orphans((str(tmp_path), str(tmp_path / "none"))) == [str(tmp_path / "strongroom-prove-dead")]
    book = journal.Journal(journal.path_for("dead"), "dead")
    try:
        assert restore.orphans((str(tmp_path),)) == []
    finally:
        book.close()
        os.unlink(book.path)


def test_start_time_names_a_process() -> None:
    """A pid and a start time are one process for good; a dead one has none."""
    own = journal.start_time(os.getpid())
    assert own is not None
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert journal.start_time(process.pid) is None


def test_processes_are_found_while_they_start() -> None:
    """A program has its new memory before its environment is there; looked at just then, it is looked at again."""
    for _ in range(40):
        sleeper = marked_sleeper("run-new")  # returns in the middle of execve: about every second one shows nothing
        try:
            assert undo.kill_marked("run-new") is None
            assert sleeper.wait(60) == -9
        finally:
            sleeper.kill()
            sleeper.wait()


def test_a_program_without_an_environment_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment can be empty for good."""
    monkeypatch.setattr(undo, "_PATIENCE_SECONDS", 120)  # many times what a look at all processes takes
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as sleeper:
        try:
            began = time.monotonic()
            assert undo.kill_marked("run-none") is None
            assert time.monotonic() - began < 60
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


def test_marked_processes_are_ended_where_there_is_no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """On old kernels and in sandboxes without pidfd_open the start time stands in."""
    import errno

    def refused(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "pidfd_open")

    monkeypatch.setattr(os, "pidfd_open", refused)
    sleeper = marked_sleeper("run-old")
    try:
        assert undo.kill_marked("run-old") is None
        assert sleeper.wait(60) == -9
    finally:
        sleeper.kill()
        sleeper.wait()
