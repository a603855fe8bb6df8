"""strongroom prove: attack ordinary memory and strongroom's memory here and now, and show what was found."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from strongroom.cli.codes import OWN_ERROR
from strongroom.prove.model import TRIALS
from strongroom.report import json, table

if TYPE_CHECKING:
    from strongroom.prove.plan import Plan

NAME = "prove"
# What every trial reads in the end, and what only Linux has (proc(5)): asked for instead of the system's name.
_PAGE_TABLE = "/proc/self/pagemap"


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's."""
    parser = commands.add_parser(
        NAME, help="attack memory on this machine and show what was found",
        description="Puts tracers into ordinary memory and into strongroom's, lets the operating system and other "
        "processes loose on them, and shows what was found. Works without root; as root it does more. Announces "
        "what it changes, and puts it back.",
        epilog="Exit codes: 0 fine, 1 something leaked or was lost without a word, 2 usage, 3 incomplete (a control "
        "was not found, or an attack that should work here did not), 4 an error of our own.",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--wide", action="store_true", help="a column for every kind of memory")
    parser.add_argument(
        "--no-changes", action="store_true", help="change nothing that other programs could notice (less is tried)"
    )
    parser.add_argument("--only", metavar="TRIAL", action="append", choices=tuple(TRIALS), default=[], help=(
        "only this trial (may be repeated): " + ", ".join(TRIALS)))  # fmt: skip
    parser.add_argument(
        "--folder", metavar="PATH", type=_folder, help="where the run's own folder (cores, swap file) goes"
    )
    parser.add_argument(
        "--restore", action="store_true", help="put back what a run that was killed left behind, and do nothing else"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    if not (os.path.exists(_PAGE_TABLE) and hasattr(os, "fork")):  # Wine shows the file to Windows programs
        return _elsewhere(arguments)
    from strongroom.prove import journal, runner

    try:
        return _restore() if arguments.restore else _prove(arguments)
    except runner.Stopped as stopped:
        # Everything has been put back. Die by the signal itself, so that whoever called sees why we ended.
        sys.stdout.flush()
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
        return 128 + stopped.number
    except BrokenPipeError:
        raise  # not a failure of the proof: whoever read its output has left
    except (journal.JournalError, OSError) as error:
        sys.stderr.write(f"strongroom prove: {error}\n")
        return OWN_ERROR


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _version() -> str:
    import strongroom

    return str(getattr(strongroom, "__version__", "?"))


def _folder(path: str) -> str:
    """An existing folder, or a usage error before anything is announced."""
    if not os.path.isdir(path):
        raise argparse.ArgumentTypeError(
            f"{path!r} is not a folder: name one that exists, on a disk with room for a file"
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".strongroom-", dir=path))
    except OSError as error:  # read-only, somebody else's, or one of those that the kernel makes up
        raise argparse.ArgumentTypeError(
            f"{path!r} takes no folder of ours (mkdir: {error.strerror}): name one on a disk that you may write to"
        ) from None
    return path


def _prove(arguments: argparse.Namespace) -> int:
    from strongroom.prove import model, plan, present, runner

    options = plan.Options(arguments.no_changes, arguments.folder, tuple(arguments.only))
    told = sys.stderr if arguments.json else sys.stdout
    announced: list[Plan] = []

    def announce(what: Plan) -> None:
        announced.append(what)
        told.write(present.header(what.machine, _version(), _python()) + "\n" + present.announcement(what) + "\n")
        told.flush()

    def progress(title: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{title} …" if title else "\r\x1b[K")
            sys.stderr.flush()

    rows = runner.run(options, announce, progress)
    code = model.exit_code(rows)
    machine = announced[0].machine
    if arguments.json:
        json.write(present.as_object(rows, announced[0], machine, _version(), _python(), code), sys.stdout)
        return code
    sys.stdout.write(present.table(rows, table.painter(sys.stdout), wide=arguments.wide) + "\n")
    further = present.what_root_adds(machine, rows) + present.what_needs_no_lock(rows)
    sys.stdout.write(present.verdict(rows, code) + further)
    return code


def _restore() -> int:
    from strongroom.prove import restore

    settled, problems = restore.stale()
    for path in settled:
        sys.stdout.write(f"put back what was left by {path}\n")
    for problem in problems:
        sys.stderr.write(f"could not put back: {problem}\n")
    if not settled and not problems:
        sys.stdout.write("nothing to put back\n")
    return OWN_ERROR if problems else 0


def _elsewhere(arguments: argparse.Namespace) -> int:
    """Systems whose trials are not written yet: say so for each, and claim nothing."""
    from strongroom.prove import model, present

    rows = [model.not_tried(row_id, "needs Linux") for row_id in model.ROW_TITLES]
    code = model.exit_code(rows)
    if arguments.json:
        json.write(present.as_object(rows, None, None, _version(), _python(), code), sys.stdout)
    else:
        sys.stdout.write(present.table(rows, table.painter(sys.stdout), wide=arguments.wide) + "\n")
        sys.stdout.write(present.verdict(rows, code))
    return code
