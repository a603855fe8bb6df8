"""strongroom map: a process's address space as a picture, as lines, as JSON or as a page."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from strongroom.cli.codes import OWN_ERROR

NAME = "map"
INCOMPLETE = 3
USAGE = 2
_LARGEST_PID = (1 << 31) - 1


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's."""
    parser = commands.add_parser(
        NAME, help="show what is in a process's memory",
        description="Shows a process's address space as a picture: what is mapped, what of it is in memory and in "
        "swap, and what is locked, secret, secured or left out of dumps. Reads no contents.",
        epilog="Exit codes: 0 fine, 2 usage or no such process, 3 something could not be read (what, and what "
        "everybody may read, is said), 4 an error of our own. Addresses help whoever attacks that process while it "
        "runs: --no-addresses leaves them out.",
    )  # fmt: skip
    parser.add_argument("process", metavar="PID|self", type=_process, help="a process's number; self is this command")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--regions", action="store_true", help="a line for each region instead of the picture")
    forms.add_argument("--json", action="store_true", help="one JSON object on standard output")
    forms.add_argument(
        "--html", metavar="FILE", type=_file, help="the picture and every region as a page; - is standard output"
    )
    parser.add_argument("--no-addresses", action="store_true", help="leave out addresses and the sizes of large gaps")
    parser.set_defaults(run=run)


def _process(words: str) -> int | None:
    """A process's number, or None for this one."""
    if words == "self":
        return None
    if not (words.isascii() and words.isdigit() and 1 <= int(words[:20]) <= _LARGEST_PID):
        raise argparse.ArgumentTypeError(f"{words!r} is no process: give its number, or self")
    return int(words)


def _file(path: str) -> str:
    """A file that could be written, or a usage error before anything is read."""
    if path == "-":
        return path
    if not path or os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or "."):
        raise argparse.ArgumentTypeError(f"{path!r} is no place for a file: name one in a folder that exists")
    if os.path.islink(path):  # whoever put it there chose what would be overwritten
        raise argparse.ArgumentTypeError(f"{path!r} is a symbolic link: name the file itself, or - for standard output")
    return path


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    from strongroom import StrongroomError, UnsupportedError
    from strongroom.cli import mapping

    try:
        account = mapping.read(arguments.process, has_places=not (arguments.json or arguments.regions))
        code = INCOMPLETE if account.is_incomplete else 0
        mapping.show(account, arguments, code)
    except BrokenPipeError:
        raise  # whoever read it has left
    except ProcessLookupError as error:
        return _failed(error, USAGE)
    except UnsupportedError as error:
        return _failed(error, INCOMPLETE)
    except (OSError, StrongroomError) as error:
        return _failed(error, OWN_ERROR)
    return code


def _failed(error: Exception, code: int) -> int:
    words = getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    sys.stderr.write(f"strongroom map: {name + ': ' if isinstance(name, str) else ''}{words}\n")
    return code
