"""Asking at the terminal, with echo off, into memory that the caller gives."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom._os import PLATFORM
from strongroom.exceptions import UnsupportedError

__all__ = ["LINE_MAX_SIZE", "ask"]

#: The longest line a Unix terminal hands over at once (termios(3), canonical mode: 4096 with its newline).
LINE_MAX_SIZE = 4096

_NO_TERMINAL = (
    "there is no terminal to ask at: run this from one, or take the secret from the environment (Secret.from_env) or a "
    "pipe (Secret.from_fd)"
)


def ask(prompt: str, view: _native.View) -> int:
    """Show ``prompt``, read one line with echo off straight into ``view`` and return its length without the newline.

    Raises:
        UnsupportedError: No terminal or console.
        EOFError: The terminal was closed before a line came.
        ValueError: The line is longer than the View.
    """
    if PLATFORM == "windows":
        return _ask_console(prompt, view)
    return _ask_tty(prompt, view)


def _ask_tty(prompt: str, view: _native.View) -> int:
    import termios

    try:
        tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise UnsupportedError(_NO_TERMINAL) from error
    try:
        before = termios.tcgetattr(tty)
        silent = before[:]
        silent[3] &= ~(termios.ECHO | termios.ECHOE | termios.ECHOK)
        silent[3] |= termios.ECHONL | termios.ICANON
        silent[0] |= termios.ICRNL  # a raw terminal sends a carriage return for Enter
        # TCSAFLUSH drops what was typed before the question: it was echoed.
        termios.tcsetattr(tty, termios.TCSAFLUSH, silent)
        try:
            os.write(tty, prompt.encode())
            return _read_line(tty, view)
        finally:
            termios.tcsetattr(tty, termios.TCSAFLUSH, before)
    finally:
        os.close(tty)


def _read_line(tty: int, view: _native.View) -> int:
    filled = 0
    while filled < len(view):
        with memoryview(view)[filled:] as rest:
            got = os.readv(tty, [rest])
        if got == 0 and filled == 0:
            raise EOFError("the terminal was closed before a line was typed")
        if got == 0:  # Ctrl-D twice ends a line without a newline
            return filled
        filled += got
        if view[filled - 1] == ord("\n"):
            break
    if filled < len(view):
        return filled - 1
    # The kernel drops what its line buffer does not hold: a line of just that length may be half of one.
    raise ValueError(f"the line is longer than {len(view) - 2:,} bytes")


def _require_console() -> None:
    try:
        os.close(os.open("CONIN$", os.O_RDWR))  # the console, whatever standard input is
    except OSError as error:
        raise UnsupportedError(_NO_TERMINAL) from error


#: What the C runtime gives in place of a key: no console any more (WEOF); the first of two codes of a function key.
#: Its other first code is that of the letter a with a grave accent, and cannot be told from it.
_NO_KEY, _FUNCTION_KEY = "\uffff", "\0"


def _ask_console(prompt: str, view: _native.View) -> int:
    import msvcrt

    getwch, putwch = msvcrt.getwch, msvcrt.putwch  # type: ignore[attr-defined, unused-ignore]
    _require_console()
    for character in prompt:
        putwch(character)
    filled = 0
    while True:
        key = getwch()
        if key in ("\r", "\n"):
            putwch("\n")
            return filled
        if key == "\x03":
            raise KeyboardInterrupt
        if key == _NO_KEY:
            raise EOFError("the console was closed before a line was typed")
        if key == _FUNCTION_KEY:
            getwch()
            continue
        if key == "\b":
            filled = _without_last(view, filled)
            continue
        if "\ud800" <= key <= "\udbff":  # beyond 16 bits, in two halves
            key = (key + getwch()).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        piece = key.encode("utf-8", "surrogatepass")
        if filled + len(piece) > len(view):
            raise ValueError(f"the line is longer than {len(view):,} bytes")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)


def _without_last(view: _native.View, filled: int) -> int:
    """Take the last UTF-8 character back: its continuation bytes are 10xxxxxx."""
    while filled > 0:
        filled -= 1
        is_continuation = view[filled] & 0xC0 == 0x80
        view[filled] = 0
        if not is_continuation:
            break
    return filled
