"""Secret.from_fd, from_file and from_credential: straight into locked memory, to the end and not beyond a limit."""

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from children import Live
from observed import Memory
from strongroom import Secret

CONTENT = b"file-mark-1414213562-not-found-elsewhere"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that only its owner may read."""
    file = tmp_path / "token"
    file.write_bytes(CONTENT)
    file.chmod(0o600)
    return file


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Where to read and where to write."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:  # closed by the test
            continue


@pytest.mark.parametrize("size", [1, 32, 4077, 4080, 4096, 100_000, 1 << 20])
def test_a_file_of_any_size(tmp_path: Path, size: int) -> None:
    """All of it, unchanged, as long as it is."""
    file = tmp_path / "big"
    file.write_bytes(os.urandom(size))
    file.chmod(0o600)
    assert Secret.from_file(file).reveal() == file.read_bytes()
    assert Secret.from_file(str(file), max_size=size) == file.read_bytes()


def test_more_than_is_allowed(path: Path, pipe: tuple[int, int]) -> None:
    """The limit is named, the content is not; one byte less is too much, the exact size is not."""
    for size in (1, len(CONTENT) - 1):
        with pytest.raises(ValueError, match=f"more than {size} bytes") as caught:
            Secret.from_file(path, max_size=size)
        assert "mark" not in str(caught.value)
    assert Secret.from_file(path, max_size=len(CONTENT)) == CONTENT
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ValueError, match="more than 1,048,576 bytes"):
        Secret.from_file(path)
    os.write(pipe[1], b"x" * 4078)
    os.close(pipe[1])
    with pytest.raises(ValueError, match="more than 4,077 bytes"):
        Secret.from_fd(pipe[0])


@pytest.mark.parametrize("size", [1, 100, 4077, 10_000])
def test_a_pipe_in_pieces(pipe: tuple[int, int], size: int) -> None:
    """Read until the other side closes it, however it is cut."""
    content = os.urandom(size)

    def write() -> None:
        for start in range(0, size, 999):
            os.write(pipe[1], content[start : start + 999])
        os.close(pipe[1])

    writer = threading.Thread(target=write)
    writer.start()
    secret = Secret.from_fd(pipe[0], max_size=None if size <= 4077 else size)
    writer.join()
    assert secret == content
    assert os.fstat(pipe[0])


@pytest.mark.parametrize(
    ("written", "kept"),
    [(b"a\n", b"a"), (b"a\r\n", b"a"), (b"a\n\n", b"a\n"), (b"a", b"a"), (b"a\r", b"a\r"), (b"\n\r\n", b"\n")],
)
def test_one_newline_goes_where_that_is_wanted(path: Path, written: bytes, kept: bytes) -> None:
    """One, of either kind; without the wish nothing goes. It does not count against the limit."""
    path.write_bytes(written)
    assert Secret.from_file(path, strip_newline=True) == kept
    assert Secret.from_file(path) == written
    assert Secret.from_file(path, strip_newline=True, max_size=len(kept)) == kept


@pytest.mark.parametrize("written", [b"", b"\n", b"\r\n"])
def test_nothing_in_it(path: Path, written: bytes) -> None:
    """An empty secret is a mistake in the deployment."""
    path.write_bytes(written)
    with pytest.raises(ValueError, match="nothing to read"):
        Secret.from_file(path, strip_newline=True)


@needs.unix
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_file_for_everybody_is_refused_unless_told(path: Path, mode: int) -> None:
    """The error names file, mode and both remedies; the content is not read."""
    path.chmod(mode)
    with pytest.raises(PermissionError, match=f"mode {mode:04o}.*chmod o=.*allow_others=True") as caught:
        Secret.from_file(path)
    assert caught.value.filename == str(path)
    assert Secret.from_file(path, allow_others=True) == CONTENT


@needs.unix
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_file_of_its_owner_and_group_is_taken(path: Path, mode: int) -> None:
    """As Kubernetes and Docker hand them to a service."""
    path.chmod(mode)
    assert Secret.from_file(path) == CONTENT


def test_what_is_no_file(tmp_path: Path) -> None:
    """The system's own errors, with the path."""
    with pytest.raises(FileNotFoundError) as caught:
        Secret.from_file(tmp_path / "absent")
    assert "absent" in str(caught.value)
    for allow_others in (True, False):
        with pytest.raises((IsADirectoryError, PermissionError)):  # the second is Windows'
            Secret.from_file(tmp_path, allow_others=allow_others)
    with pytest.raises(OSError):  # noqa: PT011
        Secret.from_fd(987654)


@pytest.mark.parametrize("size", [0, -1])
def test_a_limit_that_makes_no_sense(path: Path, size: int) -> None:
    """Named."""
    with pytest.raises(ValueError, match=f"max_size must be 1 or more bytes, not {size}"):
        Secret.from_file(path, max_size=size)


@needs.unix
def test_a_descriptor_that_does_not_wait(pipe: tuple[int, int]) -> None:
    """BlockingIOError with the remedy, and what came before it is not lost to a half secret."""
    os.set_blocking(pipe[0], False)
    with pytest.raises(BlockingIOError, match="make it a blocking one"):
        Secret.from_fd(pipe[0])


@needs.linux
def test_a_file_that_says_it_is_empty() -> None:
    """Files in /proc have a size of 0 and content."""
    with open("/proc/sys/kernel/ostype", "rb") as file:
        assert Secret.from_file("/proc/sys/kernel/ostype", allow_others=True) == file.read()


@needs.unix
def test_a_named_pipe(tmp_path: Path) -> None:
    """A path that is no file either: read to its end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    writer = threading.Thread(target=lambda: fifo.write_bytes(CONTENT))
    writer.start()
    assert Secret.from_file(fifo) == CONTENT
    writer.join()


def test_descriptors_are_given_back(path: Path) -> None:
    """The file is closed whether it was taken or refused; what came as a descriptor stays open."""
    gc.collect()  # what other tests left would give descriptors back in the middle of this one
    probe = os.open(path, os.O_RDONLY)
    os.close(probe)
    for size in (1, None):
        try:
            Secret.from_file(path, max_size=size)
        except ValueError:
            continue
    again = os.open(path, os.O_RDONLY)
    assert again == probe
    assert Secret.from_fd(again) == CONTENT
    os.close(again)


def test_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the directory that systemd names; without one, and without that credential, the error says which."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(KeyError, match=r"CREDENTIALS_DIRECTORY is not set.*LoadCredential="):
        Secret.from_credential("token")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(KeyError, match=r"no credential 'token'.*LoadCredential="):
        Secret.from_credential("token")
    (tmp_path / "token").write_bytes(CONTENT + b"\n")
    (tmp_path / "token").chmod(0o400)
    assert Secret.from_credential("token", strip_newline=True) == CONTENT
    with pytest.raises(ValueError, match="pass a larger max_size="):
        Secret.from_credential("token", max_size=3)


@pytest.mark.parametrize("name", ["", "../token", "a/b", "..", ".", "a\0b", None, b"token"])
def test_a_credential_by_another_name(name: object) -> None:
    """What cannot be one is refused before any path is made of it."""
    with pytest.raises(ValueError, match="name of a credential"):
        Secret.from_credential(name)  # type: ignore[arg-type]


@needs.linux
def test_a_second_process_finds_it_nowhere_else(path: Path) -> None:
    """The whole process is searched after from_file; with Python's own reading it is there (control)."""
    with Live(f"""
        secret = Secret.from_file({str(path)!r})
        print(len(secret), flush=True)
        os.read(0, 1)
        with open({str(path)!r}, "rb") as file:
            kept = file.read()
        print(len(kept), flush=True)
        os.read(0, 1)
    """) as child:
        assert child.line() == str(len(CONTENT))
        with Memory(child.pid) as memory:
            assert memory.count(CONTENT) == 0
            child.go()
            assert child.line() == str(len(CONTENT))
            assert memory.count(CONTENT) > 0
