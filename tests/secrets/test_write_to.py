"""Secret.write_to: all of it goes out, through whatever takes it in pieces."""

import io
import os
import threading
from pathlib import Path

import pytest

import needs
from children import Live
from observed import Memory
from samples import made_of
from strongroom import DestroyedError, Secret


@pytest.mark.parametrize("size", [1, 4096, 300_000])
def test_through_a_pipe(size: int) -> None:
    """More than the pipe holds arrives whole; the length comes back."""
    content = os.urandom(size)
    reading, writing = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    assert made_of(content).write_to(writing) == size
    os.close(writing)
    reader.join()
    assert got == [content]


def test_into_an_open_file(tmp_path: Path) -> None:
    """Whatever has a descriptor will do."""
    with (tmp_path / "out").open("wb") as file:
        assert made_of(b"token").write_to(file) == 5
    assert (tmp_path / "out").read_bytes() == b"token"


def test_back_and_forth() -> None:
    """What one process writes another makes a secret of."""
    reading, writing = os.pipe()
    secret = Secret.random(32)
    secret.write_to(writing)
    os.close(writing)
    assert Secret.from_fd(reading) == secret
    os.close(reading)


def test_what_cannot_be_written() -> None:
    """A destroyed secret, a closed descriptor, something else: each its own error."""
    secret = Secret.random(8)
    with pytest.raises(OSError):  # noqa: PT011
        secret.write_to(987654)
    for wrong in ("path", None, io.BytesIO()):
        with pytest.raises(TypeError, match="file descriptor"):
            secret.write_to(wrong)  # type: ignore[arg-type]
    secret.destroy()
    with pytest.raises(DestroyedError):
        secret.write_to(1)


@needs.linux
def test_a_second_process_finds_no_copy_left_behind() -> None:
    """The whole process is searched after writing; after reveal() it is there (control)."""
    with Live("""
        secret = Secret.build(40, take)
        os.read(0, 1)
        with open(os.devnull, "wb") as null:
            print(secret.write_to(null.fileno()), flush=True)
        os.read(0, 1)
        kept = secret.reveal()
        print(len(kept), flush=True)
        os.read(0, 1)
    """) as child:
        mark = b"out-mark-1732050807-not-found-elsewhere!"
        child.send(mark)
        child.go()
        assert child.line() == "40"
        with Memory(child.pid) as memory:
            assert memory.count(mark) == 0
            child.go()
            assert child.line() == "40"
            assert memory.count(mark) > 0
