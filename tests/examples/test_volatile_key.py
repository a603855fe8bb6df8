"""examples/volatile_key.py where nothing can be locked: what it prints, where its secrets lie, what a loss does."""

import hashlib
import hmac
import os
import runpy
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: its lock limit, and another process's pages", allow_module_level=True)
pytest.importorskip(
    "cryptography", minversion="47", reason="needs cryptography >= 47, the first with _into: pip install '.[test]'"
)

import observed
import vanishing
from children import DEADLINE_SECONDS, Live
from programs import BOUND, EXAMPLES, copies_in, failure_of, forms_of
from strongroom import ContentsLostError, VolatileBuffer
from strongroom.prove.attackers import libc

NAME = "volatile_key.py"
COST = 10  # scrypt's N is 1,024: a MiB, and no time to speak of
#: The program with not a byte that may be locked; its errors with what it prints, in turn.
UNLOCKED = """
import runpy
children.limit_locks(0)
sys.argv = {argv!r}
os.dup2(1, 2)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ALL_OF_IT = {"whole": 1, "first half": 1, "second half": 1}


def key_of(passphrase: bytes, salt: bytes) -> bytes:
    """The same key, by Python's own scrypt."""
    return hashlib.scrypt(passphrase, salt=salt, n=2**COST, r=8, p=1, dklen=32)


def mac(key: bytes, content: bytes) -> str:
    """What the program should print of a content."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()


class Unlocked(Live):
    """The program, waiting for its second file: a FIFO."""

    def __init__(self, directory: Path) -> None:
        self.passphrase = secrets.token_urlsafe(33).encode()
        self.key = key_of(self.passphrase, b"salt")
        self.plain, self.pipe = directory / "plain", directory / "pipe"
        self.plain.write_bytes(b"the first")
        os.mkfifo(self.pipe)
        self.store = Path(tempfile.mkdtemp(prefix="strongroom-test-", dir=vanishing.disk_directory()))
        words = (EXAMPLES / NAME, "--salt", "salt", "--directory", self.store, "--cost", COST, self.plain, self.pipe)
        super().__init__(UNLOCKED.format(argv=[str(word) for word in words]), env=BOUND)
        self.send(self.passphrase + b"\n")

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.store.rmdir()

    def page(self) -> observed.Mapping:
        """The droppable page that the key lies in."""
        with observed.Memory(self.pid) as memory:
            return next(place for _, place in memory.find(self.key) if "dp" in place.flags)

    def drop_key(self) -> None:
        """Have the kernel drop that page, from each CPU in turn: one that just touched it keeps it for a moment."""
        page = self.page()
        allowed = os.sched_getaffinity(0)
        deadline = time.monotonic() + DEADLINE_SECONDS
        try:
            while copies_in(self.pid, {"key": self.key}):
                assert time.monotonic() < deadline, "the kernel keeps the page"
                for cpu in allowed:
                    os.sched_setaffinity(0, {cpu})
                    if libc.process_pageout(self.pid, [(page.start, page.end)]) < 0:
                        pytest.skip("needs CAP_SYS_NICE and ptrace's permission: pages out another process's memory")
        finally:
            os.sched_setaffinity(0, allowed)

    def finish(self) -> None:
        """Give it the second file."""
        self.pipe.write_bytes(b"the second")

    def ended(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(DEADLINE_SECONDS)


def test_where_nothing_can_be_locked_it_works_and_leaves_no_copy(tmp_path: Path) -> None:
    """Right MACs under a lock limit of 0; one copy of passphrase and key, in its buffer; the file has no name."""
    with Unlocked(tmp_path) as program:
        assert program.line() == f"{mac(program.key, b'the first')} {program.plain}"
        with observed.Memory(program.pid) as memory:
            places = [place for secret in (program.passphrase, program.key) for _, place in memory.find(secret)]
        found = [copies_in(program.pid, forms_of(secret)) for secret in (program.passphrase, program.key)]
        listed = os.listdir(program.store)
        program.finish()
        assert program.line() == f"{mac(program.key, b'the second')} {program.pipe}"
        assert program.ended() == 0
        assert os.listdir(program.store) == listed == []
    assert found == [ALL_OF_IT, ALL_OF_IT]
    assert [place.permissions[:3] for place in places] == ["---", "---"]
    assert not any("lo" in place.flags for place in places)


def test_a_key_that_the_kernel_drops_is_derived_anew(tmp_path: Path) -> None:
    """Dropped from outside between two files: one line says so, and the second MAC is right all the same."""
    vanishing.require("droppable")
    with Unlocked(tmp_path) as program:
        program.line()
        program.drop_key()
        program.finish()
        assert program.line() == "volatile_key: the key vanished; deriving it anew"
        assert program.line() == f"{mac(program.key, b'the second')} {program.pipe}"
        assert program.ended() == 0


@pytest.mark.parametrize("backing", ["droppable", "partial"])
def test_what_was_computed_while_it_vanished_is_thrown_away(backing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped within the block, before the key is read: the MAC of zeros is computed and never returned."""
    vanishing.require(backing)
    example = runpy.run_path(str(EXAMPLES / NAME))
    computed: list[bytes] = []

    class Hmac:
        @staticmethod
        def digest(key: Any, content: bytes, kind: str) -> bytes:
            if len(computed) < losses:
                vanishing.drop(buffer)
            computed.append(hmac.digest(key, content, kind))
            return computed[-1]

    monkeypatch.setitem(example["mac_of"].__globals__, "hmac", Hmac)
    key = secrets.token_bytes(32)
    with VolatileBuffer(32, backing=backing, rebuild=lambda view: view.__setitem__(slice(None), key)) as buffer:
        losses = 1
        assert example["mac_of"](buffer, b"content") == mac(key, b"content")
        assert [code.hex() for code in computed[:2]] == [mac(bytes(32), b"content"), mac(key, b"content")]
        losses = sys.maxsize
        with pytest.raises(ContentsLostError, match="5 times"):
            example["mac_of"](buffer, b"content")


def test_it_reads_one_line_and_no_more(tmp_path: Path) -> None:
    """The newline ends it, at the most bytes too; what comes behind stays in the pipe."""
    read_line = runpy.run_path(str(EXAMPLES / NAME))["read_line"]
    reading, writing = os.pipe()
    try:
        for line, size in ((b"abc\n", 8), (b"seven..\n", 8)):
            os.write(writing, line + b"X")
            view = bytearray(size)
            read_line(reading, memoryview(view))
            assert view == line.ljust(size, b"\0")
            assert os.read(reading, 10) == b"X"
        os.write(writing, b"\n")
        with pytest.raises(ValueError, match="empty"):
            read_line(reading, memoryview(bytearray(8)))
        os.write(writing, b"eight...\n")
        with pytest.raises(ValueError, match="at most 7 bytes"):
            read_line(reading, memoryview(bytearray(8)))
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        *(("--cost", value, f"not {value}: of scrypt, a power of") for value in ("-1", "9", "25", "31", "1000", "ten")),
        ("--salt", "", "empty"),
    ],
)
def test_wrong_options_are_told_before_anybody_is_asked(option: str, value: str, words: str) -> None:
    """Exit code 2 and what may be given, without a traceback; nothing is read."""
    given = {"--salt": "a", "--directory": vanishing.disk_directory(), option: value}
    command = [sys.executable, str(EXAMPLES / NAME), *(word for pair in given.items() for word in pair), "file"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: " in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cost_that_the_machine_has_no_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, as for anything else: what scrypt raises then is a MemoryError."""
    example = runpy.run_path(str(EXAMPLES / NAME))

    class Short:
        def __init__(self, **_parameters: Any) -> None:
            raise MemoryError("not enough")

    monkeypatch.setitem(example["deriving"].__globals__, "Scrypt", Short)
    with pytest.raises(ValueError, match="has no memory for --cost 24"), VolatileBuffer(32) as buffer:
        buffer.build(example["deriving"](buffer, b"salt", 24))


def test_what_goes_wrong_is_one_line() -> None:
    """No passphrase, an empty one, no such directory, a directory in memory."""
    rest = ["--cost", str(COST), "file"]
    assert "ended before" in failure_of(NAME, "--salt", "a", "--directory", vanishing.disk_directory(), *rest)
    disk = ("--salt", "a", "--directory", vanishing.disk_directory())
    assert "the passphrase is empty" in failure_of(NAME, *disk, *rest, data="\n")
    assert "open(directory)" in failure_of(NAME, "--salt", "a", "--directory", "/nowhere", *rest)
    if os.path.isdir("/dev/shm"):
        assert "lies in memory" in failure_of(NAME, "--salt", "a", "--directory", "/dev/shm", *rest)
