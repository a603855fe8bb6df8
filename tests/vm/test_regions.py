"""vm.regions and vm.pages of this process: each field beside what was done to the pages, and the tests' own readers."""

import ctypes
import gc
import itertools
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import observed
import observed_linux
import pages
from children import succeed
from pages import PAGE, needs_fork, needs_proc
from strongroom import _native, vm
from strongroom.exceptions import SystemCallError

#: linux/mman.h and asm-generic/mman-common.h.
DONTFORK, DONTDUMP, WIPEONFORK, MAP_DROPPABLE = 10, 16, 18, 0x08
DETAILS = ("maps", "smaps", "pages")


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    """Eight private pages that are no region of strongroom's, and that no neighbour is alike to."""
    with mmap.mmap(-1, 8 * PAGE, flags=mmap.MAP_PRIVATE) as made:
        yield made


def _one(address: int, size: int = PAGE) -> vm.PageInfo:
    (info,) = vm.pages(address, size)
    return info


def _letters(info: vm.PageInfo) -> str:
    return pages.LETTERS[info.protection] + ("s" if info.is_shared else "p")


@needs_proc
@pytest.mark.parametrize("detail", DETAILS)
def test_everything_that_is_mapped(detail: str) -> None:
    """Row for row what the independent reader finds, for what has a name and so does not come and go meanwhile."""
    with open(__file__, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        listing = vm.regions(None, detail)
        assert (listing.pid, listing.detail, listing.torn, listing.unread) == (None, detail, False, ())
        expected = [m for m in observed.mappings() if m.path.startswith(("/", "[vdso", "[stack"))]
        covered = {}
        for mapping in expected:
            rows = [row for row in listing if mapping.start <= row.address < mapping.end]
            assert sum(row.size for row in rows) == mapping.end - mapping.start
            assert {(_letters(row), row.path) for row in rows} == {(mapping.permissions, mapping.path)}
            if detail != "maps":
                assert {frozenset((row.flags or "").split()) for row in rows} == {mapping.flags}
            covered[mapping.path] = rows[0]
        path = str(Path(__file__).resolve())
        info, lines = covered[path], Path("/proc/self/maps").read_text().splitlines()
        # What stat(2) tells are other numbers on btrfs, and on an overlay, such as a container's.
        device, inode = next(line.split()[3:5] for line in lines if line.endswith(f" {path}"))
        assert (info.inode, info.type, info.file_offset) == (int(inode), "mapped", 0)
        assert info.device == tuple(int(part, 16) for part in device.split(":"))
        assert covered[str(Path(sys.executable).resolve())].type == "image"


@pytest.mark.parametrize("detail", DETAILS)
def test_rows_are_in_order(detail: str) -> None:
    """Whole pages, sorted, none overlapping another."""
    end = 0
    for row in vm.regions(None, detail):
        assert row.address >= end
        assert (row.address % PAGE, row.size % PAGE) == (0, 0)
        end = row.address + row.size


@needs_proc
def test_pages_are_what_was_touched(memory: mmap.mmap) -> None:
    """Written pages are resident and mapped once; one that was only read is everybody's zeros."""
    memory[2 * PAGE] = 1
    memory[3 * PAGE] = 1
    assert memory[5 * PAGE] == 0
    at = observed.address_of(memory)
    runs = [
        ((info.address - at) // PAGE, info.size // PAGE, info.resident_size, info.swapped_size, info.share_count)
        for info in vm.pages(at + 1, 8 * PAGE - 1)
    ]
    assert runs == [
        (0, 2, 0, 0, None),
        (2, 2, 2 * PAGE, 0, 1),
        (4, 1, 0, 0, None),
        (5, 1, PAGE, 0, None),
        (6, 2, 0, 0, None),
    ]


@needs_proc
@needs_fork
def test_pages_that_a_child_has_too_are_not_mapped_once(memory: mmap.mmap) -> None:
    """After a fork a written page is shared until one of the two writes again."""
    memory[0] = memory[PAGE] = 1
    at = observed.address_of(memory)
    assert _one(at, 2 * PAGE).share_count == 1
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        memory[PAGE] = 2
        assert [info.share_count for info in vm.pages(at, 2 * PAGE)] == [None, 1]
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


@needs_proc
@pytest.mark.parametrize(
    ("advice", "field", "value"),
    [
        (None, "in_child", "copied"),
        (DONTDUMP, "is_undumpable", True),
        (DONTFORK, "in_child", "absent"),
        (WIPEONFORK, "in_child", "zeros"),
    ],
)
def test_advice_is_seen(memory: mmap.mmap, advice: int | None, field: str, value: object) -> None:
    """What the kernel was told of dumps and children, of just these pages."""
    at = observed.address_of(memory)
    if advice is not None:
        memory.madvise(advice, PAGE, PAGE)
    info, other = _one(at + PAGE), _one(at + 4 * PAGE)
    assert (getattr(info, field), info.known_by(field)) == (value, "system")
    assert (other.is_undumpable, other.in_child, other.is_locked, other.is_droppable) == (False, "copied", False, False)


@needs_proc
def test_locks_of_others_are_seen(memory: mmap.mmap) -> None:
    """``is_locked`` is the system's and counts anybody's lock; ``locks`` are strongroom's own."""
    at = observed.address_of(memory)
    assert pages.others_lock(at, PAGE) == 0
    info = _one(at)
    assert (info.is_locked, info.locks, info.secured, info.resident_size) == (True, 0, None, PAGE)


@needs_proc
def test_droppable_pages_are_seen() -> None:
    """Linux 6.11's MAP_DROPPABLE."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(None, ctypes.c_size_t(PAGE), 3, MAP_DROPPABLE | mmap.MAP_ANONYMOUS, -1, ctypes.c_long(0))
    if place in (None, ctypes.c_void_p(-1).value):
        pytest.skip("this kernel has no MAP_DROPPABLE: needs Linux 6.11")
    try:
        assert (_one(place).is_droppable, _one(place).in_child) == (True, "zeros")
    finally:
        libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(PAGE))


@needs_proc
def test_files_and_shared_memory(tmp_path: Path) -> None:
    """Where in the file a row begins, rows that were cut included; shared memory is shared with children."""
    path = tmp_path / "a b\nc"
    path.write_bytes(bytes(8 * PAGE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 6 * PAGE, offset=2 * PAGE) as mapped:
        mapped[3 * PAGE] = 1
        rows = vm.pages(observed.address_of(mapped) + 2 * PAGE, 3 * PAGE)
        assert {(info.path, info.type, info.is_shared) for info in rows} == {
            (str(path).replace("\n", "\\012"), "mapped", True)
        }
        assert rows[0].file_offset == 4 * PAGE
        assert vm.query(observed.address_of(mapped) + 3 * PAGE).path == rows[0].path
        assert vm.query(observed.address_of(mapped) + 3 * PAGE).file_offset == 5 * PAGE
        written = next(info for info in rows if info.file_offset == 5 * PAGE or info.size > PAGE)
        assert written.resident_size
    with mmap.mmap(-1, PAGE) as shared:
        assert _one(observed.address_of(shared)).in_child == "shared"
    path.unlink()


@needs_proc
def test_what_the_table_says_is_put_into_sizes(memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapped pages, by a table that is made up: where they are said to be, and nothing resident there."""
    at = observed.address_of(memory)

    def runs(pid: int, start: int, end: int) -> list[tuple[int, int, bool, None, None]]:
        return [(at + PAGE, at + 3 * PAGE, False, None, None)] if start <= at < end else []

    monkeypatch.setattr(_native, "page_runs", runs)
    found = [(info.size // PAGE, info.resident_size, info.swapped_size) for info in vm.pages(at, 4 * PAGE)]
    assert found == [(1, 0, 0), (2, 0, 2 * PAGE), (1, 0, 0)]


@needs_proc
def test_page_tables_that_may_not_be_read(memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing is still there, with smaps' own sizes, and says what could not be read."""

    def refuse(pid: int, start: int, end: int) -> list[tuple[int, int, bool, None, None]]:
        raise SystemCallError("open(/proc/PID/pagemap)", 13)

    memory[0] = 1
    monkeypatch.setattr(_native, "page_runs", refuse)
    listing = vm.regions(None, "pages")
    (reason,) = listing.unread
    assert "pagemap" in reason
    assert {row.share_count for row in listing} == {None}
    assert any(row.resident_size for row in listing)


@needs_proc
def test_after_hardening_the_page_tables_are_closed() -> None:
    """Without privilege, and no longer dumpable: the same with the kernel's own refusal."""
    if os.getuid() != 0:
        pytest.skip("changing to another user needs root")
    succeed("""
        import ctypes
        from strongroom import vm
        os.setgid(65534); os.setuid(65534)
        ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
        listing = vm.regions(None, "pages")
        assert len(listing) > 10 and len(listing.unread) == 1 and "pagemap" in listing.unread[0], listing.unread
        assert vm.query(id(listing)).state == "committed"
    """)


@needs_proc
@pytest.mark.parametrize(
    "ask", [vm.regions, lambda: vm.regions(None, "smaps"), lambda: vm.pages(1 << 30, PAGE), lambda: vm.query(1 << 30)]
)
def test_looking_leaves_nothing_open(ask: Callable[[], object]) -> None:
    """No descriptor stays, answered or refused."""
    gc.collect()  # or one that an earlier test left may be closed meanwhile
    before = observed_linux.descriptors()
    ask()
    with pytest.raises(ProcessLookupError):
        vm.regions((1 << 31) - 1)
    assert observed_linux.descriptors() == before


def test_looking_from_a_thread_when_others_map_and_unmap() -> None:
    """Regions that come and go in other threads: every listing is in order, none is an error."""
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            with vm.allocate(4 * PAGE) as region:
                region.protect(PAGE, PAGE, vm.READ_ONLY)

    changing = [threading.Thread(target=change) for _ in range(2)]
    for thread in changing:
        thread.start()
    try:
        for detail in DETAILS * 3:
            rows = vm.regions(None, detail)
            assert all(low.address + low.size <= high.address for low, high in itertools.pairwise(rows))
    finally:
        is_over.set()
        for thread in changing:
            thread.join()
