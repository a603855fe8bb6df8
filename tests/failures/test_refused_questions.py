"""Each system call behind vm.query, vm.regions and vm.pages refused: another road, or an error that names the call."""

import errno

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: Eight pages, some of them written to; what is asked of them, without what the reader itself may change.
SCENE = """
import mmap
from faultinject import deny
from strongroom import vm
from strongroom.exceptions import SystemCallError
observed.no_huge_pages()  # else a kernel that is told to gives several pages at a touch
P = vm.PAGE_SIZE
region = vm.reserve(10 * P)  # its ends stay reserved: the kernel joins what is committed with no neighbour
region.commit(P, 8 * P)
region.fill(2 * P, 2 * P, 1)
region.fill(6 * P, P, 1)
at = region.address + P
def answers():
    runs = vm.pages(at, 8 * P)
    return [vm.query(at + P), vm.probe(at, 8 * P, vm.READ_WRITE), list(runs), runs.unread]
before = answers()
assert [run.size // P for run in before[2]] == [1, 2, 2, 1, 2], before
assert before[3] == ()
def refusal(ask):
    try:
        ask()
    except SystemCallError as error:
        return error.call, error.code
ALL = [lambda: vm.query(region.address), vm.regions, lambda: vm.regions(None, "smaps"), lambda: vm.pages(0, P)]
"""


def test_without_the_newer_calls_the_answers_are_the_same() -> None:
    """Neither PROCMAP_QUERY nor PAGEMAP_SCAN: the listing and the entries say the same."""
    succeed(f"""
        {SCENE.replace(chr(10), chr(10) + " " * 8)}
        deny("ioctl", errno.ENOTTY)
        after = answers()
        assert after == before, (before, after)
    """)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOENT, errno.EACCES, errno.ENOMEM])
def test_without_anything_to_open(code: int) -> None:
    """The error names the file and the system's reason, for this process is always there."""
    succeed(f"""
        {SCENE.replace(chr(10), chr(10) + " " * 8)}
        deny("openat", {code})
        said = [refusal(ask) for ask in ALL]
        assert said == [("open(/proc/PID/maps)", {code})] * 4, said
    """)


def test_without_reading() -> None:
    """The error names the call; the single mapping needs none."""
    succeed(f"""
        {SCENE.replace(chr(10), chr(10) + " " * 8)}
        deny("read", errno.EIO)
        said = [refusal(ask) for ask in ALL[1:]]
        assert said == [("read(/proc/PID/maps)", errno.EIO)] * 3, said
    """)


def test_without_the_entries_of_the_page_table() -> None:
    """What smaps tells is there; what the entries would have told is None, and the listing says so."""
    succeed(f"""
        {SCENE.replace(chr(10), chr(10) + " " * 8)}
        deny("pread64", errno.EPERM)
        runs = vm.pages(at, 8 * P)
        assert len(runs.unread) == 1 and "pagemap" in runs.unread[0], runs.unread
        assert [(run.share_count, run.resident_size) for run in runs] == [(None, 3 * P)], runs
    """)
