"""vm.regions, vm.pages and vm.query on Windows: beside VirtualQueryEx, and under Wine beside the Linux kernel below.

Wine 8 fills in of QueryWorkingSetEx whether a page is there. Locks and shares it does not tell, and of other processes
nothing: there the fields are ``None`` and ``unread`` says so, which is what is tested under Wine; what real Windows
answers is tested there only.
"""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from children import DEADLINE_SECONDS, Live
from strongroom import vm
from strongroom._os.mappings import LOCKS_UNTOLD

PAGE = vm.PAGE_SIZE
STATES = {0x1000: "committed", 0x2000: "reserved"}
TYPES = {0x20000: "private", 0x40000: "mapped", 0x1000000: "image"}
UNREAD = (LOCKS_UNTOLD,) if windows.HAS_WINE else ()
under_wine = pytest.mark.skipif(not windows.HAS_WINE, reason="needs Wine: Windows has no Linux kernel below it to ask")
on_windows = pytest.mark.skipif(windows.HAS_WINE, reason="needs Windows: Wine's QueryWorkingSetEx is partly a stub")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a mapped file \u00e9"
    file.write_bytes(bytes(8 * PAGE))
    return file


@pytest.fixture
def region() -> Iterator[vm.Region]:
    """Two committed pages, of which the first is written; a guard; two reserved; one to execute; the rest reserved."""
    with vm.reserve(16 * PAGE) as made:
        made.commit(0, 3 * PAGE)
        made.write(0, b"x")
        made.protect(2 * PAGE, PAGE, vm.READ_WRITE | vm.GUARD)
        made.commit(5 * PAGE, PAGE, vm.EXECUTE_READ)
        yield made


def _told(row: Any) -> tuple[object, ...]:
    protection = row.protection if row.state == windows.MEM_COMMIT else 0
    return row.base, row.size, STATES[row.state], protection, row.allocation_base, TYPES[row.kind]


def _ours(row: vm.PageInfo) -> tuple[object, ...]:
    return row.address, row.size, row.state, row.protection, row.allocation, row.type


def _within(rows: Iterator[vm.PageInfo] | vm.Listing, address: int, size: int) -> list[vm.PageInfo]:
    return [row for row in rows if address <= row.address < address + size]


def test_everything_that_is_mapped(path: Path, region: vm.Region) -> None:
    """Row for row what VirtualQueryEx says when the tests ask it, but for private memory, which moves meanwhile."""
    with path.open("r+b") as file, vm.map_file(file):
        listing, told = vm.regions(), [_told(row) for row in windows.regions()]
    assert (listing.pid, listing.detail, listing.torn, listing.unread) == (None, "maps", False, ())
    ours = [_ours(row) for row in listing]
    assert [row for row in ours if row[5] != "private"] == [row for row in told if row[5] != "private"]
    assert {row[5] for row in ours} == {"private", "mapped", "image"}
    end = region.address + region.size
    mine = [row for row in told if region.address <= int(str(row[0])) < end]
    assert [_ours(row) for row in _within(listing, region.address, region.size)] == mine
    assert [row[2] for row in mine] == ["committed", "committed", "reserved", "committed", "reserved"]
    assert len(listing) > 50


def test_names_of_files(path: Path) -> None:
    """Programs, libraries and files have the kernel's path; memory that processes share has none."""
    rows = vm.regions()
    named = {(row.path or "").rpartition("\\")[2].lower() for row in rows if row.type == "image"}
    assert {"ntdll.dll", "kernel32.dll", Path(sys.executable).name.lower()} <= named
    assert {row.is_shared for row in rows if row.type == "image"} == {False}
    with path.open("r+b") as file, vm.map_file(file) as view, vm.create_section(PAGE) as section, section.map() as bare:
        file_row, bare_row = vm.query(view.address), vm.query(bare.address)
        assert [_within(vm.regions(), row.address, 1) for row in (file_row, bare_row)] == [[file_row], [bare_row]]
    assert (file_row.path or "").endswith("\\" + path.name)
    assert (file_row.path or "").startswith("\\")
    assert (bare_row.path, bare_row.type, bare_row.is_shared) == ("", "mapped", True)
    assert [file_row.known_by(field) for field in ("path", "is_shared", "type", "file_offset")] == [
        "system",
        "inferred",
        "system",
        None,
    ]


def test_a_view_to_be_copied(path: Path) -> None:
    """Nobody else sees what is written there. A written page is Windows' READ_WRITE, which Wine does not tell."""
    with path.open("r+b") as file, vm.map_file(file, protection=vm.WRITE_COPY) as view:
        view.write(PAGE, b"x")
        rows = vm.pages(view.address, 2 * PAGE)
        assert {(row.is_shared, row.allocation_protection) for row in rows} == {(False, vm.WRITE_COPY)}
        written = vm.WRITE_COPY if windows.HAS_WINE else vm.READ_WRITE
        assert (vm.query(view.address + PAGE).protection, vm.query(view.address).protection) == (written, vm.WRITE_COPY)


def test_pages_are_what_was_touched(region: vm.Region) -> None:
    """The written page is in memory, its neighbour is not yet; of what is reserved nothing can be."""
    rows = vm.pages(region.address, region.size)
    assert rows.unread == UNREAD
    assert [(row.size // PAGE, row.state, row.resident_size, row.swapped_size) for row in rows] == [
        (1, "committed", PAGE, 0),
        (1, "committed", 0, None),
        (1, "committed", 0, None),
        (2, "reserved", 0, 0),
        (1, "committed", 0, None),
        (10, "reserved", 0, 0),
    ]
    assert [row.is_locked for row in rows if row.state == "reserved"] == [False, False]
    whole = _within(vm.regions(None, "smaps"), region.address, region.size)
    assert [(row.size // PAGE, row.resident_size, row.swapped_size) for row in whole] == [
        (2, PAGE, None),
        (1, 0, None),
        (2, 0, 0),
        (1, 0, None),
        (10, 0, 0),
    ]


def test_locks_and_shares(region: vm.Region) -> None:
    """The system's where it tells; strongroom's own count either way. Under Wine nobody knows, and that is said."""
    region.lock(0, PAGE)
    locked, other = vm.pages(region.address, 2 * PAGE)
    assert (locked.locks, other.locks) == (1, 0)
    told = (None, None, None, None) if windows.HAS_WINE else (True, False, 0, 1)
    assert (locked.is_locked, other.is_locked, locked.shared_size, locked.share_count) == told
    assert vm.regions(None, "smaps").unread == UNREAD
    assert vm.regions(None, "pages").unread == UNREAD


def test_more_runs_than_are_asked_for_at_once() -> None:
    """Every second page of nine thousand: each is found, and nothing between them."""
    with vm.allocate(9000 * PAGE) as region:
        for page in range(0, 9000, 2):
            region.write(page * PAGE, b"x")
        rows = vm.pages(region.address, region.size)
        assert [row.resident_size for row in rows] == [PAGE, 0] * 4500
        (whole,) = _within(vm.regions(None, "smaps"), region.address, region.size)
        assert whole.resident_size == 4500 * PAGE


@on_windows
def test_pages_of_libraries_are_shared() -> None:
    """Every process has ntdll: what of it is resident is shared, by as many as seven and more."""
    rows = [row for row in vm.regions(None, "pages") if (row.path or "").lower().endswith("\\ntdll.dll")]
    assert max(row.share_count or 0 for row in rows) > 1
    assert sum(row.shared_size or 0 for row in rows) > 0


@under_wine
def test_what_is_resident_is_what_the_kernel_below_says() -> None:
    """Of each row of files and libraries that smaps has as a whole; and of memory filled just now, to the page."""
    with vm.allocate(64 * PAGE) as region:
        for page in range(0, 64, 3):
            region.write(page * PAGE, b"x")
        before = _resident(windows.kernel_file("smaps"))
        listing, smaps = vm.regions(None, "smaps"), windows.kernel_file("smaps")
        (ours,) = _within(listing, region.address, region.size)
        assert ours.resident_size == 22 * PAGE
    below, after = windows.parse_smaps(smaps), _resident(smaps)
    compared = 0
    for row in listing:
        parts = [m for m in below if m.start < row.address + row.size and m.end > row.address]
        is_whole = parts and all(row.address <= m.start and m.end <= row.address + row.size for m in parts)
        if is_whole and row.type != "private" and row.protection in (vm.READ_ONLY, vm.EXECUTE_READ):
            low, high = sorted(sum(told.get(m.start, 0) for m in parts) for told in (before, after))
            assert low - PAGE <= (row.resident_size or 0) <= high + PAGE, row  # code that runs meanwhile comes in
            compared += 1
    assert compared > 30


def _resident(smaps: str) -> dict[int, int]:
    """``Rss`` in bytes, by where a mapping begins."""
    found, start = {}, 0
    for line in smaps.splitlines():
        first = line.partition(" ")[0]
        if first == "Rss:":
            found[start] = int(line.split()[1]) * 1024
        elif not first.endswith(":"):
            start = int(first.partition("-")[0], 16)
    return found


def test_free_pages() -> None:
    """A gap up to its end, and everything beyond user space; pages of a range are the whole range."""
    region = vm.allocate(16 * PAGE)
    at = region.address
    region.release()
    info = vm.query(at + 5)
    assert (info.state, info.protection, info.allocation, info.type, info.is_shared) == ("free", 0, 0, "", None)
    assert info.address == at
    beyond = vm.query(1 << 63)
    assert (beyond.state, beyond.address + beyond.size) == ("free", 1 << 64)
    assert sum(row.size for row in vm.pages(0, (1 << 64) - 1)) == 1 << 64


def test_runs_end_where_our_books_change() -> None:
    """``query`` tells locked and secured pages apart, which VirtualQuery does not, and knows how it was made."""
    with vm.allocate(4 * PAGE, vm.READ_ONLY) as region:
        region.lock(PAGE, PAGE)
        with region.secure(2 * PAGE, PAGE, vm.READ_ONLY):
            infos = [vm.query(region.address + page * PAGE) for page in range(4)]
            assert [(info.size // PAGE, info.locks, info.secured) for info in infos] == [
                (1, 0, 0),
                (1, 1, 0),
                (1, 0, vm.READ_ONLY),
                (1, 0, 0),
            ]
        assert {info.allocation_protection for info in infos} == {vm.READ_ONLY}
        assert {info.known_by("allocation_protection") for info in infos} == {"strongroom"}
        assert {info.known_by("state") for info in infos} == {"system"}


def test_another_process(path: Path) -> None:
    """Its reserved and guarded pages, which Windows itself knows, and its files; not what only that process knows."""
    with Live(f"""
        from strongroom import vm
        region = vm.reserve({16 * PAGE})
        region.commit(0, {3 * PAGE})
        region.write(0, b"x")
        region.lock(0, {PAGE})
        region.protect({2 * PAGE}, {PAGE}, vm.READ_WRITE | vm.GUARD)
        file = open({str(path)!r}, "r+b")
        view = vm.map_file(file, protection=vm.READ_ONLY)
        print(region.address, view.address, os.getpid(), flush=True)
        os.read(0, 1)  # which needs no memory: nothing changes once that is said
    """) as live:
        at, view, pid = map(int, live.line().split())
        listing = vm.regions(pid)
        assert (listing.pid, listing.torn, listing.unread) == (pid, False, ())
        rows = [row[:3] + row[3:4] + row[7:9] for row in _within(listing, at, 16 * PAGE)]
        writable = vm.READ_WRITE
        assert rows == [
            (at, 2 * PAGE, "committed", writable, None, None),
            (at + 2 * PAGE, PAGE, "committed", writable | vm.GUARD, None, None),
            (at + 3 * PAGE, 13 * PAGE, "reserved", 0, None, None),
        ]
        (mapped,) = _within(listing, view, 1)
        assert (mapped.protection, mapped.type) == (vm.READ_ONLY, "mapped")
        assert (mapped.path or "").endswith("\\" + path.name)
        found = vm.pages(at, 2 * PAGE, pid=pid)
        if windows.HAS_WINE:
            assert ["QueryWorkingSetEx" in reason for reason in found.unread] == [True]
            assert {(row.resident_size, row.is_locked) for row in found} == {(None, None)}
            assert vm.regions(pid, "smaps").unread == found.unread
        else:
            assert [(row.resident_size, row.is_locked) for row in found] == [(PAGE, True), (0, False)]
        for number in range(1, 4):
            with pytest.raises(ProcessLookupError):
                vm.regions(pid + number)
        live.go()


def test_a_process_that_may_not_be_opened() -> None:
    """One with an access list that allows nobody anything: refused, with the privilege it takes, and what is open."""
    with Live("""
        descriptor, access = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
        advapi32, kernel32 = ctypes.windll.advapi32, ctypes.windll.kernel32
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        assert advapi32.InitializeSecurityDescriptor(descriptor, 1)
        assert advapi32.InitializeAcl(access, 64, 2)
        assert advapi32.SetSecurityDescriptorDacl(descriptor, True, access, False)
        me = ctypes.c_void_p(kernel32.GetCurrentProcess())
        assert advapi32.SetKernelObjectSecurity(me, 4, descriptor)  # DACL_SECURITY_INFORMATION
        print(os.getpid(), flush=True)
        input()
    """) as live:
        pid = int(live.line())
        for ask in (lambda: vm.regions(pid), lambda: vm.regions(pid, "pages"), lambda: vm.pages(0, PAGE, pid=pid)):
            with pytest.raises(PermissionError, match="SeDebugPrivilege") as caught:
                ask()
            assert "OpenProcess" in str(caught.value)
            assert "GetProcessMemoryInfo" in str(caught.value)
        live.go()


def test_a_process_that_has_ended() -> None:
    """Gone, though its number and its handle are still there."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    assert vm.regions(process.pid)
    process.kill()
    process.wait()
    for detail in ("maps", "smaps", "pages"):
        with pytest.raises(ProcessLookupError, match="no process"):
            vm.regions(process.pid, detail)
    with pytest.raises(ProcessLookupError, match="no process"):
        vm.pages(0, PAGE, pid=process.pid)
    process.communicate()


def test_a_process_that_changes_is_torn_or_in_order() -> None:
    """One that maps and unmaps without a pause: sooner or later torn, always in order."""
    code = "import mmap\nwhile True:\n  [mmap.mmap(-1, 65536) for _ in range(20)]"
    busy = subprocess.Popen([sys.executable, "-S", "-c", code])
    try:
        deadline, is_torn = time.monotonic() + DEADLINE_SECONDS, False
        while not is_torn and time.monotonic() < deadline:
            rows = vm.regions(busy.pid)
            is_torn, end = rows.torn, 0
            for row in rows:
                assert row.address >= end
                end = row.address + row.size
        assert is_torn
    finally:
        busy.kill()
        busy.communicate()


def test_own_number(region: vm.Region) -> None:
    """This process by its number is this process, books included."""
    (row,) = _within(vm.regions(os.getpid()), region.address, 1)
    assert (row.locks, row.secured, row.size) == (0, 0, 2 * PAGE)
    assert mmap.PAGESIZE == PAGE
