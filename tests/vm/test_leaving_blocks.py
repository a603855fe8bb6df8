"""Leaving ``protected()`` and ``locked()`` when something happened inside: all that can be undone is, run by run."""

# ruff: noqa: PT012  what raises is the end of the block, and what is in it is why

from collections.abc import Iterator
from typing import Any

import pytest

import pages
from pages import FAR_AWAY, PAGE, letters, locked, needs_proc
from strongroom import AccessError, DestroyedError, SecuredError, SystemCallError, vm

#: Pages enough for one try each to be minutes, which the runner would notice; committed, never touched.
LARGE = 1 << 30


@pytest.fixture
def large() -> Iterator[vm.Region]:
    """A committed gigabyte, in whose place nothing comes to lie once others have unmapped it: its end does so again."""
    with vm.reserve(LARGE, near=FAR_AWAY) as region:
        try:
            region.commit()
        except SystemCallError as error:
            pytest.skip(f"this machine does not promise a gibibyte (vm.overcommit_memory): {error}")
        yield region


def test_a_region_released_inside_ends_the_matter(large: vm.Region) -> None:
    """DestroyedError after one try; there is nothing left to bring back, however many runs there were."""
    for page in range(0, 1000, 2):
        large.protect(page * PAGE, PAGE, vm.NO_ACCESS)
    with pytest.raises(DestroyedError), large.protected(0, None, vm.READ_ONLY):
        large.release()


def test_a_locked_region_released_inside(large: vm.Region) -> None:
    """The same for locks."""
    with pytest.raises(DestroyedError), large.locked(0, 8 * PAGE):
        large.release()


def test_a_region_decommitted_inside(large: vm.Region) -> None:
    """All of it: one try, and the error says so."""
    with pytest.raises(AccessError, match="reserved"), large.protected(0, None, vm.READ_ONLY):
        large.decommit()


def test_parts_that_were_decommitted_inside(large: vm.Region) -> None:
    """What is left is brought back, a run at a time."""
    with pytest.raises(AccessError, match="reserved"), large.protected(0, None, vm.READ_ONLY):
        large.decommit(0, LARGE // 4)
        large.decommit(LARGE // 2, LARGE // 4)
    quarter = LARGE // 4
    assert large.pages() == [
        (0, quarter, 0, 0),
        (quarter, quarter, vm.READ_WRITE, 0),
        (2 * quarter, quarter, 0, 0),
        (3 * quarter, quarter, vm.READ_WRITE, 0),
    ]


def test_parts_that_were_secured_inside(large: vm.Region) -> None:
    """Pages that somebody relies on keep what they have, their neighbours on both sides get back what they had."""
    large.protect(0, None, vm.READ_ONLY)
    handles = []
    with pytest.raises(SecuredError), large.protected(0, None, vm.READ_WRITE):
        handles += [large.secure(LARGE // 4, LARGE // 4), large.secure(LARGE // 2, PAGE)]
    assert large.pages() == [
        (0, LARGE // 4, vm.READ_ONLY, 0),
        (LARGE // 4, LARGE // 4 + PAGE, vm.READ_WRITE, 0),
        (LARGE // 2 + PAGE, LARGE // 2 - PAGE, vm.READ_ONLY, 0),
    ]
    for handle in handles:
        handle.unsecure()


def test_parts_that_are_viewed_when_it_ends(large: vm.Region) -> None:
    """The same for a View that outlives the block: BufferError, and only its pages keep what they have."""
    large.protect(0, None, vm.NO_ACCESS)
    access = large.view(LARGE // 2, LARGE // 4)
    with pytest.raises(BufferError), large.protected(0, None, vm.READ_ONLY):
        access.__enter__()
    assert [run.protection for run in large.pages()] == [vm.NO_ACCESS, vm.READ_ONLY, vm.NO_ACCESS]
    access.__exit__(None, None, None)


@needs_proc
def test_a_page_that_others_unmapped_inside(large: vm.Region) -> None:
    """The system does not say which page it was: the others are found by halves."""
    at = 100_001 * PAGE
    with pytest.raises(SystemCallError), large.protected(0, None, vm.READ_ONLY):
        assert pages.others_unmap(large.address + at, PAGE) == 0
    shown = [
        pages.seen(large.address + place, PAGE)[0].letters for place in (0, at - PAGE, at, at + PAGE, LARGE - PAGE)
    ]
    assert shown == ["rw-", "rw-", "gone", "rw-", "rw-"]


@needs_proc
def test_all_that_others_unmapped_inside(large: vm.Region) -> None:
    """If it is everything, the search ends before it has come to every page."""
    with pytest.raises(SystemCallError), large.protected(0, None, vm.READ_ONLY):
        assert pages.others_unmap(large.address, LARGE) == 0


@needs_proc
def test_locks_are_undone_by_runs() -> None:
    """Decommitted and unlocked in turns inside: what is still locked is unlocked."""
    with vm.reserve(12 * PAGE) as region:  # a lock limit of 64 KiB is all that many systems give
        region.commit()
        with pytest.raises(AccessError), region.locked():
            region.decommit(0, 3 * PAGE)
            region.unlock(6 * PAGE, 3 * PAGE)
        assert [run.locks for run in region.pages()] == [0, 0]
        assert locked(region) == []


@needs_proc
def test_many_runs_come_back() -> None:
    """A thousand runs with a decommitted page in each: every other page is as it was."""
    count = 1000
    with vm.reserve(4 * count * PAGE) as region:
        region.commit()
        for run in range(1, count, 2):
            region.protect(4 * run * PAGE, 4 * PAGE, vm.EXECUTE_READ)
        with pytest.raises(AccessError), region.protected(0, None, vm.READ_ONLY):
            for run in range(count):
                region.decommit((4 * run + 1) * PAGE, PAGE)
        assert letters(region) == ["rw-", "---", "rw-", "rw-", "r-x", "---", "r-x", "r-x"] * (count // 2)


@pytest.mark.parametrize("how", ["protected", "locked"])
def test_an_exception_on_its_way_stays(large: vm.Region, how: str) -> None:
    """What the block raised is what arrives, whatever could not be undone."""
    arguments: tuple[Any, ...] = (0, PAGE, vm.READ_ONLY) if how == "protected" else (0, PAGE)
    with pytest.raises(KeyError), getattr(large, how)(*arguments):
        large.release()
        raise KeyError("the block's own")
