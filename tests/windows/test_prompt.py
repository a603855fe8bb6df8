"""Secret.from_prompt at the console: what each key does, and what is said where there is no console."""

import sys
from collections.abc import Iterable, Iterator

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import msvcrt

from children import run
from strongroom import Secret
from strongroom._os import terminal


class Console:
    """A keyboard that types keys, one UTF-16 unit at a time as the runtime gives them, and a screen."""

    def __init__(self, keys: str) -> None:
        data = keys.encode("utf-16-le", "surrogatepass")
        self.keys: Iterator[str] = iter(
            [chr(int.from_bytes(data[i : i + 2], "little")) for i in range(0, len(data), 2)]
        )
        self.shown = ""

    def getwch(self) -> str:
        """Return the next key."""
        return next(self.keys)

    def putwch(self, character: str) -> None:
        """Show a character."""
        self.shown += character


def asked(monkeypatch: pytest.MonkeyPatch, keys: str, **arguments: bool) -> tuple[Secret, Console]:
    """Return what typing these keys makes."""
    console = Console(keys)
    monkeypatch.setattr(msvcrt, "getwch", console.getwch)
    monkeypatch.setattr(msvcrt, "putwch", console.putwch)
    monkeypatch.setattr(terminal, "_require_console", lambda: None)
    return Secret.from_prompt("Key: ", **arguments), console


LINES: Iterable[tuple[str, str]] = [
    ("hunter2\r", "hunter2"),
    ("hunter2\n", "hunter2"),
    ("gehx\beim\r", "geheim"),
    ("\b\bab\r", "ab"),
    ("caf\u00e9\bes\r", "cafes"),
    ("a\U0001f512b\r", "a\U0001f512b"),
    ("a\U0001f512\bb\r", "ab"),
    ("a\x00;b\r", "ab"),
    ("\u00e0b\r", "\u00e0b"),
]


@pytest.mark.parametrize(("keys", "text"), LINES)
def test_keys_become_the_text(monkeypatch: pytest.MonkeyPatch, keys: str, text: str) -> None:
    """Enter ends, backspace takes a whole character back, one beyond 16 bits is one, F1 (two codes) is none."""
    secret, console = asked(monkeypatch, keys)
    assert secret.reveal() == text.encode()
    assert console.shown == "Key: \n"


def test_ctrl_c_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does on Unix, where the terminal sends the signal."""
    with pytest.raises(KeyboardInterrupt):
        asked(monkeypatch, "abc\x03")


def test_a_console_that_goes_away_is_an_eof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime says so with a code that is no character; it must not fill the secret."""
    with pytest.raises(EOFError):
        asked(monkeypatch, "abc\uffff")


def test_nothing_typed_and_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are ValueErrors without the content."""
    with pytest.raises(ValueError, match="nothing"):
        asked(monkeypatch, "\r")
    with pytest.raises(ValueError, match="longer than") as caught:
        asked(monkeypatch, "x" * (terminal.LINE_MAX_SIZE + 1) + "\r")
    assert "xx" not in str(caught.value)


def test_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal answers make the secret, different ones do not."""
    assert asked(monkeypatch, "abc\rabc\r", confirm=True)[0].reveal() == b"abc"
    with pytest.raises(ValueError, match="differ"):
        asked(monkeypatch, "abc\rabd\r", confirm=True)


def test_without_a_console_it_says_so() -> None:
    """A service has none: UnsupportedError that names the other ways, at once."""
    result = run("""
        ctypes.windll.kernel32.FreeConsole()
        try:
            Secret.from_prompt()
        except UnsupportedError as error:
            print("from_env" in str(error))
    """)
    assert result.out.split() == ["True"], result
