"""Locks: counted per page, and only strongroom's own; the system is asked what it keeps in RAM."""

import gc

import pytest

import pages
from pages import PAGE, locked, needs_fork, needs_proc
from strongroom import AccessError, LockLimitError, vm

pytestmark = needs_proc


def counts(region: vm.Region) -> list[int]:
    """How many locks each page has, as strongroom counts them."""
    return [run.locks for run in region.pages() for _ in range(run.size // PAGE)]


def test_two_locks_need_two_unlocks() -> None:
    """The system hears of the first lock and of the last unlock; one more is an error."""
    with vm.allocate(PAGE) as region:
        for count in (1, 2):
            region.lock()
            assert [count] == counts(region)
            assert locked(region) == [0]
        region.unlock()
        assert locked(region) == [0]
        region.unlock()
        assert locked(region) == []
        with pytest.raises(AccessError, match="offset 0x0 is not locked by strongroom"):
            region.unlock()


def test_a_locked_page_is_resident() -> None:
    """Every page of the range is touched; those beside it are not."""
    with vm.allocate(512 * PAGE) as region:
        region.lock(100 * PAGE, 7 * PAGE)
        assert pages.resident(region.address + 100 * PAGE, 7 * PAGE) == 7
        assert list(range(100, 107)) == locked(region)
        assert bytes(7 * PAGE) == region.read(100 * PAGE, 7 * PAGE)


def test_overlapping_ranges_count_per_page() -> None:
    """Unlocking one range leaves the other locked, page by page."""
    with vm.allocate(6 * PAGE) as region:
        region.lock(0, 4 * PAGE)
        region.lock(2 * PAGE, 4 * PAGE)
        assert counts(region) == [1, 1, 2, 2, 1, 1]
        region.unlock(0, 4 * PAGE)
        assert locked(region) == [2, 3, 4, 5]
        region.unlock(3 * PAGE, PAGE)
        assert locked(region) == [2, 4, 5]
        region.lock()
        assert locked(region) == [0, 1, 2, 3, 4, 5]


def test_an_unlock_that_reaches_too_far_unlocks_nothing() -> None:
    """One page in the range without a lock, or none committed, and all keep theirs."""
    with vm.reserve(4 * PAGE) as region:
        region.commit(0, 3 * PAGE)
        region.lock(0, 2 * PAGE)
        with pytest.raises(AccessError, match="offset 0x2000 is not locked"):
            region.unlock(0, 3 * PAGE)
        with pytest.raises(AccessError, match="offset 0x3000 is reserved"):
            region.unlock(3 * PAGE, PAGE)
        assert locked(region) == [0, 1]


@pytest.mark.parametrize("protection", [vm.NO_ACCESS, vm.READ_WRITE | vm.GUARD, 0], ids=vm.protection_name)
def test_what_cannot_be_touched_cannot_be_locked(protection: int) -> None:
    """One such page and nothing of the range is locked."""
    with vm.allocate(3 * PAGE) as region:
        if protection:
            region.protect(2 * PAGE, PAGE, protection)
        else:
            region.decommit(2 * PAGE, PAGE)
        with pytest.raises(AccessError, match=f"offset 0x2000 is {vm.protection_name(protection)}"):
            region.lock()
        assert locked(region) == []


@pytest.mark.parametrize("protection", [vm.READ_ONLY, vm.EXECUTE_READ, vm.EXECUTE_READ_WRITE], ids=vm.protection_name)
def test_whatever_can_be_read_can_be_locked(protection: int) -> None:
    """It need not be writable."""
    with vm.allocate(PAGE, protection) as region:
        region.lock()
        assert locked(region) == [0]


def test_protection_and_locks_are_two_things() -> None:
    """A locked page stays locked whatever becomes of its protection."""
    with vm.allocate(2 * PAGE) as region:
        region.lock()
        for protection in (vm.NO_ACCESS, vm.READ_ONLY, vm.READ_WRITE | vm.GUARD, vm.READ_WRITE):
            region.protect(0, PAGE, protection)
            assert locked(region) == [0, 1]
        region.commit(0, None, vm.READ_ONLY)
        region.unlock()
        assert locked(region) == []


def test_pages_that_others_locked_stay_locked() -> None:
    """Page by page: what other code had locked before is locked after the last unlock, the rest is not."""
    with vm.allocate(8 * PAGE) as region:
        for page in (2, 5):
            assert pages.others_lock(region.address + page * PAGE, PAGE) == 0
        region.lock(PAGE, 6 * PAGE)
        region.lock(PAGE, 6 * PAGE)
        assert locked(region) == [1, 2, 3, 4, 5, 6]
        region.unlock(PAGE, 6 * PAGE)
        region.unlock(PAGE, 6 * PAGE)
        assert locked(region) == [2, 5]
        assert counts(region) == [0] * 8


def test_others_are_asked_about_each_time() -> None:
    """Other code's lock that has gone by our next lock is not kept alive by us."""
    with vm.allocate(PAGE) as region:
        assert pages.others_lock(region.address, PAGE) == 0
        with region.locked():
            pass
        assert locked(region) == [0]
        assert pages.others_unlock(region.address, PAGE) == 0
        with region.locked():
            assert locked(region) == [0]
        assert locked(region) == []


def test_neighbouring_regions_are_untouched() -> None:
    """Two regions side by side, one mapping for the kernel: unlocking one leaves the other locked."""
    with vm.reserve(4 * PAGE, near=pages.FAR_AWAY) as room:
        address = room.address
    with vm.allocate(2 * PAGE, address=address) as low, vm.allocate(2 * PAGE, address=address + 2 * PAGE) as high:
        low.lock()
        high.lock()
        low.unlock()
        assert (locked(low), locked(high)) == ([], [0, 1])
        low.release()
        assert locked(high) == [0, 1]


@pytest.mark.parametrize("is_failing", [False, True])
def test_locked_is_a_block(is_failing: bool) -> None:
    """Locked inside, one lock fewer after it, also when an exception flies."""
    with vm.allocate(3 * PAGE) as region:
        region.lock(0, PAGE)
        try:
            with region.locked(PAGE - 1, 2) as same:
                assert same is region
                assert locked(region) == [0, 1]
                if is_failing:
                    raise KeyError
        except KeyError:
            assert is_failing
        assert locked(region) == [0]
        assert counts(region) == [1, 0, 0]


@pytest.mark.parametrize("is_failing", [False, True])
def test_locked_unlocks_around_a_decommitted_page(is_failing: bool) -> None:
    """The page that is gone is told of, unless an exception flies; no other stays locked for it."""
    with vm.allocate(7 * PAGE) as region:
        error = KeyError if is_failing else AccessError
        with pytest.raises(error, match=r"mine|0x3000"), region.locked(PAGE, 5 * PAGE):  # noqa: PT012
            region.decommit(3 * PAGE, PAGE)
            if is_failing:
                raise KeyError("mine")
        assert locked(region) == []
        assert counts(region) == [0] * 7


def test_a_block_that_was_never_entered_unlocks_nothing() -> None:
    """A refused lock leaves other locks alone; one block at a time."""
    with vm.allocate(2 * PAGE) as region:
        region.lock(0, PAGE)
        region.protect(PAGE, PAGE, vm.NO_ACCESS)
        block = region.locked()
        with pytest.raises(AccessError), block:
            pass
        block.__exit__(None, None, None)
        assert counts(region) == [1, 0]
        region.protect(PAGE, PAGE, vm.READ_ONLY)
        with block, pytest.raises(RuntimeError, match="entered already"):
            block.__enter__()
        assert counts(region) == [1, 0]


def test_releasing_ends_locks() -> None:
    """The process has as much locked afterwards as before."""
    gc.collect()  # or what earlier tests had locked may go meanwhile
    before = vm.lock_limit().locked_now
    with vm.allocate(8 * PAGE) as region:
        region.lock()
        assert before is not None
        assert before + 8 * PAGE == vm.lock_limit().locked_now
    assert before == vm.lock_limit().locked_now


def test_locking_what_others_took_away_locks_nothing() -> None:
    """A page without access in the middle: an error of the call, not of a limit, and no lock is left."""
    with vm.allocate(5 * PAGE) as region:
        region.lock(0, PAGE)
        assert pages.others_protect(region.address + 3 * PAGE, PAGE, pages.PROT_NONE) == 0
        with pytest.raises(OSError, match="mlock") as caught:
            region.lock()
        assert not isinstance(caught.value, LockLimitError)
        assert locked(region) == [0]
        assert counts(region) == [1, 0, 0, 0, 0]


@needs_fork
def test_a_child_has_no_locks() -> None:
    """Locks are not inherited: the child sees none, counts none, and its own work; the parent keeps its."""
    from children import forked

    with vm.allocate(2 * PAGE) as region:
        region.write(0, b"1337")
        region.lock()

        def look() -> str:
            seen = [locked(region), counts(region), region.read(0, 4)]
            with pytest.raises(AccessError, match="not locked"):
                region.unlock()
            region.lock(PAGE, PAGE)
            return repr([*seen, locked(region), counts(region)])

        assert repr([[], [0, 0], b"1337", [1], [0, 1]]) == forked(look)
        assert locked(region) == [0, 1]
        region.unlock()
        assert locked(region) == []
