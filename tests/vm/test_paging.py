"""Pages that leave memory and come back, without a page file: what is asked, counted, refused, and forgotten."""

import ctypes
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import observed
import pages
import vanishing
from children import succeed
from pages import PAGE, needs_fork, needs_proc
from strongroom import AccessError, SecuredError, UnsupportedError, vm

resource = pytest.importorskip("resource", reason="Windows has its own: tests/windows/test_working_set.py")

SIZE = 8 * PAGE


@pytest.fixture
def region() -> Iterator[vm.Region]:
    """Eight pages with the same bytes in each."""
    with vm.allocate(SIZE) as made:
        made.fill(0, SIZE, 7)
        yield made


@pytest.fixture
def view(tmp_path: Path) -> Iterator[vm.MappedView]:
    """Eight pages of a file, on its disk."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    if kind.strip() in ("tmpfs", "ramfs"):
        pytest.skip("needs temporary files on a disk: set TMPDIR")
    path = tmp_path / "file"
    with vanishing.one_cpu(), path.open("w+b") as file, vm.map_file(file, 0, SIZE) as made:
        made.fill(0, SIZE, 7)
        made.flush()
        yield made


def in_memory(address: int, size: int) -> list[int]:
    """mincore(2), asked by other code."""
    found = ctypes.create_string_buffer(size // PAGE)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), found) == 0
    return [byte & 1 for byte in found.raw]


def fewest(touch: Callable[[vm.Region], object], prepare: Callable[[vm.Region], object] = lambda _: None) -> int:
    """The fewest minor faults of several tries, each on fresh pages: Python's own heap grows when it likes."""
    found = []
    for _ in range(8):
        with vm.allocate(SIZE) as fresh:
            prepare(fresh)
            before = vm.faults(thread=True).minor
            touch(fresh)
            found.append(vm.faults(thread=True).minor - before)
    return min(found)


def write_each(region: vm.Region) -> None:
    for page in range(8):
        region.write(page * PAGE, b"1")


def read_each(region: vm.Region) -> None:
    for page in range(8):
        region.read(page * PAGE, 1)


def test_each_touch_is_a_fault_once() -> None:
    """A thread's faults rise by one for each fresh page, and not for one that is there; the process has as many."""
    assert fewest(write_each) == 8
    assert fewest(read_each, write_each) == 0
    mine = vm.faults(thread=True)
    assert vm.faults().minor >= mine.minor


@needs_proc
def test_faults_of_processes() -> None:
    """This process's are getrusage's, another's are those of its stat, whatever it calls itself."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    now = vm.faults()
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert before.ru_minflt <= now[0] <= after.ru_minflt
    assert before.ru_majflt <= now[1] <= after.ru_majflt
    succeed("""
        from strongroom import vm
        libc.prctl(15, b") S (1 2 3", 0, 0, 0)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(read_end, 1)
            os._exit(0)
        fields = open(f"/proc/{child}/stat").read().rpartition(")")[2].split()
        while fields[0] != "S":
            fields = open(f"/proc/{child}/stat").read().rpartition(")")[2].split()
        told = vm.faults(child)
        os.write(write_end, b"x")
        os.waitpid(child, 0)
        assert told == (int(fields[7]), int(fields[9])), (told, fields)
        try:
            vm.faults(child)
        except ProcessLookupError as error:
            assert f"{child:,}" in str(error)
        else:
            raise AssertionError("it is gone")
    """)
    with pytest.raises(ValueError, match="pid"):
        vm.faults(1, thread=True)


@needs_proc
def test_a_files_pages_go_without_a_page_file(view: vm.MappedView) -> None:
    """They leave memory, as mincore says to anybody, and come back with what they held: all, or those asked for."""
    assert sum(in_memory(view.address, SIZE)) == 8
    moved = view.page_out(2 * PAGE, 3 * PAGE)
    assert moved == (3, 3, 0, None)
    assert in_memory(view.address, SIZE)[2:5] == [0, 0, 0]
    assert view.prefetch(PAGE, 4 * PAGE) == (4, 1, 4, None)
    assert vm.page_out(view.address, PAGE, 1).after == 0
    assert vm.prefetch(view, 0, None, wait=False).asked == 8
    assert view.read() == bytes([7]) * SIZE


@needs_proc
def test_what_cannot_leave_says_why(region: vm.Region) -> None:
    """Without a page file nothing moves, that is no error, and the pages hold what they held."""
    before, moved, after = vm.page_files(), region.page_out(), vm.page_files()
    if before or after:  # another program may have made one just now
        pytest.skip("needs a machine without page files: swapoff")
    assert moved == (8, 8, 8, "there is no page file with room for private memory")
    assert sum(in_memory(region.address, SIZE)) == 8
    assert region.read() == bytes([7]) * SIZE


@needs_proc
@needs_fork
def test_what_a_child_shares_stays() -> None:
    """Pages that a fork left shared are not moved, and the reason says it."""
    succeed("""
        from strongroom import vm
        region = vm.allocate(8 * vm.PAGE_SIZE)
        region.fill(0, None, 7)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(read_end, 1)
            os._exit(0)
        moved = region.page_out()
        os.write(write_end, b"x")
        os.waitpid(child, 0)
        assert moved[:3] == (8, 8, 8), moved
        assert "after a fork" in moved.reason, moved
    """)


def test_untouched_pages_come_with_prefetch() -> None:
    """Committed pages that nobody touched are not in memory, and are after it; reading them then is no fault."""
    with vm.allocate(SIZE) as fresh:
        assert fresh.page_out() == (8, 0, 0, None)
        assert fresh.prefetch(PAGE, 6 * PAGE) == (6, 0, 6, None)
    assert fewest(read_each, lambda fresh: fresh.prefetch()) == 0


def test_locked_pages_are_refused(region: vm.Region) -> None:
    """AccessError names the page; nothing of the range is moved or reset, and the lock is what it was."""
    region.lock(3 * PAGE, PAGE)
    for act in (region.page_out, region.reset, region.undo_reset, lambda: vm.page_out(region.address, 0, SIZE)):
        with pytest.raises(AccessError, match="0x3000 is locked"):
            act()
    assert region.prefetch()[:3] == (8, 8, 8)
    assert region.pages()[1].locks == 1
    assert region.read() == bytes([7]) * SIZE


@needs_proc
def test_pages_that_others_locked_are_refused() -> None:
    """So are pages that other code locked, in a region and outside of any."""
    with vm.allocate(PAGE) as region, mmap.mmap(-1, PAGE) as other:
        address = ctypes.addressof(ctypes.c_char.from_buffer(other))
        for place in (region.address, address):
            assert pages.others_lock(place, PAGE) == 0
            with pytest.raises(AccessError, match="locked"):
                vm.page_out(place, 0, PAGE)
            assert "lo" in (observed.mapping_at(place) or pytest.fail("gone")).flags


def test_pages_that_are_not_committed(region: vm.Region) -> None:
    """Each verb names the first page; what may not be read cannot be fetched, a guard page guards on."""
    region.decommit(4 * PAGE, PAGE)
    region.protect(6 * PAGE, PAGE, vm.READ_WRITE | vm.GUARD)
    for act in (region.page_out, region.prefetch, region.reset, region.undo_reset):
        with pytest.raises(AccessError, match="0x4000 is reserved"):
            act()
    with pytest.raises(AccessError, match="0x6000 is READ_WRITE"):
        region.prefetch(5 * PAGE, 2 * PAGE)
    with pytest.raises(AccessError, match="0x6000 is READ_WRITE"):
        region.undo_reset(5 * PAGE, 2 * PAGE)
    assert region.pages()[-2].protection == vm.READ_WRITE | vm.GUARD


def test_what_somebody_relies_on_is_not_reset(region: vm.Region) -> None:
    """A handle and a View refuse it, whatever their mode; paging is none of their business."""
    with region.secure(0, PAGE, vm.READ_ONLY):
        with pytest.raises(SecuredError, match="take away what they hold"):
            region.reset()
        assert region.page_out().asked == 8
    with region.view(0, 1) as bytes_of_it:
        with pytest.raises(BufferError, match="View"):
            region.reset()
        assert region.prefetch().after == 8
        assert region.page_out().asked == 8
        assert bytes_of_it[0] == 7
    assert region.reset(0, 1) == (0, PAGE)


def test_a_hold_of_prefetch_ends_with_it(region: vm.Region) -> None:
    """Afterwards the pages may be given back; also after an error."""
    region.prefetch()
    region.decommit(0, PAGE)
    assert pages.others_unmap(region.address + PAGE, PAGE) == 0
    with pytest.raises(OSError, match="madvise"):
        region.prefetch(PAGE, PAGE)
    region.decommit()


@needs_proc
def test_reset_and_undone() -> None:
    """What was reset the kernel drops when it is to page out; what was written since, or taken back, it keeps."""
    succeed("""
        from strongroom import vm
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # a page may wait on one, unseen by others
        P = vm.PAGE_SIZE
        region = vm.allocate(4 * P)
        region.fill(0, None, 7)
        assert region.reset(0, 3 * P) == (0, 3 * P)
        assert region.read(0, P) == bytes([7]) * P
        region.write(P, b"new")
        assert region.undo_reset(2 * P, P) is True
        deadline = time.monotonic() + 50
        while region.read(0, P) != bytes(P):  # a page that somebody looks at just now, to move it for example, stays
            assert time.monotonic() < deadline, "it was not dropped"
            region.page_out()
        assert region.read(P, 4) == b"new" + bytes([7])
        assert region.read(2 * P, 2 * P) == bytes([7]) * 2 * P
        assert region.undo_reset(0, P) is False
        assert region.undo_reset(P, 3 * P) is True
    """)


@needs_proc
def test_undo_reset_leaves_no_copy() -> None:
    """What it read, to see whether it was lost, is not on the stack afterwards, where the environment is found."""
    succeed(
        """
        from strongroom import vm
        P = vm.PAGE_SIZE
        def on_the_stack(what):
            line = next(line for line in open("/proc/self/maps") if line.endswith("[stack]\\n"))
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            memory = os.open("/proc/self/mem", os.O_RDONLY)
            try:
                content = os.pread(memory, end - start, start)  # in one, or a page's end may lie in what is looked for
            finally:
                os.close(memory)
            assert len(content) == end - start
            return content.count(what)
        with vm.allocate(P) as region:
            ctypes.memset(region.address, 0xA7, P)  # by what needs no copy
            assert region.undo_reset() is True
            assert on_the_stack(bytes([0xA7]) * 64) == 0
            assert on_the_stack(b"\\0TRACER=found") == 1
    """,
        env={"TRACER": "found"},
    )


def test_views_and_large_pages_are_not_reset(view: vm.MappedView) -> None:
    """What a file's pages hold is the file's."""
    for act in (view.reset, view.undo_reset):
        with pytest.raises(UnsupportedError, match="section's"):
            act()
    assert view.read() == bytes([7]) * SIZE


@needs_proc
def test_any_address() -> None:
    """Memory that is no region's can be moved too; what is not mapped is an error that names the call."""
    with mmap.mmap(-1, 4 * PAGE) as other:
        other[:] = b"o" * 4 * PAGE
        address = ctypes.addressof(ctypes.c_char.from_buffer(other))
        assert vm.page_out(address, PAGE + 1, PAGE)[:2] == (2, 2)
        assert vm.prefetch(address, 0, 4 * PAGE)[::2] == (4, 4)
        assert other[:] == b"o" * 4 * PAGE
    with vm.reserve(PAGE, near=pages.FAR_AWAY) as gone:
        pass
    for act in (vm.page_out, vm.prefetch):
        with pytest.raises(OSError, match="madvise"):
            act(gone.address, 0, PAGE)
        with pytest.raises(ValueError, match="size must be given"):
            act(gone.address)


@needs_proc
def test_an_address_in_a_region_is_the_regions(region: vm.Region) -> None:
    """By address the same errors as by region; a range that ends beyond it is asked of the system."""
    region.decommit(0, PAGE)
    for act in (vm.page_out, vm.prefetch):
        with pytest.raises(AccessError, match=f"{act.__name__}: the page at offset 0x0 is reserved"):
            act(region.address, 0, PAGE)
        assert act(region.address, PAGE, PAGE).asked == 1
    with pytest.raises(OSError, match="madvise"):
        vm.prefetch(region.address, 0, SIZE + PAGE)


@needs_proc
def test_clustering_is_the_kernels() -> None:
    """2 to the power of vm.page-cluster."""
    told = int(Path("/proc/sys/vm/page-cluster").read_text())
    assert vm.clustering().swap_pages == 2**told
    assert vm.clustering().is_per_region in (True, False, None)


@needs_proc
def test_the_layout_is_where_mappings_are() -> None:
    """All of this process lies in the user half; nothing can be mapped beyond it, and something can up to it."""
    told = vm.layout()
    rows = [row for row in vm.regions() if row.path != "[vsyscall]"]
    assert told.user_start <= rows[0].address
    assert rows[-1].address + rows[-1].size <= told.user_end < told.kernel_start
    assert (told.page_size, told.granularity) == (vm.PAGE_SIZE, vm.GRANULARITY)
    if os.uname().machine == "x86_64":
        assert told.bits in (48, 57)
        assert told.user_end == (1 << told.bits - 1) - PAGE
        assert told.kernel_start == (1 << 64) - (1 << told.bits - 1)
        with pytest.raises(OSError, match="mmap"):
            vm.reserve(PAGE, address=told.user_end)
    highest = min(told.user_end, 1 << 47) - PAGE
    for row in reversed(rows):  # the stack ends up here where addresses are not random, and has to be able to grow
        if row.address + row.size > highest:
            highest = row.address - (1 << 24)
    with vm.reserve(PAGE, address=highest):
        assert highest < told.user_end
