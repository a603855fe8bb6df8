"""When what is written through a view is on the disk: the image below a file system, read raw.

Not with O_DIRECT on the file: the kernel writes dirty pages out before it reads past them.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: loop devices", allow_module_level=True)

import loopmounted
from children import Live
from strongroom import AccessError, vm

pytestmark = loopmounted.as_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[loopmounted.Mounted]:
    with loopmounted.image(tmp_path, "ext2") as mounted:
        yield mounted


def alone(disk: loopmounted.Mounted, act: Callable[[Path], None]) -> None:
    """Do it with a new file, again if all that was dirty had been written meanwhile: another program's sync(2) does
    that, and the kernel where memory is short. Another file tells. A flush() that did it would do so each time."""
    for number in range(10):
        witness = secrets.token_bytes(32)
        (disk.at / f"witness {number}").write_bytes(witness)
        try:
            return act(disk.at / f"file {number}")
        except AssertionError:
            if disk.count(witness) == 0 or number == 9:
                raise
    return None


def test_flush_reaches_the_disk(disk: loopmounted.Mounted) -> None:
    """Before flush() the disk has nothing of it; after flush() of one page that page, and not the other."""

    def act(path: Path) -> None:
        first, second = secrets.token_bytes(32), secrets.token_bytes(32)
        with path.open("w+b") as file, vm.map_file(file, 0, 2 * vm.PAGE_SIZE) as view:
            view.write(0, first)
            view.write(vm.PAGE_SIZE, second)
            assert (disk.count(first), disk.count(second)) == (0, 0)
            view.flush(10, 1)
            assert (disk.count(first), disk.count(second)) == (1, 0)
            view.flush()
            assert disk.count(second) == 1

    alone(disk, act)


def test_what_a_killed_process_wrote(disk: loopmounted.Mounted) -> None:
    """SIGKILL of a file's last user before any flush: the file has it at once, the disk with somebody else's fsync."""
    alone(disk, lambda path: _killed(disk, path))


def _killed(disk: loopmounted.Mounted, path: Path) -> None:
    code = f"""
        from strongroom import vm
        with open({str(path)!r}, "w+b") as file:
            view = vm.map_file(file, 0, 5000)
        view.write(100, sys.stdin.buffer.read(32))
        print("written", flush=True)
        sys.stdin.readline()
    """
    written = secrets.token_bytes(32)
    with Live(code) as child:
        child.send(written)
        assert child.line() == "written"
    assert path.read_bytes() == bytes(100) + written + bytes(4868)
    assert disk.count(written) == 0
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    assert disk.count(written) == 1


def test_a_copied_page_is_never_on_the_files_disk(disk: loopmounted.Mounted) -> None:
    """What is written into a WRITE_COPY view does not get there, flushed, synced or unmapped."""
    mine = secrets.token_bytes(32)
    path = disk.at / "file"
    path.write_bytes(b"theirs" * 1000)
    with path.open("r+b") as file:
        with vm.map_file(file, protection=vm.WRITE_COPY) as view:
            view.write(0, mine)
            view.flush()
            os.fsync(file.fileno())
            assert view.read(0, 32) == mine
        os.fsync(file.fileno())
    assert (disk.count(mine), disk.count(b"theirs") > 900) == (0, True)


def test_a_full_disk_is_an_error(disk: loopmounted.Mounted) -> None:
    """A file that map_file made longer has no room on a full disk: write() raises. What was allocated first has it."""
    with (disk.at / "long").open("w+b") as long, (disk.at / "kept").open("w+b") as kept:
        view, allocated = vm.map_file(long, 0, 100_000), vm.map_file(kept, 0, 100_000)
        os.posix_fallocate(kept.fileno(), 0, 100_000)
        disk.fill()
        with view, allocated:
            assert view.read(50_000, 4) == bytes(4)
            with pytest.raises(AccessError, match="its disk is full"):
                view.write(50_000, b"1337")
            allocated.write(50_000, b"1337")
            allocated.flush()
            assert kept.read()[50_000:50_004] == b"1337"
