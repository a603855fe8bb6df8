"""Systems that tell of mappings in records: Linux' own listing, made into such records, comes out the same way."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

import pages
from children import DEADLINE_SECONDS, wait_for_state
from pages import PAGE, needs_proc
from strongroom import _native, vm
from strongroom._os import entries, mappings
from strongroom._os.entries import Entry
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError

pytestmark = needs_proc

Readings = Iterator[tuple[bytes, bytes]]


def from_text(raw: bytes) -> list[Entry]:
    """What a system of records would have told."""
    return [Entry(*row[:7], *row[9:]) for row in _native.parse_listing(tuple, raw, b"\nRss:" in raw)]


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that tells what this one tells, in records, and of all mappings at once."""

    def lacking(*arguments: object) -> None:
        raise SystemCallError("ioctl(PROCMAP_QUERY)", NO_SUCH_CALL)

    monkeypatch.setattr(_native, "mapping_at", lacking)
    monkeypatch.setattr(mappings, "LISTS_TEXT", False)
    monkeypatch.setattr(entries, "_parser", lambda: (from_text, "sysctl"))


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Readings], None]:
    """Let what is read be something else."""

    def install(told: Readings) -> None:
        monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: next(told))

    return install


@pytest.fixture
def stopped() -> Iterator[int]:
    """A process that is stopped, so that nothing of it changes."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            wait_for_state(process.pid, "T")
            yield process.pid
        finally:
            process.kill()


def row(start: int, end: int, name: str = "/x") -> bytes:
    return b"%x-%x rw-p 00000000 00:01 9 %s\n" % (start * PAGE, end * PAGE, name.encode())


def test_regions_are_the_same(monkeypatch: pytest.MonkeyPatch, stopped: int) -> None:
    """Every field, of this process and of another; books of ours are merged in."""

    def told(lists_text: bool) -> vm.Listing:
        monkeypatch.setattr(mappings, "LISTS_TEXT", lists_text)
        return vm.regions(stopped, "smaps")

    with vm.reserve(16 * PAGE) as region:
        region.commit(2 * PAGE, 4 * PAGE)
        region.lock(2 * PAGE, PAGE)
        by_records = vm.regions()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:  # the C library is shared with programs that begin and end: between two texts alike nothing did
            before, other, after = told(True), told(False), told(True)
            if before == after:
                break
            assert time.monotonic() < deadline
        assert other == after
        as_text = vm.regions()
        assert (other.pid, other.torn, by_records.pid, by_records.torn) == (stopped, False, None, False)
        at, end = region.address, region.address + region.size
        ours = [[info for info in listing if at <= info.address < end] for listing in (by_records, as_text)]
        assert ours[0] == ours[1]
        assert [info.locks for info in ours[0]] == [0, 1, 0, 0]
        named = [[info for info in listing if info.path] for listing in (by_records, as_text)]
        assert [info for info in named[0] if info.path not in ("[heap]", "[stack]")] == [
            info
            for info in named[1]
            if info.path not in ("[heap]", "[stack]")  # they grow
        ]


def test_query_and_pages() -> None:
    """One address, a range with what its pages are: the books and the page tables as where text is read."""
    with vm.reserve(4 * PAGE) as region:
        region.commit(0, 2 * PAGE)
        region.write(PAGE, b"x")
        info = vm.query(region.address + 2 * PAGE)
        assert (info.address, info.size, info.state) == (region.address + 2 * PAGE, 2 * PAGE, "reserved")
        assert pages.others_unmap(region.address + 3 * PAGE, PAGE) == 0
        found = [(info.size // PAGE, info.state, info.resident_size) for info in vm.pages(region.address, 4 * PAGE)]
        assert found == [(1, "committed", 0), (1, "committed", PAGE), (1, "reserved", 0), (1, "free", None)]
        assert vm.probe(region.address, 2 * PAGE, vm.READ_WRITE)


def test_where_the_table_does_not_tell_of_page_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is not in memory may be in a page file or nowhere: nobody told."""
    monkeypatch.setattr(mappings, "KNOWS_SWAPPED_PAGES", False)
    monkeypatch.setattr(
        entries, "_parser", lambda: (lambda raw: [Entry(*one[:12]) for one in from_text(raw)], "sysctl")
    )
    with vm.allocate(2 * PAGE) as region:
        region.write(0, b"x")
        told = [(info.resident_size, info.swapped_size) for info in vm.pages(region.address, 2 * PAGE)]
    assert told == [(PAGE, 0), (0, None)]


def test_what_changes_each_time_is_torn(readings: Callable[[Readings], None]) -> None:
    """Four pairs of readings that differ; a fifth is not asked for."""
    told = iter([(row(1, 2), row(1, 2 + number)) for number in range(1, 5)])
    readings(told)
    listing = vm.regions(1)
    assert listing.torn
    assert [info.size // PAGE for info in listing] == [5]
    assert next(told, None) is None


def test_what_settles_is_not_torn(readings: Callable[[Readings], None]) -> None:
    """The pair that agrees is the one that counts."""
    readings(iter([(row(1, 2), row(1, 3)), (row(1, 4), row(1, 4))]))
    listing = vm.regions(1)
    assert (listing.torn, [info.size // PAGE for info in listing]) == (False, [3])


def test_sizes_that_change_are_not_torn(readings: Callable[[Readings], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is in memory moves by itself."""
    monkeypatch.setattr(
        entries,
        "_parser",
        lambda: (lambda raw: [entries.mapping(PAGE, 2 * PAGE, 3, "private", resident_size=len(raw))], "sysctl"),
    )
    readings(iter([(b"1", b"22")]))
    (info,) = vm.regions(1)
    assert info.resident_size == 2


def test_overlapping_is_cut_and_torn() -> None:
    """A mapping told twice: what came first is kept, of the second what is left, at its own place in the file."""
    with pytest.raises(SystemCallError, match="Record 2"):  # nothing is left of it
        entries.in_order([entries.mapping(PAGE, 4 * PAGE, 1, "private")] * 2, "sysctl")
    first, second = (
        entries.mapping(PAGE, 4 * PAGE, 3, "mapped", file_offset=0),
        entries.mapping(2 * PAGE, 6 * PAGE, 3, "mapped", file_offset=8 * PAGE, resident_size=PAGE),
    )
    found, is_torn = entries.in_order([first, second], "sysctl")
    assert is_torn
    assert [(one.address // PAGE, one.size // PAGE, one.file_offset) for one in found] == [(1, 3, 0), (4, 2, 10 * PAGE)]
    assert found[1].resident_size is None  # told of all of it


def test_what_is_no_listing_is_refused_by_number(readings: Callable[[Readings], None]) -> None:
    """The record, counted from 1, and the call; never what is in it."""
    readings(iter([(b"", b"")]))
    assert list(vm.regions(1)) == []
    with pytest.raises(SystemCallError, match="Record 1,234 is not") as caught:
        raise entries.unreadable("sysctl(KERN_PROC_VMMAP)", 1234)
    assert caught.value.call == "sysctl(KERN_PROC_VMMAP)"


def test_two_readings_are_of_one_moment() -> None:
    """Of this process, too, whatever the room for them: nothing of it changes in between."""
    before, after = _native.read_entries(0, False)
    assert before == after
    assert before.count(b"\n") > 10
    with vm.reserve(6000 * PAGE) as region:  # more text than the first room
        for offset in range(0, region.size, 2 * PAGE):
            region.commit(offset, PAGE)
        before, after = _native.read_entries(0, False)
    assert before == after
    assert len(before) > 3 << 16
