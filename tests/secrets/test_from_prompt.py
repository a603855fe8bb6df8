"""Secret.from_prompt through a real terminal: echo off, straight into locked memory, restored whatever happens."""

import os
import select
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import pytest

if sys.platform == "win32":
    pytest.skip("needs a Unix terminal: tests/windows asks at the console", allow_module_level=True)

import termios

import needs
from children import DEADLINE_SECONDS, _command, _environment, wait_for_state
from observed import Memory

_TAKE_TERMINAL = """
import fcntl, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
"""


class Terminal:
    """A child whose controlling terminal is a pseudo terminal of ours; its standard streams are pipes."""

    def __init__(self, code: str) -> None:
        self.master, slave = os.openpty()
        command = _command("")
        command[-1] += _TAKE_TERMINAL + code
        self.process = subprocess.Popen(
            [*command, str(slave)],
            env=_environment(None),
            pass_fds=[slave],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(slave)
        self.shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.master)

    def wait_for(self, text: bytes) -> None:
        """Read the screen until it shows a text that was not there before."""
        seen = b""
        while text not in seen:
            ready, _, _ = select.select([self.master], [], [], DEADLINE_SECONDS)
            assert ready, f"the terminal shows {seen!r}, not {text!r}"
            try:
                seen += os.read(self.master, 4096)
            except OSError:  # the child is gone
                raise AssertionError(self.process.communicate()[1].decode()) from None
        self.shown += seen

    def type(self, text: bytes) -> None:
        """Press keys."""
        for start in range(0, len(text), 512):
            os.write(self.master, text[start : start + 512])
            if len(text) > 512:
                time.sleep(0.005)  # the line discipline drops what comes faster than it is read

    def echoes(self) -> bool:
        """Whether the terminal echoes now."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def wait_reading(self) -> None:
        """Wait until the child, which has asked, waits for keys.

        Python sees a signal before it calls readv(2) or because that is interrupted: in the moment between it does not,
        nor does any program of Python's.
        """
        assert not self.echoes()
        if needs.LINUX:
            wait_for_state(self.process.pid, "S")
        else:
            time.sleep(0.5)

    def line(self) -> str:
        """Return the next line of standard output."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_SECONDS)
        assert ready, "the child said nothing"
        return self.process.stdout.readline().decode().strip()

    def end(self) -> tuple[int, str, str]:
        """Return exit code, the rest of standard output, and standard error; ``shown`` is all of the screen then."""
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.shown += os.read(self.master, 4096)
            except OSError:  # the end: nobody has the terminal any more
                break
        return self.process.returncode, out.decode().strip(), err.decode()


MARK = b"prompt-mark-3141592653"


def test_what_is_typed_is_the_secret_and_is_not_shown() -> None:
    """Echo is off while typing and on again afterwards; the screen has the question and a line end only."""
    with Terminal("secret = Secret.from_prompt('Passphrase: '); print(len(secret), secret == b'geheim')") as terminal:
        terminal.wait_for(b"Passphrase: ")
        assert not terminal.echoes()
        terminal.type(b"geheim\n")
        assert terminal.end()[:2] == (0, "6 True")
        assert terminal.echoes()
        assert terminal.shown == b"Passphrase: \r\n"


def test_every_setting_is_restored() -> None:
    """Not echo alone: the terminal's settings are as before, byte by byte."""
    with Terminal("print(len(Secret.from_prompt()), flush=True); sys.stdin.readline()") as terminal:
        before = termios.tcgetattr(terminal.master)
        terminal.wait_for(b"Secret: ")
        terminal.type(b"abc\n")
        assert terminal.line() == "3"
        assert termios.tcgetattr(terminal.master) == before


def test_control_ordinary_input_is_shown() -> None:
    """The same terminal echoes what input() asks for."""
    with Terminal("sys.stdin = open('/dev/tty'); print(len(input()))") as terminal:
        assert terminal.echoes()
        terminal.type(b"visible\n")
        assert terminal.end()[1] == "7"
        assert terminal.shown == b"visible\r\n"


@pytest.mark.parametrize("answer", [b"\x03", b"half typed\x03"])
def test_ctrl_c_restores_the_terminal(answer: bytes) -> None:
    """KeyboardInterrupt arrives, echo is on again, and the library still works."""
    code = """
try:
    Secret.from_prompt()
except KeyboardInterrupt:
    print("interrupted", len(Secret.random(3).reveal()), flush=True)
    sys.stdin.readline()
"""
    with Terminal(code) as terminal:
        terminal.wait_for(b"Secret: ")
        terminal.wait_reading()
        terminal.type(answer)
        assert terminal.line() == "interrupted 3"
        assert terminal.echoes()


def test_what_was_typed_before_the_question_is_dropped() -> None:
    """It was echoed, so it is no secret."""
    code = "print('up', flush=True); sys.stdin.readline(); print(Secret.from_prompt().reveal())"
    with Terminal(code) as terminal:
        assert terminal.line() == "up"
        terminal.type(b"too early\n")
        terminal.wait_for(b"too early\r\n")  # the kernel hands on what is typed in its own time
        assert terminal.process.stdin is not None
        terminal.process.stdin.write(b"\n")
        terminal.process.stdin.flush()
        terminal.wait_for(b"Secret: ")
        terminal.type(b"in time\n")
        assert terminal.end()[1] == "b'in time'"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (b"\n", "ValueError"),
        (b"\x04", "EOFError"),
        (b"abc\x7f\x7fxy\n", "b'axy'"),
        (b"caf\xc3\xa9\n", repr("café".encode())),
        (b"ab\x04\x04", "b'ab'"),
        (b"x" * 4094 + b"\n", repr(b"x" * 4094)),
    ],
)
def test_edges_of_a_line(typed: bytes, told: str) -> None:
    """Nothing typed, end of file, corrections, text that is not ASCII, the longest line."""
    code = """
try:
    print(Secret.from_prompt().reveal())
except (ValueError, EOFError) as error:
    print(type(error).__name__)
"""
    with Terminal(code) as terminal:
        terminal.wait_for(b"Secret: ")
        terminal.type(typed)
        assert terminal.end()[1] == told
        assert terminal.echoes()


def test_a_line_that_the_terminal_cuts_is_refused() -> None:
    """The kernel drops what goes beyond its line buffer: half a secret must not pass for a whole one."""
    code = """
try:
    print(len(Secret.from_prompt()))
except ValueError as error:
    print("refused", "xxx" in str(error))
"""
    with Terminal(code) as terminal:
        terminal.wait_for(b"Secret: ")
        terminal.type(b"x" * 5000 + b"\n")
        assert terminal.end()[1] == "refused False"


@pytest.mark.parametrize(("second", "told"), [(b"same\n", "4"), (b"other\n", "refused")])
def test_asking_twice(second: bytes, told: str) -> None:
    """Equal answers make the secret; different ones are a ValueError that holds neither."""
    code = """
try:
    print(len(Secret.from_prompt("New: ", confirm=True)))
except ValueError as error:
    text = str(error) + repr(error.__context__)
    print("leaked" if "same" in text or "other" in text else "refused")
"""
    with Terminal(code) as terminal:
        terminal.wait_for(b"New: ")
        terminal.type(b"same\n")
        terminal.wait_for(b"Again, New: ")
        terminal.type(second)
        assert terminal.end()[1] == told


def test_without_a_terminal_it_says_so() -> None:
    """No controlling terminal (a service, a container without -t): UnsupportedError with other ways, at once."""
    code = "\ntry:\n    Secret.from_prompt()\nexcept UnsupportedError as error:\n    print(error)\n"
    done = subprocess.run(
        _command(code), env=_environment(None), start_new_session=True, capture_output=True, text=True, check=True
    )
    assert "Secret.from_env" in done.stdout


@pytest.mark.parametrize("kind", ["from_prompt", "input"])
def test_a_second_process_finds_nothing_of_what_was_typed(kind: str) -> None:
    """The child's whole memory is searched after the answer; input() leaves it there (control)."""
    ask = "Secret.from_prompt()" if kind == "from_prompt" else "open('/dev/tty').readline()"
    with Terminal(f"kept = {ask}; print('ready', len(kept), flush=True); sys.stdin.readline()") as terminal:
        if kind == "from_prompt":
            terminal.wait_for(b"Secret: ")
        terminal.type(MARK + b"\n")
        assert terminal.line().startswith("ready")
        with Memory(terminal.process.pid) as memory:
            found = memory.count(MARK)
    assert (found > 0) == (kind == "input")


def test_the_child_dies_of_ctrl_c_like_any_program() -> None:
    """Unhandled, the process ends by SIGINT, with the terminal as it was."""
    with Terminal("Secret.from_prompt()") as terminal:
        terminal.wait_for(b"Secret: ")
        terminal.wait_reading()
        terminal.type(b"\x03")
        assert terminal.end()[0] == -signal.SIGINT
        assert terminal.echoes()


def test_this_interpreter_is_the_childs() -> None:
    """Control: the children above run what is installed here."""
    assert _command("")[0] == sys.executable
