"""Ends that have to wait for a disk wait for nothing else, and nothing else waits for them. Linux, as root.

The disk is an image in a file system that can be frozen: what is written to that waits, for as long as the test likes.
Source: ioctl_fs(2), FIFREEZE and FITHAW; fs/super.c of Linux 6.18.
"""

import contextlib
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopmounted
from children import CANARY_DEATH, DEADLINE_SECONDS, Live, forked
from loopmounted import Mounted, as_root
from observed import Memory
from strongroom import (
    FileBuffer,
    PurgedError,
    StrongroomWarning,
    purge,
)

fcntl = pytest.importorskip("fcntl", reason="needs a Unix")
resource = pytest.importorskip("resource", reason="needs a Unix")

pytestmark = as_root
FREEZE, THAW = 0xC0045877, 0xC0045878
#: After that a frozen file system is thawed whatever happens: longer than anything waits for a line of a child.
LIMIT_SECONDS = 2 * DEADLINE_SECONDS
COUNT, NEEDLE = 700, b"vein of rust"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mounted]:
    """A small file system of one's own."""
    with loopmounted.image(tmp_path, mib=32) as mounted:
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
    while not first.is_destroyed:  # to its users it is at once
        time.sleep(0.001)
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
            assert child.line() == "7 True True True"
            assert slow.count(NEEDLE) == 2 * COUNT
        child.go()
        assert child.line() == "b'made meanwhile' False"
        assert slow.count(NEEDLE) == 0


STORES = """
import loopmounted, threading, time, vanishing, warnings
from strongroom.buffers import elsewhere
warnings.simplefilter("ignore")
children.limit_locks(0)
elsewhere._VOLATILE = ("partial",)
buffer = LockedBuffer(32, policy=Policy(fallback=("volatile",), directory={at!r}))
buffer.copy_from(bytes(range(32)))
with buffer.open() as view:
    address = address_of(view)
vanishing.mend(loopmounted.pages_of(buffer)[0], [(address - 16, bytes(16))])  # lost, and to be written out
told = []
def work(done):
    try:
        done()
        told.append("done")
    except Exception as error:
        told.append(repr(error))
def store():
    buffer.copy_from(bytes(range(32, 64)))
print(buffer.backing, buffer.intact, flush=True)
os.read(0, 1)
threads = [threading.Thread(target=work, args=[store]) for _ in range(3)]
for thread in threads:
    thread.start()
time.sleep(0.2)
print([thread.is_alive() for thread in threads], flush=True)
os.read(0, 1)
for thread in threads:
    thread.join()
print(told, buffer == bytes(range(32, 64)), flush=True)
"""


def test_stores_into_lost_contents_take_turns(below: Mounted, slow: Mounted) -> None:
    """While one thread has a partial page written back, to begin it anew, the others wait: nobody has it open."""
    with Live(STORES.format(at=str(slow.at))) as child:
        assert child.line() == "partial False"
        with frozen(below):
            child.go()
            assert child.line() == "[True, True, True]"
        child.go()
        assert child.line() == "['done', 'done', 'done'] True"


AMID_AN_END = """
    ending = threading.Thread(target=first.destroy, daemon=True)
    ending.start()
    while not first.is_destroyed:
        time.sleep(0.001)
    time.sleep(0.2)
    print(first.is_destroyed, ending.is_alive(), flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "purge(); print('purged', flush=True); os._exit(0)"])
def test_what_another_thread_destroys_is_waited_for(below: Mounted, slow: Mounted, end: str) -> None:
    """Neither the end of Python nor a purge is over before a file that is being overwritten is."""
    with scene(slow, AMID_AN_END.format(end=end)) as child:
        child.line()
        with frozen(below):
            child.go()
            assert child.line() == "True True"
            time.sleep(0.3)
            assert child.process.poll() is None
            assert slow.count(NEEDLE) == 2 * COUNT
        if "purge" in end:
            assert child.line() == "purged"
        assert child.process.wait() == 0
        assert slow.count(NEEDLE) == 0


def test_who_waits_leaves_the_cpu_to_others(below: Mounted, slow: Mounted) -> None:
    """A thread that destroys what is being purged sleeps: it takes hardly any time of a CPU."""
    with scene(slow, PURGE) as child:
        child.line()
        with frozen(below):
            child.go()
            child.line()
            before = cpu_seconds(child.pid)
            time.sleep(1)
            assert cpu_seconds(child.pid) - before < 0.3
        child.go()
        child.line()


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_purge_says_what_it_could_not_overwrite(disk: Mounted) -> None:
    """Once all is done, as a warning: its device may have the bytes. Of what could be overwritten nothing is said."""

    def child() -> str:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            buffer = FileBuffer(5_000, disk.at)
            purge()
            kept = FileBuffer(COUNT * len(NEEDLE), disk.at)
            kept.copy_from(NEEDLE * COUNT)
            loopmounted.evict(kept)
            disk.cut_off()
            purge()
        assert [one.category for one in told] == [StrongroomWarning]
        assert told[0].filename == __file__
        assert buffer
        return str(told[0].message)

    assert re.match(r"purge\(\) wiped .*MADV_POPULATE_WRITE.*device may have the bytes", forked(child))


@pytest.mark.parametrize("which", ["below", "slow"])
def test_a_signal_wipes_all_else_before_it_waits_for_a_disk(below: Mounted, slow: Mounted, which: str) -> None:
    """Its process goes on to wait; a second one reads its memory meanwhile, and then it ends as that signal wants.

    The file system that has the file may be the one that keeps it: then no store into its pages comes to an end.
    """
    end = "harden(wipe_on_signals=[signal.SIGTERM]); print('ready', flush=True); time.sleep(1000)"
    with scene(slow, end) as child, Memory(child.pid) as memory:
        address = int(child.line())
        child.go()
        assert child.line() == "ready"
        assert memory.read(address, len(NEEDLE)) == NEEDLE
        with frozen({"below": below, "slow": slow}[which]):
            child.process.send_signal(signal.SIGTERM)
            while memory.read(address, len(NEEDLE)) != bytes(len(NEEDLE)):
                assert child.process.poll() is None
            time.sleep(0.1)
            assert child.process.poll() is None
        assert child.process.wait() == -signal.SIGTERM
    assert slow.count(NEEDLE) == 0


@pytest.mark.parametrize("which", ["none", "below", "slow"])
def test_a_damaged_canary_waits_for_no_disk(below: Mounted, slow: Mounted, which: str) -> None:
    """As documented: what the disk has stays there, and the process dies at once, whatever file system is frozen."""
    end = """access = locked.open('rw'); view = access.__enter__(); os.close(2); flip(address - 1)
    access.__exit__(None, None, None)"""
    with scene(slow, end) as child:
        child.line()
        with frozen({"below": below, "slow": slow}[which]) if which != "none" else contextlib.nullcontext():
            child.go()
            assert child.process.wait(LIMIT_SECONDS / 2) == CANARY_DEATH
    assert slow.count(NEEDLE) == 2 * COUNT


def test_a_purge_without_descriptors_beside_whoever_closes_a_file(disk: Mounted) -> None:
    """No fault where another thread closes the pages at this moment; all is wiped. In a child, which would die."""

    def child() -> object:
        buffer = FileBuffer(16 << 20, disk.at)
        buffer.copy_from(NEEDLE * COUNT)
        access = buffer.open("rw")
        access.__enter__()

        def leave() -> None:
            with contextlib.suppress(PurgedError):
                access.__exit__(None, None, None)

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        leaving = threading.Timer(0.002, leave)
        leaving.start()
        purge()
        leaving.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return disk.count(NEEDLE)

    assert [forked(child) for _ in range(5)] == ["0"] * 5


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
