"""FileBuffer when its device fails: errors that say so, never a SIGBUS. In children, which a fault would end."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import loopmounted
from children import forked
from loopmounted import Mounted, as_root
from observed import Memory, mappings
from strongroom import FileBuffer, StrongroomWarning, SystemCallError, purge
from tracing import EVENT_EXIT, Traced

pytestmark = as_root
NEEDLE = b"vein of rust"
SIZE = 700 * len(NEEDLE)  # three pages
#: ext4 writes what is new to its device at the end of a transaction, after five seconds. It does so wherever it has
#: given the blocks their places at once: where blocks are few for the number of processors (ext4_nonda_switch).
UNWRITTEN = "commit=600"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mounted]:
    """A small file system of one's own."""
    with loopmounted.image(tmp_path) as mounted:
        yield mounted


def evicted(disk: Mounted) -> FileBuffer:
    """A buffer whose contents are in its file, and nowhere in memory."""
    buffer = FileBuffer(SIZE, disk.at)
    buffer.copy_from(NEEDLE * 700)
    loopmounted.evict(buffer)
    assert disk.count(NEEDLE) == 700
    return buffer


def opened(mode: str) -> Callable[[FileBuffer], None]:
    def use(buffer: FileBuffer) -> None:
        with buffer.open(mode) as view:
            assert view[0]

    return use


def destroyed(buffer: FileBuffer) -> None:
    buffer.destroy()


def compared(buffer: FileBuffer) -> None:
    assert buffer != bytes(SIZE)


USES = {"open to read": opened("r"), "open to write": opened("rw"), "compare": compared, "destroy": destroyed}


@pytest.mark.parametrize("name", USES)
def test_a_device_that_vanished_is_an_error_and_no_fault(disk: Mounted, name: str) -> None:
    """Evicted contents whose device is gone: whatever is done with the buffer raises SystemCallError, and says why."""

    def child() -> str:
        buffer = evicted(disk)
        disk.cut_off()
        try:
            USES[name](buffer)
        except SystemCallError as error:
            return f"{error.call} {buffer.is_destroyed} {'private file' in str(error)}"
        return "nothing was raised"

    call = "madvise(MADV_POPULATE_READ)" if name in ("open to read", "compare") else "madvise(MADV_POPULATE_WRITE)"
    assert forked(child) == f"{call} {name == 'destroy'} True"


def test_control_a_device_that_stayed(disk: Mounted) -> None:
    """The same without the loss: the contents come back from the file."""

    def child() -> object:
        buffer = evicted(disk)
        is_back = loopmounted.resident(buffer) == 0 and buffer == NEEDLE * 700
        buffer.destroy()
        return is_back

    assert forked(child) == "True"
    assert disk.count(NEEDLE) == 0


ENDS = {
    "purge": "purge()",
    "collected": "del buffer; gc.collect()",
    "the end of Python": "sys.exit(0)",
    "a signal": "harden(wipe_on_signals=[signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("end", ENDS)
def test_ends_that_wipe_everything_go_on_without_the_device(disk: Mounted, end: str) -> None:
    """What wipes all buffers meets such pages: it does not die of them, and wipes the others."""
    with Traced(f"""
        import loopmounted
        ours = FileBuffer(32, {str(disk.at)!r})
        with ours.open("rw") as view:
            address = address_of(view)
        buffer = FileBuffer({SIZE}, {str(disk.at)!r})
        buffer.copy_from({NEEDLE!r} * 700)
        loopmounted.evict(buffer)
        ours.copy_from({NEEDLE!r}[:8] * 4)
        children.immortal(ours)
        print(address, flush=True); os.read(0, 1)
        {ENDS[end]}
        """) as child, Memory(child.pid) as memory:  # fmt: skip
        address = int(child.line())
        assert memory.read(address, 32) == NEEDLE[:8] * 4
        disk.cut_off()
        child.seize()
        child.go()
        child.hold_at(EVENT_EXIT)
        assert memory.read(address, 32) == bytes(32)
        assert child.end() == (-signal.SIGTERM if end == "a signal" else 0)


def test_a_device_that_comes_back(disk: Mounted) -> None:
    """What was refused meanwhile harms nothing: the contents are there again, after a purge no canary is damaged."""

    def child() -> object:
        buffer, purged = evicted(disk), FileBuffer(SIZE, disk.at)
        purged.copy_from(NEEDLE * 700)
        loopmounted.evict(purged)
        disk.cut_off()
        with pytest.raises(SystemCallError), buffer.open():
            pass
        disk.come_back()
        is_back = buffer == NEEDLE * 700
        loopmounted.evict(buffer)
        disk.cut_off()
        with pytest.warns(StrongroomWarning, match="could not overwrite"):
            purge()
        disk.come_back()
        buffer.destroy()
        purged.destroy()
        return is_back

    assert forked(child) == "True"


def test_overwriting_refused_by_the_device(tmp_path: Path) -> None:
    """I/O errors when the file is to be overwritten: destroy() says so, and the memory is gone nevertheless.

    The image has holes and lies on a tmpfs without room: what is new to it cannot be written.
    """
    with loopmounted.memory(tmp_path) as room, loopmounted.image(room.at, options=UNWRITTEN) as disk:

        def child() -> object:
            buffer = FileBuffer(SIZE, disk.at, allow_memory=True)
            buffer.copy_from(NEEDLE * 700)
            room.fill()
            listing = len(mappings())
            with pytest.raises(SystemCallError, match=r"^msync: .*could not be overwritten before it went") as caught:
                buffer.destroy()
            assert caught.value.errno in (errno.EIO, errno.ENOSPC)  # what the loop driver says of its file
            buffer.destroy()
            return buffer.is_destroyed and len(mappings()) < listing

        assert forked(child) == "True"


def test_an_exception_on_its_way_is_not_replaced_by_that(tmp_path: Path) -> None:
    """The block's own exception goes on; the refusal is told beside it (sys.unraisablehook)."""
    with loopmounted.memory(tmp_path) as room, loopmounted.image(room.at, options=UNWRITTEN) as disk:

        def child() -> object:
            told: list[object] = []
            sys.unraisablehook = lambda found: told.append(found.exc_value)
            buffer = FileBuffer(SIZE, disk.at, allow_memory=True)
            buffer.copy_from(NEEDLE * 700)
            room.fill()
            with pytest.raises(ZeroDivisionError), buffer:
                raise ZeroDivisionError
            return f"{buffer.is_destroyed} {[getattr(one, 'call', one) for one in told]}"

        assert forked(child) == "True ['msync']"


@pytest.mark.parametrize("use", ["write", "destroy"])
def test_a_file_system_that_is_full_by_now(tmp_path: Path, use: str) -> None:
    """Where overwriting takes new room (btrfs) and none is left: an error before the block, and no SIGBUS in it."""
    with loopmounted.image(tmp_path, "btrfs") as disk:

        def child() -> object:
            buffer = FileBuffer(100 * SIZE, disk.at)
            buffer.copy_from(NEEDLE * 70_000)
            loopmounted.evict(buffer)
            disk.fill()
            with pytest.raises(SystemCallError, match=r"MADV_POPULATE_WRITE.*private file"):
                buffer.copy_from(bytes(100 * SIZE)) if use == "write" else buffer.destroy()
            is_there = use == "destroy" or buffer == NEEDLE * 70_000
            os.unlink(disk.at / "ballast")
            if use == "write":
                buffer.destroy()
            return is_there

        assert forked(child) == "True"


def test_a_file_system_that_is_full_by_now_takes_what_has_its_place(tmp_path: Path) -> None:
    """Where writing over needs no room (ext4) a full one changes nothing: the room was taken when it was made."""
    with loopmounted.image(tmp_path) as disk, FileBuffer(SIZE, disk.at) as buffer:
        disk.fill()
        with pytest.raises(SystemCallError, match=r"pwrite.*No space left"):
            FileBuffer(SIZE, disk.at)
        buffer.copy_from(NEEDLE * 700)
        loopmounted.evict(buffer)
        assert buffer == NEEDLE * 700
        buffer.destroy()
        assert disk.count(NEEDLE) == 0
