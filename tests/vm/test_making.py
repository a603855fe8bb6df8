"""Reserving: where a region goes, how large it becomes, how it ends, and that it is nothing but address space."""

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest

from pages import FAR_AWAY, IS_LINUX, PAGE, Index, is_mapped, letters, needs_proc, others_map, resident
from strongroom import DestroyedError, SystemCallError, UnsupportedError, vm

TEBIBYTE = 1 << 40


@pytest.mark.parametrize(("asked", "pages"), [(1, 1), (8, 1), (PAGE, 1), (PAGE + 1, 2), (10 * PAGE - 1, 10)])
def test_sizes_are_rounded_up_to_pages(asked: int, pages: int) -> None:
    """Eight bytes become a page; a byte more than a page becomes two."""
    with vm.reserve(asked) as region:
        assert (pages * PAGE, pages * PAGE) == (region.size, len(region))
    with vm.allocate(asked) as region:
        assert [(0, pages * PAGE, vm.READ_WRITE, 0)] == region.pages()


def test_a_new_region_is_reserved_throughout() -> None:
    """Nothing of it is committed, and its address is a multiple of the granularity."""
    with vm.reserve(4 * PAGE) as region:
        assert region.pages() == [(0, 4 * PAGE, 0, 0)]
        assert not region.pages()[0].is_committed
        assert region.address % vm.GRANULARITY == 0
        assert region.page_size == PAGE


@needs_proc
def test_a_reservation_is_inaccessible() -> None:
    """The system shows the whole range as mapped without any access."""
    with vm.reserve(3 * PAGE) as region:
        assert letters(region) == ["---"] * 3


@needs_proc
def test_a_tebibyte_of_reservation_costs_no_memory() -> None:
    """Address space is not memory: nothing of it is resident, and the process has not grown by a mebibyte."""
    before = vm.working_set().resident
    with vm.reserve(TEBIBYTE) as region:
        after = vm.working_set().resident
        assert before is not None
        assert after is not None
        assert after - before < 1 << 20
        assert resident(region.address, 1 << 30) == 0
        region.commit(TEBIBYTE - PAGE, 1)  # the far end is as good as the near one
        region.write(TEBIBYTE - 4, b"1337")
        assert region.read(TEBIBYTE - 4, 4) == b"1337"
        assert resident(region.address + TEBIBYTE - PAGE, PAGE) == 1


def free_address(pages: int) -> int:
    """Where a region of that size has just fitted, and nobody else puts anything."""
    with vm.reserve(pages * PAGE, near=FAR_AWAY) as region:
        return region.address


def test_an_exact_address_is_honoured() -> None:
    """What was free is where the region begins."""
    wanted = free_address(16)
    with vm.reserve(16 * PAGE, address=wanted) as region:
        assert wanted == region.address
    with vm.allocate(16 * PAGE, vm.READ_ONLY, address=wanted) as region:
        assert wanted == region.address


@pytest.mark.parametrize("name", ["reserve", "allocate"])
@pytest.mark.parametrize("wrap", [int, Index], ids=["int", "__index__"])
def test_a_taken_address_is_an_error_and_replaces_nothing(name: str, wrap: type) -> None:
    """What lies there stays; the message names the address."""
    with vm.allocate(4 * PAGE) as region:
        region.write(0, b"1337")
        with pytest.raises(SystemCallError, match=f"{region.address:#x}"):
            getattr(vm, name)(PAGE, address=wrap(region.address))
        assert region.read(0, 4) == b"1337"


def test_an_address_taken_in_part_is_an_error() -> None:
    """A region whose last page alone is in the way does not fit."""
    wanted = free_address(32)
    later = wanted + max(16 * PAGE, vm.GRANULARITY) // vm.GRANULARITY * vm.GRANULARITY
    with vm.reserve(PAGE, address=later), pytest.raises(SystemCallError):
        vm.reserve(later - wanted + PAGE, address=wanted)


@pytest.mark.parametrize("address", [1, PAGE - 1, 0])
def test_an_address_no_region_can_begin_at_is_refused(address: int) -> None:
    """Regions begin at multiples of the granularity, and not at zero."""
    with pytest.raises(ValueError, match=f"{address:#x}"):
        vm.reserve(PAGE, address=address)


def test_an_address_beyond_the_process_is_an_error() -> None:
    """What lies beyond its own part is not for a process, wherever that ends: at 2 to the power of 47, or of 56 where
    page tables have five levels."""
    beyond = -(-vm.layout().user_end // vm.GRANULARITY) * vm.GRANULARITY
    for address in (beyond, (1 << 64) - (1 << 16)):
        with pytest.raises(SystemCallError):
            vm.reserve(PAGE, address=address)


def test_a_near_address_that_is_free_is_taken_as_it_is() -> None:
    """A wish that can be granted is; it is rounded down first."""
    wanted = free_address(16)
    with vm.reserve(16 * PAGE, near=wanted + 1) as region:
        assert wanted == region.address


@pytest.mark.parametrize("name", ["reserve", "allocate"])
def test_a_near_address_that_is_taken_relocates(name: str) -> None:
    """If there is memory at that address already, the system decides where the region goes."""
    with vm.allocate(4 * PAGE) as first:
        first.write(0, b"1337")
        with getattr(vm, name)(4 * PAGE, near=first.address) as second:
            assert abs(second.address - first.address) >= 4 * PAGE
        assert first.read(0, 4) == b"1337"


@pytest.mark.parametrize("near", [0, 1, (1 << 64) - 1, 1 << 63])
def test_an_absurd_wish_is_still_a_wish(near: int) -> None:
    """near= never fails for its own sake."""
    with vm.reserve(PAGE, near=near) as region:
        assert region.address % vm.GRANULARITY == 0


def test_top_down_gives_a_region() -> None:
    """It can be committed like any other."""
    with vm.allocate(PAGE, top_down=True) as region:
        region.write(0, b"1337")
        assert region.read(0, 4) == b"1337"


@pytest.mark.parametrize(
    "places",
    [{"address": PAGE * 16, "near": PAGE * 16}, {"near": PAGE, "top_down": True}, {"address": 1, "top_down": True}],
)
def test_only_one_place_can_be_asked_for(places: dict[str, int]) -> None:
    """address=, near= and top_down= exclude each other."""
    with pytest.raises(ValueError, match="exclude each other"):
        vm.reserve(PAGE, **places)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, -1, 1 << 63, 1 << 64, 1 << 70], ids=hex)
def test_sizes_that_make_no_sense_are_named(size: int) -> None:
    """No region has no bytes, fewer, or more than can be addressed."""
    for make in (vm.reserve, vm.allocate, vm.Region):
        with pytest.raises(ValueError, match=f"{size:,}"):
            make(size)


@pytest.mark.parametrize("size", [True, 1.5, None, "8", b"8"])
def test_sizes_that_are_no_integers_are_refused(size: object) -> None:
    """True is not a size of one byte; the message names what came instead."""
    with pytest.raises(TypeError, match=r"size must be an integer, not (True|1\.5|None|str|bytes)"):
        vm.reserve(size)  # type: ignore[arg-type]


def test_whatever_stands_for_an_integer_is_a_size() -> None:
    """Objects with __index__ are, as everywhere in Python."""
    with vm.reserve(Index(PAGE + 1)) as region:  # type: ignore[arg-type]
        assert region.size == 2 * PAGE


def test_more_than_the_address_space_is_an_error_that_names_the_size() -> None:
    """A size that fits a number but no process is the system's to refuse."""
    with pytest.raises(SystemCallError, match=f"{1 << 62:,}"):
        vm.reserve(1 << 62)


@pytest.mark.parametrize("protection", [-1, 0, 3, 1 << 32, 1 << 64])
def test_allocating_with_no_protection_at_all_is_refused(protection: int) -> None:
    """A number that is no protection is a ValueError that names it, here as in commit()."""
    with pytest.raises(ValueError, match=f"{protection:#x}"):
        vm.allocate(PAGE, protection)


@pytest.mark.parametrize("protection", ["rw", None, 4.0, True])
def test_allocating_with_something_else_is_refused(protection: object) -> None:
    """A protection is one of the constants."""
    with pytest.raises(TypeError, match="protection must be one of the constants"):
        vm.allocate(PAGE, protection)  # type: ignore[arg-type]


@needs_proc
def test_an_allocation_that_fails_leaves_nothing_reserved() -> None:
    """A protection that private memory cannot have is refused before any address space is taken."""
    wanted = free_address(1)
    with pytest.raises(UnsupportedError, match="WRITE_COPY"):
        vm.allocate(PAGE, vm.WRITE_COPY, address=wanted)
    assert not is_mapped(wanted)


@pytest.mark.parametrize(("alignment", "error"), [(5000, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_region_never_begins_within_a_page(alignment: int, error: type[Exception]) -> None:
    """An alignment that is not a number of pages is refused, not rounded."""
    with pytest.raises(error, match="alignment"):
        vm.Region(PAGE, alignment=alignment)


@pytest.mark.parametrize(
    "others",
    [
        {"alignment": 1 << 30, "near": 1 << 40},
        {"alignment": 1 << 30, "address": 1 << 40},
        {"alignment": 1 << 30, "top_down": True},
        {"alignment": 1 << 30, "large": vm.READ_WRITE},
        {"large": vm.READ_WRITE, "near": 1 << 40},
        {"large": vm.READ_WRITE, "top_down": True},
        {"large": vm.READ_WRITE, "allocation_protection": vm.READ_ONLY},
    ],
    ids=lambda others: " and ".join(others),
)
def test_what_does_not_go_together_is_refused(others: dict[str, Any]) -> None:
    """An alignment or a place that would not be honoured is an error, not silence."""
    if "large" in others and vm.large_page_size() == 0:
        pytest.skip("this system has no large pages, which comes first")
    with pytest.raises(ValueError, match=r"alignment=|large="):
        vm.Region(PAGE, **others)


@needs_proc
def test_release_gives_the_address_space_back() -> None:
    """Nothing is mapped there afterwards; the numbers stay readable; doing it again is fine."""
    region = vm.allocate(2 * PAGE, near=FAR_AWAY)
    address = region.address
    assert is_mapped(address)
    region.release()
    assert not is_mapped(address)
    assert (address, 2 * PAGE, True) == (region.address, region.size, region.is_released)
    region.release()


@needs_proc
def test_leaving_the_block_releases() -> None:
    """As a context manager a region lives as long as the block, exception or not."""
    with pytest.raises(KeyError), vm.allocate(PAGE, near=FAR_AWAY) as region:  # noqa: PT012
        address = region.address
        raise KeyError
    assert region.is_released
    assert not is_mapped(address)
    with pytest.raises(DestroyedError), region:
        pass


@needs_proc
def test_the_end_of_the_last_reference_releases() -> None:
    """A region that nobody has any more is given back, also when it is part of a cycle."""
    region = vm.allocate(PAGE, near=FAR_AWAY)
    address, gone = region.address, weakref.ref(region)
    del region
    assert gone() is None
    assert not is_mapped(address)

    class Holder:
        region = vm.allocate(PAGE)

        def __init__(self) -> None:
            self.own = vm.allocate(PAGE, near=FAR_AWAY)
            self.me = self

    address = Holder().own.address  # a cycle, garbage from here on
    gc.collect()
    assert not is_mapped(address)
    Holder.region.release()


def test_it_says_what_it_is() -> None:
    """repr() has the size, the address, and whether it is released."""
    region = vm.reserve(2 * PAGE)
    assert f"<Region {2 * PAGE:,} bytes at {region.address:#x}>" == repr(region)
    region.release()
    assert f"<Region {2 * PAGE:,} bytes at {region.address:#x}, released>" == repr(region)


def test_it_cannot_be_pickled_or_copied() -> None:
    """Address space of this process means nothing elsewhere, and two owners would release it twice."""
    with vm.reserve(PAGE) as region:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="Region cannot be pickled or copied"):
                attempt(region)


@needs_proc
def test_the_large_page_size_is_the_systems() -> None:
    """It is what /proc/meminfo says."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("Hugepagesize:")]
    assert (int(lines[0][1]) * 1024 if lines else 0) == vm.large_page_size()


@pytest.mark.skipif(not IS_LINUX, reason="anonymous mmap as a neighbour is only tried on Linux")
def test_nothing_else_comes_to_lie_in_a_reservation() -> None:
    """However much other code maps meanwhile, none of it is in the reserved range, decommitted pages included."""
    from observed import address_of

    with vm.reserve(1 << 30) as region:
        region.commit(0, 1 << 20)
        region.decommit(0, 1 << 20)
        others = [others_map(1 << 20) for _ in range(64)]
        places = [address_of(other) for other in others]
        assert all(not region.address - (1 << 20) < place < region.address + region.size for place in places)
        for other in others:
            other.close()
