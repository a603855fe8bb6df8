"""The `strongroom` command: one file per sub-command, `main(argv) -> exit code`.

Exit codes of every sub-command: 0 fine, 1 found or leaked, 2 usage, 3 incomplete, 4 an error of our own.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence

from strongroom.cli import map as map_command
from strongroom.cli import prove
from strongroom.cli.codes import OWN_ERROR

__all__ = ["OWN_ERROR", "main", "parser"]

_COMMANDS = (prove, map_command)


def parser() -> argparse.ArgumentParser:
    """Return the whole command line's parser."""
    top = argparse.ArgumentParser(
        prog="strongroom", description="Secrets in protected memory, and the proof on this machine."
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments without the program's name; None means sys.argv.

    Returns:
        The exit code. Usage errors end in argparse's SystemExit(2).
    """
    if sys.stdout is None:  # how Python starts where it is closed
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lasts
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode gets "?", not a traceback
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()  # here, where a reader that has left can still be told apart from an error of ours
    except BrokenPipeError:
        _drop_output()  # whoever read it has left
        return OWN_ERROR
    except Exception:  # Python's own exit code for it, 1, would say "leaked"
        traceback.print_exc()
        try:
            sys.stdout.flush()
        except OSError:  # it may have been this that failed: a full disk
            _drop_output()
        return OWN_ERROR
    return code


def _drop_output() -> None:
    """Python flushes once more at exit, and would fail again: give it somewhere to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Closed(io.TextIOBase):
    """A standard output that is closed: what is written fails, as on a full disk, and is not lost without a word."""

    def write(self, text: str, /) -> int:  # noqa: ARG002 - it is lost
        raise OSError(errno.EBADF, "standard output is closed")
