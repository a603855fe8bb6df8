"""FileBuffer seen from below: what lies on the raw device while it lives, and after each kind of end. As root."""

import os
import signal
from collections.abc import Iterator

import pytest

import loopmounted
from children import Live
from loopmounted import Mounted, as_root
from strongroom import FileBuffer

pytestmark = as_root
COUNT = 300
_WORDS = (b"heron", b"gable")


def needle() -> bytes:
    """Two words and what no disk holds by chance."""
    return b" ".join((*_WORDS, os.urandom(12).hex().encode()))


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """A small file system of one's own; each test looks for a needle of its own."""
    with loopmounted.image(tmp_path_factory.mktemp("raw")) as mounted:
        yield mounted


def test_contents_are_on_the_device_while_it_lives_and_not_after(disk: Mounted) -> None:
    """Control first: once written back they are in the raw image. destroy() overwrites each of them."""
    mark = needle()
    with FileBuffer(COUNT * len(mark), disk.at) as buffer:
        buffer.copy_from(mark * COUNT)
        loopmounted.write_out(buffer)
        assert disk.count(mark) == COUNT
        assert disk.is_empty()
    assert disk.count(mark) == 0


def test_control_an_ordinary_file_that_is_removed_leaves_them(disk: Mounted) -> None:
    """What removing a file does by itself: the bytes stay where they were."""
    mark = needle()
    place = disk.at / "ordinary"
    with open(place, "wb", buffering=0) as file:
        file.write(mark * COUNT)
        os.fsync(file.fileno())
    place.unlink()
    os.sync()
    assert disk.count(mark) == COUNT


def test_its_space_is_given_back(disk: Mounted) -> None:
    """While its pages are mapped it is taken, to the last; afterwards it is free again."""

    def free() -> int:
        return os.statvfs(disk.at).f_bfree

    with FileBuffer(1, disk.at):
        before = free()
    first = free()
    with FileBuffer(1 << 20, disk.at):
        assert first - free() >= (1 << 20) // os.statvfs(disk.at).f_frsize
    assert free() == first > before


#: A child with the needle in its buffer, and then on the device.
SCENE = """
import loopmounted
buffer = FileBuffer({size}, {directory!r})
buffer.copy_from({mark!r} * {count})
loopmounted.write_out(buffer)
{before}
print("ready", flush=True)
os.read(0, 1)
{end}
"""

ENDS = {
    "purge": ("", "purge(); print('purged', flush=True); os.read(0, 1); os._exit(0)", 0),
    "normal exit": ("", "", 0),
    "an exception": ("", "sys.stderr = None; raise KeyError", 1),
    "SIGTERM, hardened": (
        "harden(wipe_on_signals=[signal.SIGTERM])",
        "os.kill(os.getpid(), signal.SIGTERM)",
        -signal.SIGTERM,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_that_overwrite_the_file(disk: Mounted, name: str) -> None:
    """Nothing of it is on the device afterwards; after a purge already while the process lives."""
    mark = needle()
    before, end, code = ENDS[name]
    words = {"size": COUNT * len(mark), "directory": str(disk.at), "mark": mark, "count": COUNT}
    with Live(SCENE.format(before=before, end=end, **words)) as child:
        assert child.line() == "ready"
        assert disk.count(mark) == COUNT
        child.go()
        if name == "purge":
            assert child.line() == "purged"
            assert disk.count(mark) == 0
            child.go()
        assert child.process.wait() == code
    assert disk.count(mark) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ends_that_burn_nothing(disk: Mounted, number: signal.Signals) -> None:
    """As documented: killed, or ended by a signal for which nothing was hardened, it leaves what was written there."""
    mark = needle()
    words = {"size": COUNT * len(mark), "directory": str(disk.at), "mark": mark, "count": COUNT}
    with Live(SCENE.format(before="", end="", **words)) as child:
        assert child.line() == "ready"
        child.process.send_signal(number)
        assert child.process.wait() == -number
    assert disk.count(mark) == COUNT
    assert disk.is_empty()


def test_nothing_else_on_the_device_has_them(disk: Mounted) -> None:
    """The contents are at one place of the device: neither the journal nor any other file has them."""
    mark = needle()
    with FileBuffer(len(mark), disk.at) as buffer:
        for turn in range(5):
            buffer.copy_from(mark)
            loopmounted.write_out(buffer)
            os.sync()
            assert disk.count(mark) == 1, turn
