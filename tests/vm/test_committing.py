"""Commit and decommit: zeros, rounding, demand paging, and address space that stays taken."""

import pytest

from pages import PAGE, letters, needs_fork, needs_proc, resident, seen
from strongroom import AccessError, SystemCallError, vm

GIBIBYTE = 1 << 30


@pytest.mark.parametrize(
    ("offset", "size", "became"),
    [
        (0, 1, (0, PAGE)),
        (PAGE - 1, 2, (0, 2 * PAGE)),
        (PAGE - 1, 1, (0, PAGE)),
        (PAGE, PAGE, (PAGE, PAGE)),
        (PAGE, PAGE + 1, (PAGE, 2 * PAGE)),
        (3 * PAGE + 5, None, (3 * PAGE, PAGE)),
        (0, None, (0, 4 * PAGE)),
    ],
)
def test_ranges_become_the_pages_they_touch(offset: int, size: int | None, became: tuple[int, int]) -> None:
    """The start is rounded down, the end up: commit(4095, 2) is two pages. Decommit and lock round alike."""
    with vm.reserve(4 * PAGE) as region:
        assert became == region.commit(offset, size)
        assert became == region.lock(offset, size)
        assert became == region.unlock(offset, size)
        assert [(became[0], became[1], vm.READ_WRITE, 0)] == [run for run in region.pages() if run.is_committed]
        assert became == region.decommit(offset, size)
        assert region.pages() == [(0, 4 * PAGE, 0, 0)]


@needs_proc
def test_only_the_committed_pages_become_accessible() -> None:
    """The system shows access to them, and none to their neighbours."""
    with vm.reserve(4 * PAGE) as region:
        region.commit(PAGE, PAGE)
        assert letters(region) == ["---", "rw-", "---", "---"]


def test_committed_memory_is_zero() -> None:
    """Memory is initialised to 0."""
    with vm.allocate(4 * PAGE) as region:
        assert bytes(4 * PAGE) == region.read()


def test_decommitted_and_committed_again_it_is_zero_again() -> None:
    """Nothing of what was there comes back; the neighbours keep theirs."""
    with vm.allocate(3 * PAGE) as region:
        region.fill(0, None, 0xA5)
        region.decommit(PAGE, PAGE)
        region.commit(PAGE, PAGE)
        assert b"\xa5" * PAGE + bytes(PAGE) + b"\xa5" * PAGE == region.read()


def test_committing_again_keeps_the_content() -> None:
    """Pages that are committed get the protection and stay what they are."""
    with vm.allocate(2 * PAGE) as region:
        region.write(PAGE, b"1337")
        region.commit(0, None, vm.READ_ONLY)
        assert region.read(PAGE, 4) == b"1337"
        assert region.pages() == [(0, 2 * PAGE, vm.READ_ONLY, 0)]


@needs_proc
def test_a_gibibyte_committed_and_untouched_has_no_frames() -> None:
    """Demand paging: memory is only there once it is accessed, and then only the page that was."""
    with vm.reserve(GIBIBYTE) as region:
        try:
            region.commit()
        except SystemCallError as error:
            pytest.skip(f"this machine does not promise a gibibyte (vm.overcommit_memory): {error}")
        assert resident(region.address, GIBIBYTE) == 0
        region.write(GIBIBYTE // 2, b"1")
        assert resident(region.address + GIBIBYTE // 2, PAGE) == 1
        assert resident(region.address, GIBIBYTE) <= 512  # one, or a transparent large page
        region.decommit()
        assert resident(region.address, GIBIBYTE) == 0


@needs_proc
def test_decommitted_pages_stay_reserved() -> None:
    """The range is still mapped, without access, and not free for others."""
    with vm.allocate(3 * PAGE) as region:
        region.decommit(PAGE, PAGE)
        assert letters(region) == ["rw-", "---", "rw-"]
        assert vm.query(region.address + PAGE).state == "reserved"
        with pytest.raises(AccessError, match="offset 0x1000 is reserved"):
            region.read(0, 2 * PAGE)


def test_decommitting_what_is_reserved_is_fine() -> None:
    """A range may be decommitted twice, and holes in it do not matter."""
    with vm.reserve(3 * PAGE) as region:
        region.commit(PAGE, PAGE)
        assert region.decommit() == (0, 3 * PAGE)
        assert region.decommit() == (0, 3 * PAGE)


@needs_proc
def test_decommit_ends_locks() -> None:
    """However many there were; pages committed anew are not locked, and unlocking them is an error."""
    with vm.allocate(2 * PAGE) as region:
        region.lock()
        region.lock()
        region.decommit(PAGE, PAGE)
        region.commit(PAGE, PAGE)
        assert [page.is_locked for page in seen(region.address, 2 * PAGE)] == [True, False]
        with pytest.raises(AccessError, match="offset 0x1000 is not locked"):
            region.unlock()
        region.unlock(0, PAGE)
        region.unlock(0, PAGE)


def test_the_example_of_the_manual() -> None:
    """Eight bytes committed, a word written and read back, decommitted: the range is reserved until it is released."""
    with vm.allocate(8) as region:
        region.write(0, b"1337\0")
        assert region.read(0, 5) == b"1337\0"
        assert region.decommit(0, 8) == (0, PAGE)
        with pytest.raises(AccessError, match="reserved, not committed"):
            region.read(0, 5)


@needs_fork
def test_regions_are_private() -> None:
    """A child has its own copy: what it writes there is not in the parent's."""
    import mmap

    from children import forked

    with vm.allocate(PAGE) as region, mmap.mmap(-1, PAGE) as shared:  # the control: this one is shared
        region.write(0, b"ours")

        def write() -> bytes:
            region.write(0, b"child")
            shared[:5] = b"child"
            return region.read(0, 5)

        assert forked(write) == "b'child'"
        assert region.read(0, 5) == b"ours\0"
        assert shared[:5] == b"child"


@needs_proc
def test_a_commit_that_fails_half_way_changes_nothing() -> None:
    """Reserved and committed pages in turn, and a page that others unmapped: what had been done is undone."""
    from pages import others_unmap

    with vm.reserve(6 * PAGE) as region:
        region.commit(PAGE, PAGE, vm.READ_ONLY)
        region.commit(3 * PAGE, PAGE, vm.NO_ACCESS)
        assert others_unmap(region.address + 5 * PAGE, PAGE) == 0
        before = ["---", "r--", "---", "---", "---"]
        assert [*before, "gone"] == letters(region)
        with pytest.raises(SystemCallError, match="nothing was changed"):
            region.commit(0, None, vm.READ_WRITE)
        assert before == letters(region)[:5]
        runs = [(run.offset // PAGE, run.protection) for run in region.pages()]
        assert runs == [(0, 0), (1, vm.READ_ONLY), (2, 0), (3, vm.NO_ACCESS), (4, 0)]
