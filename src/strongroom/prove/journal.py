"""The journal: what prove is about to change, on disk before it changes it.

In: a record per change. Out: a file of JSON lines that the janitor, or `prove --restore`, can undo in reverse
order. A record is written and flushed (fsync) *before* the change, so there is no moment in which something
was changed that no journal knows; undoing a change that never happened must therefore be harmless.

The folder is private (0700, ours, no symbolic link): whoever could write a journal could have root undo
"changes" of his choosing.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from typing import Any

NAME = "prove-{0}.journal"
_RUN_FOLDER = "/run/strongroom"
MACHINE_LOCK = "machine.lock"
_FOLDER_TRIES = 5


class JournalError(Exception):
    """No safe place for a journal, or a journal that cannot be read."""


def places() -> list[str]:
    """Where journals may lie, best first."""
    if os.geteuid() == 0:
        return [_RUN_FOLDER, os.path.join(tempfile.gettempdir(), "strongroom-0")]
    user = os.geteuid()
    found = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        found.append(os.path.join(runtime, "strongroom"))
    found.append(os.path.join(tempfile.gettempdir(), f"strongroom-{user}"))
    return found


def private_folder(path: str, *, create: bool) -> bool:
    """True if `path` is a folder of ours that nobody else can enter; made first if wanted."""
    if create:
        try:
            os.mkdir(path, 0o700)
            os.chmod(path, 0o700)
        except FileExistsError:
            pass
        except OSError:
            return False
    try:
        status = os.lstat(path)  # lstat: a link put there by somebody else must not pass
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def folder() -> str:
    """The folder to use now."""
    for path in places():
        if private_folder(path, create=True):
            return path
    raise JournalError(
        "no private folder for the journal: " + " and ".join(places()) + " cannot be made or belong to others"
    )


def open_private(path: str, flags: int) -> int:
    """Create a file in a private folder; a run that ends may just have removed the empty folder: then once more."""
    for _ in range(_FOLDER_TRIES):
        if not private_folder(os.path.dirname(path), create=True):
            break
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    raise JournalError(f"{path} cannot be made")


def boot_id() -> str:
    """Which boot this is: pids mean nothing after another one."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; with the pid it names one process for good."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def is_starting(pid: int) -> bool:
    """Whether a process is in the middle of `execve`: it has its new memory, and not yet its environment there.

    `/proc/PID/environ` is empty then, as it is for a kernel thread, which has no program, and for a program started
    without an environment, which has a place for one: `env_end`, field 51 of `stat` (proc_pid_stat(5), man-pages
    6.10). To see the field takes what it takes to read the environment.
    """
    fields = _stat_fields(pid)
    if not fields or int(fields[48]) != 0:
        return False
    try:
        os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    return True


def _stat_fields(pid: int) -> list[bytes]:
    """The fields of a living process's `stat`, from the third on; none for one that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return []
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold spaces and brackets
    return [] if fields[0] in (b"Z", b"X") else fields


def path_for(marker: str) -> str:
    """Where a run's journal goes: known before it exists, so that the janitor can be started first."""
    return os.path.join(folder(), NAME.format(marker))


class Journal:
    """One run's journal, being written."""

    def __init__(self, path: str, marker: str) -> None:
        self.path = path
        self._file = open_private(path, os.O_WRONLY | os.O_EXCL | os.O_APPEND)
        self._count = 0
        pid = os.getpid()
        self._append({"run": marker, "pid": pid, "start": start_time(pid), "boot": boot_id()})

    def _append(self, record: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(record).encode() + b"\n")
        os.fsync(self._file)

    def record(self, change: dict[str, Any]) -> int:
        """Note a change that is about to be made; returns its number."""
        self._count += 1
        self._append({"number": self._count, **change})
        return self._count

    def undone(self, number: int) -> None:
        """Note that a change has been put back."""
        self._append({"undone": number})

    def close(self) -> None:
        """Stop writing; the janitor removes the file when nothing is left to undo."""
        os.close(self._file)


class Story:
    """A journal read back: who ran, and what is still to be undone (in the order in which it was done)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.run: dict[str, Any] = {}
        self.pending: list[dict[str, Any]] = []
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise JournalError(f"{path} is not ours")
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # a torn last line: its change was never begun
                if "run" in record:
                    self.run = record
                elif "undone" in record:
                    self.pending = [r for r in self.pending if r["number"] != record["undone"]]
                elif "number" in record:
                    self.pending.append(record)

    @property
    def is_alive(self) -> bool:
        """True while the prove that wrote it still runs."""
        if not self.run or self.run.get("boot") != boot_id():
            return False
        started = start_time(int(self.run["pid"]))
        return started is not None and started == self.run["start"]


def all_journals() -> list[str]:
    """Every journal in every place that is really ours."""
    found = []
    for place in places():
        if private_folder(place, create=False):
            found += [os.path.join(place, n) for n in sorted(os.listdir(place)) if n.endswith(".journal")]
    return found
