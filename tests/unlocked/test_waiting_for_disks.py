"""Ends that have to wait for a disk wait for nothing else, and nothing else waits for them. Linux, as root.

The disk is an image in a file system that can be frozen: what is written to that waits, for as long as the test likes.
Source: ioctl_fs(2), FIFREEZE and FITHAW; fs/super.c of Linux 6.18.
"""

import contextlib
import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopmounted
from children import CANARY_DEATH, Live, forked
from loopmounted import Mounted, as_root
from observed import Memory
from strongroom import ContentsLostError, FileBuffer, PurgedError, SystemCallError, VolatileBuffer, purge

fcntl = pytest.importorskip("fcntl", reason="needs a Unix")

pytestmark = as_root
FREEZE, THAW = 0xC0045877, 0xC0045878
LIMIT_SECONDS = 20
COUNT, NEEDLE = 700, b"vein of rust"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mounted]:
    """A small file system of one's own."""
    with loopmounted.image(tmp_path) as mounted:
        yield mounted


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Mounted]:
    """A file system that holds the image of another one."""
    with loopmounted.image(tmp_path, mib=24) as mounted:
        yield mounted


@pytest.fixture
def slow(below: Mounted) -> Iterator[Mounted]:
    """That one: as slow as the other one is frozen."""
    with loopmounted.image(below.at) as mounted:
        yield mounted


@contextlib.contextmanager
def frozen(disk: Mounted) -> Iterator[None]:
    """Nothing is written to it while the block lasts, or for a while: who waits for it cannot even be killed."""
    place = os.open(disk.at, os.O_RDONLY)

    def thaw() -> None:
        with contextlib.suppress(OSError):  # it was done
            fcntl.ioctl(place, THAW, 0)

    limit = threading.Timer(LIMIT_SECONDS, thaw)
    try:
        fcntl.ioctl(place, FREEZE, 0)
        limit.start()
        yield
    finally:
        limit.cancel()
        thaw()
        os.close(place)


#: A child with two private files that are as their disk has them, and with memory of other kinds.
SCENE = """
import loopmounted, threading, time
first, second = FileBuffer({size}, {at!r}), FileBuffer({size}, {at!r})
for buffer in (first, second):
    buffer.copy_from({needle!r} * {count})
    loopmounted.write_out(buffer)
locked = LockedBuffer(5000, backing="locked")
locked.copy_from({needle!r})
droppable = VolatileBuffer(32)
droppable.copy_from({needle!r}[:8] * 4)
with locked.open() as view:
    address = address_of(view)
    print(address, flush=True)
    os.read(0, 1)
    {end}
"""


def scene(disk: Mounted, end: str) -> Live:
    size = COUNT * len(NEEDLE)
    return Live(SCENE.format(size=size, at=str(disk.at), needle=NEEDLE, count=COUNT, end=end))


PURGE = """
    purging = threading.Thread(target=purge)
    purging.start()
    while any(view):
        time.sleep(0.001)
    ending = threading.Thread(target=first.destroy)
    ending.start()
    made = LockedBuffer(5000)
    made.copy_from(b"made meanwhile")
    child = os.fork()
    if child == 0:
        os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    time.sleep(0.1)
    print(code, purging.is_alive(), ending.is_alive(), first.is_destroyed, flush=True)
    os.read(0, 1)
    purging.join(); ending.join()
    print(bytes(made.open().__enter__()[:14]), second.is_destroyed, flush=True)
    os.read(0, 1)
    os._exit(0)
"""


def test_a_purge_that_waits_for_a_disk_keeps_nobody_waiting(below: Mounted, slow: Mounted) -> None:
    """All else is wiped before; other threads run, make buffers and fork; the file is not given back meanwhile."""
    with scene(slow, PURGE) as child:
        child.line()
        assert slow.count(NEEDLE) == 2 * COUNT
        with frozen(below):
            child.go()
            assert child.line() == "7 True True True"  # to its users it is gone at once
            assert slow.count(NEEDLE) == 2 * COUNT
        child.go()
        assert child.line() == "b'made meanwhile' False"
        assert slow.count(NEEDLE) == 0


def test_a_signal_wipes_all_else_before_it_waits_for_a_disk(below: Mounted, slow: Mounted) -> None:
    """Its process goes on to wait; a second one reads its memory meanwhile, and then it ends as that signal wants."""
    end = "harden(wipe_on_signals=[signal.SIGTERM]); print('ready', flush=True); time.sleep(1000)"
    with scene(slow, end) as child, Memory(child.pid) as memory:
        address = int(child.line())
        child.go()
        assert child.line() == "ready"
        assert memory.read(address, len(NEEDLE)) == NEEDLE
        with frozen(below):
            child.process.send_signal(signal.SIGTERM)
            while memory.read(address, len(NEEDLE)) != bytes(len(NEEDLE)):
                assert child.process.poll() is None
            assert child.process.poll() is None
        assert child.process.wait() == -signal.SIGTERM
    assert slow.count(NEEDLE) == 0


def test_a_damaged_canary_has_nothing_written_back(disk: Mounted) -> None:
    """As documented: what the disk has stays there, the pages in memory are zeros, and the process dies at once."""
    end = "access = first.open('rw'); place = address_of(access.__enter__()); flip(place - 1); os.close(2)\n"
    end += "    access.__exit__(None, None, None)"
    with scene(disk, end) as child:
        child.line()
        child.go()
        assert child.process.wait() == CANARY_DEATH
    assert disk.count(NEEDLE) == 2 * COUNT


def test_the_end_of_a_block_has_nothing_to_write(disk: Mounted) -> None:
    """A block that was opened to write, and stored nothing since its pages were written out, leaves them clean."""
    with FileBuffer(100 * COUNT * len(NEEDLE), disk.at) as buffer:
        start, size = loopmounted.pages_of(buffer)

        def dirty() -> int:
            listed = Path("/proc/self/smaps").read_text().partition(f"\n{start:x}-")[2].splitlines()
            return sum(int(line.split()[1]) for line in listed[1:15] if "_Dirty:" in line)

        buffer.copy_from(NEEDLE * COUNT)
        assert dirty() >= size >> 10  # control: opening takes room for all of it
        with buffer.open("rw"):
            loopmounted.write_out(buffer)
        assert dirty() == 0


def partial(disk: Mounted) -> VolatileBuffer:
    buffer = VolatileBuffer(32, backing="partial", directory=disk.at)
    buffer.copy_from(bytes(range(32)))
    return buffer


#: With a partial page open whose device is gone, what is done, and what the child says then.
USES = {
    "the end of a block": ("", "ContentsLostError"),
    "intact": ("kept = memoryview(view); assert not buffer.intact; kept.release()", "ContentsLostError"),
    "purge": ("purge()", "PurgedError"),
}


@pytest.mark.parametrize("use", USES)
def test_a_partial_page_whose_device_is_gone_is_lost_and_no_fault(disk: Mounted, use: str) -> None:
    """What tells of a loss is in the page that cannot be fetched: that is one. In a child, which a fault would end."""

    def child() -> object:
        buffer = partial(disk)
        try:
            with buffer.open() as view:
                loopmounted.evict(buffer)
                disk.cut_off()
                exec(USES[use][0], {"view": view, "buffer": buffer, "purge": purge})
        except (ContentsLostError, PurgedError) as error:
            with contextlib.suppress(SystemCallError):  # the head of its file cannot be overwritten
                buffer.destroy()
            return f"{type(error).__name__} {buffer.is_destroyed}"
        return "nothing was raised"

    assert forked(child) == f"{USES[use][1]} True"


def test_control_that_page_is_a_fault_to_touch(disk: Mounted) -> None:
    """Whoever looks at it without asking first dies of SIGBUS."""

    def child() -> object:
        faulthandler.disable()  # it would tell of what is meant to happen
        buffer = partial(disk)
        with buffer.open() as view:
            loopmounted.evict(buffer)
            disk.cut_off()
            return view[0]

    with pytest.raises(AssertionError, match=f"ended with -{signal.SIGBUS.value}"):
        forked(child)
