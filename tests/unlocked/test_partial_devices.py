"""A partial page whose device goes while a block has it open: a loss or an error, and never a fault. Linux, as root."""

import contextlib
import faulthandler
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopmounted
from children import forked
from loopmounted import Mounted, as_root
from strongroom import ContentsLostError, PurgedError, SystemCallError, VolatileBuffer, purge

pytestmark = as_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mounted]:
    """A small file system of one's own."""
    with loopmounted.image(tmp_path) as mounted:
        yield mounted


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
