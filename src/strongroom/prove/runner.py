"""A whole run: announce, change, attack, put back.

In: options and somewhere to say things. Out: the rows. Whatever ends it (a finished run, an error, SIGINT,
SIGTERM, SIGHUP) goes through the same door: the janitor's pipe is closed and the janitor waited for. What ends
it without asking (SIGKILL) closes that pipe too.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from strongroom.prove import changes, journal, machine, plan, restore, spawn, undo
from strongroom.prove.bench import Bench
from strongroom.prove.handle import VictimError
from strongroom.prove.model import ROW_TITLES, TRIALS, Row, not_tried
from strongroom.prove.spawn import AttackError

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOCK_WAIT_SECONDS = 60.0
_JANITOR_SECONDS = 60.0


class Stopped(BaseException):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _stopping_by_signal() -> Iterator[None]:
    """The first signal unwinds; further ones must not disturb the cleaning up.

    What is ignored stays ignored (nohup(1), shells' background jobs); other threads cannot set handlers at all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Janitor:
    """The janitor process and the pipe that tells it when we are gone."""

    def __init__(self, journal_path: str, lock: int | None) -> None:
        self._journal_path = journal_path
        reading, self._writing = os.pipe()
        kept = (reading,) if lock is None else (reading, lock)
        try:
            self._process = subprocess.Popen(
                spawn.bare_command("janitor", journal_path, str(reading)), pass_fds=kept, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            )  # fmt: skip
        finally:
            os.close(reading)
        assert self._process.stdout is not None
        # Nothing is changed before it says that it is there.
        if self._process.stdout.readline() != b"ready\n":
            raise journal.JournalError("the janitor did not start")
        self._process.stdout.close()

    def finish(self) -> list[str]:
        """Let it go to work, and wait until it is done; returns what could not be put back."""
        os.close(self._writing)
        try:
            if self._process.wait(_JANITOR_SECONDS) == 0:
                return []
        except subprocess.TimeoutExpired:
            return [f"the janitor (process {self._process.pid}) is still at it"]
        return undo.settle(self._journal_path)  # it was killed, or needs another try


def run(options: plan.Options, announce: Callable[[plan.Plan], None], progress: Callable[[str], None]) -> list[Row]:
    """Do the trials. Raises Stopped after everything was put back, if a signal asked for it."""
    marker = secrets.token_hex(6)
    with _stopping_by_signal(), contextlib.ExitStack() as stack:
        wanted = plan.make(machine.Machine(), options, marker)
        lock = None
        if wanted.shared_changes:
            lock = stack.enter_context(changes.MachineLock(os.path.join(journal.folder(), journal.MACHINE_LOCK)))
            if not lock.take(0):
                progress("waiting for another strongroom prove")
            if not lock.take(_LOCK_WAIT_SECONDS):
                raise journal.JournalError("another strongroom prove is changing this machine and does not end")
        # Runs whose janitor died too: put their changes back before ours are planned on top of them.
        if any(restore.stale()) or lock is not None:
            wanted = plan.make(machine.Machine(), options, marker)
        announce(wanted)
        return _guarded(wanted, options, marker, lock, progress)


def _guarded(
    wanted: plan.Plan,
    options: plan.Options,
    marker: str,
    lock: changes.MachineLock | None,
    progress: Callable[[str], None],
) -> list[Row]:
    """Do the trials with the janitor watching; nothing is changed before it is there."""
    path = journal.path_for(marker)
    janitor = _Janitor(path, lock.descriptor if lock else None)
    try:
        book = journal.Journal(path, marker)
        try:
            return _trials(Bench(wanted, changes.Changes(book), marker), options, progress)
        finally:
            book.close()
    finally:
        if left := janitor.finish():
            raise journal.JournalError("could not put back: " + "; ".join(left))


def _trials(bench: Bench, options: plan.Options, progress: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    chosen = [name for name in TRIALS if plan.wants(options, name)]
    swapping = [name for name in chosen if name in plan.SWAPPING]
    on_disk = [name for name in chosen if name in plan.ON_DISK]
    with bench.changes.made(bench.plan.directory):
        with bench.swap_area() if swapping else contextlib.nullcontext():
            for name in swapping:
                if name not in on_disk:
                    rows += _one(bench, name, progress)
            with bench.disk_area() if on_disk else contextlib.nullcontext():
                for name in on_disk:
                    rows += _one(bench, name, progress)
        for name in chosen:
            if name not in swapping:
                rows += _one(bench, name, progress)
    progress("")
    return sorted(rows, key=lambda row: list(ROW_TITLES).index(row.id))


def _one(bench: Bench, name: str, progress: Callable[[str], None]) -> list[Row]:
    """One trial; its failure is a row that says so, and the others go on."""
    progress(ROW_TITLES[TRIALS[name][0]])
    begin = time.monotonic()
    try:
        rows: list[Row] = importlib.import_module(f"strongroom.prove.trials.{name}").run(bench)
    except (VictimError, AttackError, OSError) as error:
        rows = [not_tried(row_id, f"needs a look: {error}", is_incomplete=True) for row_id in TRIALS[name]]
    for row in rows:
        row.seconds = (time.monotonic() - begin) / len(rows)
    return rows
