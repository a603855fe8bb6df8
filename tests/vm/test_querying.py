"""query and probe: what is at any address, ours or not, and that looking is safe while things change."""

import ctypes
import itertools
import mmap
import sys
import threading
from collections.abc import Iterator

import pytest

import needs
import observed
import pages
from pages import BASES, IS_LINUX, LETTERS, PAGE, Index, needs_proc
from strongroom import _native, vm

POSSIBLE = {name: base for name, base in BASES.items() if base in LETTERS}


@pytest.mark.parametrize("base", POSSIBLE)
def test_own_pages(base: str) -> None:
    """State, protection, allocation and locks of a run, from the page that was asked about to the run's end."""
    with vm.reserve(8 * PAGE) as region:
        region.commit(2 * PAGE, 3 * PAGE, POSSIBLE[base])
        at = region.address
        assert (at, 2 * PAGE, "reserved", 0, at, vm.NO_ACCESS, "private", 0) == vm.query(at)[:8]
        assert (at + 3 * PAGE, 2 * PAGE, "committed", POSSIBLE[base], at) == vm.query(at + 3 * PAGE + 17)[:5]
        assert (vm.query(at + 5 * PAGE).state, vm.query(at + 5 * PAGE).size) == ("reserved", 3 * PAGE)
        letters = LETTERS[POSSIBLE[base]] if IS_LINUX or base != "EXECUTE" else "--x"
        assert letters == observed.protection_at(at + 2 * PAGE)


def test_what_a_region_was_made_with() -> None:
    """The allocation protection stays, whatever the pages become; a guard is known too, and the locks."""
    with vm.allocate(2 * PAGE, vm.READ_ONLY) as region:
        region.lock(PAGE, PAGE)
        region.protect(0, PAGE, vm.READ_WRITE | vm.GUARD)
        info = vm.query(region.address)
        assert (info.protection, info.allocation_protection, info.locks) == (vm.READ_WRITE | vm.GUARD, vm.READ_ONLY, 0)
        assert vm.query(region.address + PAGE).locks == 1


@needs_proc
def test_what_others_changed_is_the_systems_answer() -> None:
    """A page that other code protected or unmapped shows as what it is, reserved ones included."""
    with vm.reserve(8 * PAGE) as region:
        region.commit(0, 4 * PAGE)
        at = region.address
        assert pages.others_protect(at + PAGE, PAGE, pages.PROT_READ) == 0
        assert _short(vm.query(at)) == ("committed", vm.READ_WRITE, PAGE)
        assert _short(vm.query(at + PAGE)) == ("committed", vm.READ_ONLY, PAGE)
        assert pages.others_unmap(at + 2 * PAGE, PAGE) == 0
        assert _short(vm.query(at + 2 * PAGE)) == ("free", 0, PAGE)
        assert pages.others_protect(at + 5 * PAGE, PAGE, pages.PROT_READ_WRITE) == 0
        assert _short(vm.query(at + 4 * PAGE)) == ("reserved", 0, PAGE)
        assert _short(vm.query(at + 5 * PAGE)) == ("committed", vm.READ_WRITE, PAGE)
        assert pages.others_unmap(at + 6 * PAGE, PAGE) == 0
        assert _short(vm.query(at + 6 * PAGE)) == ("free", 0, PAGE)
        assert vm.query(at + 6 * PAGE)[6:7] + vm.query(at + 6 * PAGE)[4:6] == ("", 0, 0)


def _short(info: vm.PageInfo) -> tuple[str, int, int]:
    return info.state, info.protection, info.size


@needs_proc
def test_runs_are_not_cut_by_what_the_kernel_keeps_apart() -> None:
    """Other code's lock splits the kernel's mapping, not what is alike to a reader."""
    with vm.allocate(6 * PAGE) as region:
        assert pages.others_lock(region.address + 2 * PAGE, PAGE) == 0
        assert vm.query(region.address).size == 6 * PAGE


@needs_proc
def test_foreign_mappings() -> None:
    """Anonymous memory, a file and code of the C library agree with /proc/self/maps."""
    anonymous = mmap.mmap(-1, 6 * PAGE, flags=mmap.MAP_PRIVATE)
    inside = observed.address_of(anonymous) + PAGE
    for beside in (inside - PAGE, inside + 4 * PAGE):  # or what the heap gets next may become one mapping with it
        assert pages.others_protect(beside, PAGE, pages.PROT_NONE) == 0
    with open(__file__, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    code = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    assert code is not None
    for address, kind in (
        (inside, "private"),
        (observed.address_of(mapped), "mapped"),
        (code, "image"),
    ):
        info, mapping = vm.query(address), observed.mapping_at(address)
        assert mapping is not None
        assert (mapping.start, mapping.end) == (info.allocation, info.address + info.size)
        assert LETTERS[info.protection] == mapping.permissions[:3]
        assert ("committed", kind, 0) == (info.state, info.type, info.locks)
    anonymous.close()
    mapped.close()


def test_gaps_are_free() -> None:
    """Between two mappings, below the first, and above all of them: free, up to where the next begins."""
    listing = observed.mappings()
    pairs = [(low, high) for low, high in itertools.pairwise(listing) if low.path != "[heap]"]  # which grows
    gap = next((low.end, high.start - low.end) for low, high in pairs if low.end < high.start)
    info = vm.query(gap[0])
    assert (info.state, info.protection, info.allocation, info.locks, info.type) == ("free", 0, 0, 0, "")
    assert gap[0] == info.address
    assert info.size <= gap[1]  # something may have come to lie there since
    assert vm.query(0).state == "free"
    for last in ((1 << 64) - 1, (1 << 64) - PAGE):
        top = vm.query(last)
        assert (top.address, top.size, top.state) == ((1 << 64) - PAGE, PAGE, "free")


def test_a_walk_over_everything_agrees_with_the_system() -> None:
    """From address 0 on, run after run without a gap or an overlap: each mapping is found, with its protection."""
    with vm.reserve(16 * PAGE) as region:
        region.commit(4 * PAGE, 4 * PAGE)
        listing = [m for m in observed.mappings() if m.path]  # named ones do not come and go while this test looks
        found: dict[int, str] = {}
        address = 0
        while address < 1 << 64:
            info = vm.query(address)
            assert address == info.address
            assert info.size > 0
            assert info.size % PAGE == 0
            if info.state == "committed":
                found[info.address] = LETTERS.get(info.protection, "?")
            address += info.size
        letters = {m.start: m.permissions[:3] for m in listing if not m.path.startswith(("[heap", "[v"))}
        assert letters == {start: found.get(start, "none") for start in letters}


@pytest.mark.parametrize("wrong", [-1, 1 << 64, 1 << 70])
def test_addresses_that_are_none_are_named(wrong: int) -> None:
    """ValueError with the number."""
    with pytest.raises(ValueError, match=f"{wrong:,}"):
        vm.query(wrong)
    with pytest.raises(ValueError, match=f"{wrong:,}"):
        vm.probe(wrong, 1, vm.READ_ONLY)
    with pytest.raises(ValueError, match=f"{wrong:,}"):
        vm.probe(0, wrong, vm.READ_ONLY)


@pytest.mark.parametrize("wrong", [True, 1.5, None, "0"])
def test_addresses_are_integers(wrong: object) -> None:
    """TypeError for anything else, in the words of the other calls; objects with __index__ are fine."""
    for call in (lambda: vm.query(wrong), lambda: vm.probe(wrong, 1, vm.READ_ONLY)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"address must be an integer, not {'str' if wrong == '0' else wrong}"):
            call()
    assert vm.query(Index(0)).state == "free"  # type: ignore[arg-type]


@pytest.mark.parametrize("base", POSSIBLE)
def test_probing(base: str) -> None:
    """Readable and writable as the protection says; a guard page and a reserved page are neither."""
    readable, writable = LETTERS[POSSIBLE[base]][0] == "r", LETTERS[POSSIBLE[base]][1] == "w"
    with vm.reserve(3 * PAGE) as region:
        region.commit(0, 2 * PAGE, POSSIBLE[base])
        at = region.address
        assert readable == vm.probe(at, 2 * PAGE, vm.READ_ONLY)
        assert writable == vm.probe(at + PAGE - 1, 2, vm.READ_WRITE)
        assert not vm.probe(at, 2 * PAGE + 1, vm.READ_ONLY)
        if base != "NO_ACCESS":
            region.protect(PAGE, PAGE, POSSIBLE[base] | vm.GUARD)
            assert not vm.probe(at + PAGE, 1, vm.READ_ONLY)
            assert readable == vm.probe(at, PAGE, vm.READ_ONLY)
        for mode in (vm.NO_ACCESS, vm.READ_WRITE | vm.GUARD, 0):
            with pytest.raises(ValueError, match="mode must be"):
                vm.probe(at, 1, mode)
        with pytest.raises(ValueError, match="at least 1 byte"):
            vm.probe(at, 0, vm.READ_ONLY)


def test_probing_across_mappings_and_gaps() -> None:
    """All of a range counts, whatever it is made of; a range to the end of everything is not readable."""
    with vm.reserve(4 * PAGE) as region:
        region.commit(0, PAGE, vm.READ_ONLY)
        region.commit(PAGE, PAGE, vm.READ_WRITE)
        region.commit(2 * PAGE, PAGE, vm.EXECUTE_READ)
        assert vm.probe(region.address, 3 * PAGE, vm.READ_ONLY)
        assert not vm.probe(region.address, 2 * PAGE, vm.READ_WRITE)
        assert not vm.probe(0, (1 << 64) - 1, vm.READ_ONLY)
        assert not vm.probe((1 << 64) - 1, 1, vm.READ_ONLY)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns often: more can happen between two lines."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_looking_while_others_change_things() -> None:
    """Regions that come, change and go in other threads: each answer is one that was true, none is an error."""
    shared = [vm.allocate(8 * PAGE)]
    is_over = threading.Event()
    errors: list[BaseException] = []

    def change() -> None:
        while not is_over.is_set():
            region = shared[0]
            region.protect(0, 4 * PAGE, vm.READ_ONLY)
            region.decommit(4 * PAGE, 2 * PAGE)
            shared[0] = vm.allocate(8 * PAGE, near=region.address)
            region.release()

    def look() -> None:
        try:
            for _ in range(30):
                at = shared[0].address
                info = vm.query(at + PAGE)
                assert info.state in ("free", "reserved", "committed")
                assert (info.protection == 0) == (info.state != "committed")
                assert vm.probe(at, 8 * PAGE, vm.READ_ONLY) in (False, True)
        except BaseException as error:
            errors.append(error)

    changing = threading.Thread(target=change)
    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in (changing, *looking):
        thread.start()
    for thread in looking:
        thread.join()
    is_over.set()
    changing.join()
    shared[0].release()
    assert errors == []


def test_a_large_reservation_is_one_run() -> None:
    """A tebibyte with a page in the middle is three runs, and asking is not slower for it."""
    with vm.reserve(1 << 40) as region:
        region.commit(1 << 39, PAGE)
        sizes = [vm.query(region.address + offset).size for offset in (0, 1 << 39, (1 << 39) + PAGE)]
        assert sizes == [1 << 39, PAGE, (1 << 39) - PAGE]


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each reading of /proc/self/maps."""
    read, numbers = _native.read_mappings, list[int]()

    def counted(record: type[vm.PageInfo], pid: int, is_detailed: bool) -> tuple[list[vm.PageInfo], bool]:
        numbers.append(len(numbers))
        return read(record, pid, is_detailed)

    monkeypatch.setattr(_native, "read_mappings", counted)
    return numbers


@needs_proc
def test_probing_reads_the_listing_once(readings: list[int]) -> None:
    """Two thousand runs, one reading of /proc/self/maps and one of strongroom's own books."""
    with vm.allocate(2000 * PAGE) as region:
        for page in range(0, 2000, 2):
            region.protect(page * PAGE, PAGE, vm.READ_ONLY)
        assert vm.probe(region.address, region.size, vm.READ_ONLY)
        assert len(readings) == 1
        assert not vm.probe(region.address, region.size, vm.READ_WRITE)
        region.protect(1999 * PAGE, PAGE, vm.NO_ACCESS)
        assert not vm.probe(region.address, region.size, vm.READ_ONLY)
        assert len(readings) in (2, 3)  # the second needs one mapping only, which Linux tells alone since 6.11


@needs_proc
@needs.locks(200 * PAGE)
def test_a_run_that_the_kernel_keeps_in_pieces_is_one_reading(readings: list[int]) -> None:
    """Other code's locks make hundreds of mappings of what is one run to strongroom."""
    with vm.allocate(400 * PAGE) as region:
        for page in range(0, 400, 2):
            assert pages.others_lock(region.address + page * PAGE, PAGE) == 0
        assert vm.query(region.address).size == region.size
        assert len(readings) == 1
