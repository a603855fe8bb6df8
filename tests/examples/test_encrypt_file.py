"""examples/encrypt_file.py at a terminal of ours: what it writes, and what passphrase and key leave in its memory."""

import os
import runpy
import secrets
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: its terminals, and ptrace to hold a process in its last moment", allow_module_level=True)
pytest.importorskip(
    "cryptography", minversion="47", reason="needs cryptography >= 47, the first with _into: pip install '.[test]'"
)

import cryptography
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from children import DEADLINE_SECONDS, Live, _environment
from programs import BOUND, EXAMPLES, copies_in, forms_of, tell
from samples import made_of
from tracing import EVENT_EXIT, Traced

NAME = "encrypt_file.py"
#: The program's own process, with a terminal of its own before it begins.
AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
#: The usual way, and Argon2id into a View.
ORDINARY = """
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
passphrase = sys.stdin.readline().strip().encode()
key = Scrypt(salt=bytes.fromhex(sys.stdin.readline()), length=32, n=2**17, r=8, p=1).derive(passphrase)
print("ready", flush=True)
os.read(0, 1)
"""
ARGON2 = """
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
passphrase = Secret.build(44, take)
def fill(view):
    with passphrase.open() as typed:
        Argon2id(salt=bytes(16), length=32, iterations=3, lanes=4, memory_cost=65536).derive_into(typed, view)
key = Secret.build(32, fill)
print("ready", flush=True)
os.read(0, 1)
"""


class Typed(Traced):
    """The program at a pseudo terminal of ours."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_A_TERMINAL, str(slave), str(EXAMPLES / NAME), *arguments],
            env=_environment(BOUND),
            pass_fds=[slave],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(slave)
        self.pid = self.process.pid

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        os.close(self.master)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for_question(self) -> None:
        """Wait until it asks; it waits then, too."""
        shown = b""
        while b": " not in shown:
            ready, _, _ = select.select([self.master], [], [], DEADLINE_SECONDS)
            assert ready, f"the terminal shows {shown!r}"
            shown += os.read(self.master, 4096)

    def answer(self, passphrase: bytes, times: int) -> None:
        """Wait for each question and answer it."""
        for _ in range(times):
            self.wait_for_question()
            os.write(self.master, passphrase + b"\n")

    def told(self) -> tuple[int, str]:
        """Wait for the end and return the exit code and what the program says on standard error."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        return self.process.wait(DEADLINE_SECONDS), said


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """What the program defines."""
    return runpy.run_path(str(EXAMPLES / NAME))


def new_passphrase() -> bytes:
    """Return one that lies nowhere else."""
    return secrets.token_urlsafe(33).encode()


def test_while_it_reads_the_file_the_passphrase_is_nowhere(tmp_path: Path, example: dict[str, Any]) -> None:
    """The key is made, the file is not read yet: nothing of the passphrase is there, neither time it was typed."""
    passphrase, source, target = new_passphrase(), tmp_path / "source", tmp_path / "target"
    os.mkfifo(source)
    with Typed("encrypt", str(source), str(target)) as program:
        program.answer(passphrase, 2)
        with open(source, "wb") as pipe:  # opens when the program does
            found = copies_in(program.pid, forms_of(passphrase))
            pipe.write(b"the content")
        assert program.told() == (0, "")
    assert target.stat().st_mode & 0o777 == 0o600
    assert b"the content" not in target.read_bytes()
    assert example["decrypt"](made_of(passphrase), str(target)) == b"the content"
    assert found == {}


def test_in_its_last_moment_neither_passphrase_nor_key(
    tmp_path: Path, example: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Held when it is about to end, with all that the libraries freed: nothing. The usual way leaves both."""
    passphrase, plain, sealed = new_passphrase(), tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"the content")
    sealed.write_bytes(example["encrypt"](made_of(passphrase), str(plain)))
    salt = sealed.read_bytes()[8:24]
    key = Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase)
    with Typed("decrypt", str(sealed), str(tmp_path / "out")) as program:
        program.wait_for_question()
        program.seize()  # before it has an answer: once it has, nobody knows how soon it ends
        os.write(program.master, passphrase + b"\n")
        program.hold_at(EVENT_EXIT)
        found = copies_in(program.pid, forms_of(passphrase)), copies_in(program.pid, forms_of(key))
    assert (tmp_path / "out").read_bytes() == b"the content"
    with Live(ORDINARY) as child:
        child.send(b"%s\n%s\n" % (passphrase, salt.hex().encode()))
        assert child.line() == "ready"
        control = [copies_in(child.pid, {"whole": needle})["whole"] for needle in (passphrase, key)]
    tell(
        capsys,
        f"cryptography {cryptography.__version__}, copies of passphrase and key after Scrypt and ChaCha20Poly1305: "
        f"{found[0].total()} and {found[1].total()}; the usual way {control[0]} and {control[1]}",
    )
    assert found == ({}, {})
    assert min(control) >= 1


def test_why_it_is_not_argon2id(capsys: pytest.CaptureFixture[str]) -> None:
    """Argon2id from View to View leaves the passphrase; when this fails, the program should use it."""
    passphrase = new_passphrase()
    with Live(ARGON2) as child:
        child.send(passphrase)
        assert child.line() == "ready"
        found = copies_in(child.pid, forms_of(passphrase))
    tell(capsys, f"cryptography {cryptography.__version__}, copies of a passphrase after Argon2id: {found['whole']}")
    assert found["whole"] >= 1


def test_a_wrong_passphrase_and_a_changed_file(tmp_path: Path, example: dict[str, Any]) -> None:
    """One line, exit code 1, and no file is made."""
    plain, sealed, out = tmp_path / "plain", tmp_path / "sealed", tmp_path / "out"
    plain.write_bytes(b"the content")
    content = example["encrypt"](made_of(b"right"), str(plain))
    changed = content[:-1] + bytes([content[-1] ^ 1])
    for passphrase, stored, words in [
        (b"wrong", content, "not the passphrase"),
        (b"right", changed, "not the passphrase, or the file was changed"),
        (b"right", b"something else", "no file that this program encrypted"),
    ]:
        sealed.write_bytes(stored)
        with Typed("decrypt", str(sealed), str(out)) as program:
            program.answer(passphrase, 1)
            code, said = program.told()
        assert code == 1
        assert words in said
        assert said.count("\n") == 1
        assert not out.exists()


def test_two_different_answers_and_a_target_that_is_there(tmp_path: Path) -> None:
    """Nothing is written, and nothing that is there is written over."""
    plain, target = tmp_path / "plain", tmp_path / "target"
    plain.write_bytes(b"the content")
    with Typed("encrypt", str(plain), str(target)) as program:
        program.answer(b"one", 1)
        program.answer(b"another", 1)
        code, said = program.told()
    assert (code, said.count("\n"), target.exists()) == (1, 1, False)
    target.write_bytes(b"precious")
    with Typed("encrypt", str(plain), str(target)) as program:
        code, said = program.told()
    assert code == 1
    assert "there already" in said
    assert target.read_bytes() == b"precious"
