"""Large pages: they come from a pool that root fills; the tests fill it for a moment and put it back."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import observed
from pages import LETTERS, PROT_NONE, needs_proc, others_protect
from strongroom import SystemCallError, UnsupportedError, vm

pytestmark = needs_proc

POOL = Path("/proc/sys/vm/nr_hugepages")
#: How many the kernel makes beyond the pool when they are asked for.
SURPLUS = Path("/proc/sys/vm/nr_overcommit_hugepages")
WANTED = 4


def free_pages() -> int:
    """How many large pages of the default size nobody has, nor was promised."""
    with open("/proc/meminfo", encoding="ascii") as file:
        told = dict(line.split()[:2] for line in file)
    return int(told["HugePages_Free:"]) - int(told["HugePages_Rsvd:"])


@pytest.fixture
def large() -> Iterator[int]:
    """The size of a large page, with a few of them to be had; the pool is put back afterwards, whatever happens."""
    size = vm.large_page_size()
    if not POOL.exists() or size == 0:
        pytest.skip("this kernel has no pool of large pages (CONFIG_HUGETLBFS)")
    before = POOL.read_text()
    try:
        if free_pages() < WANTED:
            try:
                POOL.write_text(str(int(before) + WANTED))
            except OSError:
                pytest.skip("no large pages to be had: needs root, or 'sysctl vm.nr_hugepages=4' set beforehand")
        if free_pages() < WANTED:
            pytest.skip("no large pages to be had: the machine's memory is too full or too fragmented")
        yield size
    finally:
        gc.collect()
        with contextlib.suppress(OSError):
            POOL.write_text(before)


def test_large_pages_are_large(large: int) -> None:
    """The size is rounded up to them, the kernel shows them as such, and they are zero and can be written."""
    with vm.allocate(large + 1, large_pages=True) as region:
        assert (2 * large, large) == (region.size, region.page_size)
        mapping = observed.mapping_at(region.address)
        assert mapping is not None
        assert "ht" in mapping.flags
        assert region.address % large == 0
        region.write(2 * large - 4, b"1337")
        assert region.read(2 * large - 8) == b"\0\0\0\x001337"
        assert large * 2 == vm.query(region.address + 5).size


@pytest.mark.parametrize("protection", [vm.READ_ONLY, vm.NO_ACCESS, vm.EXECUTE_READ_WRITE], ids=vm.protection_name)
def test_large_pages_are_protected_one_by_one(large: int, protection: int) -> None:
    """A range is rounded to them; the system shows the change of just that one."""
    with vm.allocate(2 * large, large_pages=True) as region:
        assert region.protect(large + 5, 1, protection) == vm.READ_WRITE
        seen = [observed.protection_at(region.address + offset) for offset in (0, large - 1, large, 2 * large - 1)]
        assert ["rw-", "rw-", LETTERS[protection], LETTERS[protection]] == seen
    with vm.allocate(1, protection, large_pages=True) as region:
        assert LETTERS[protection] == observed.protection_at(region.address)


def test_large_pages_are_private_memory(large: int) -> None:
    """The kernel has a file of its own behind them; whoever asks is told what the region was made of, and with what."""
    with vm.allocate(2 * large, large_pages=True) as region:
        assert (region.address, 2 * large, "committed", vm.READ_WRITE) == vm.query(region.address)[:4]
        assert vm.query(region.address).type == "private"
        region.protect(0, 1, vm.EXECUTE)
        assert (vm.query(region.address).protection, vm.query(region.address).size) == (vm.EXECUTE, large)
        region.protect(0, 1, vm.READ_WRITE | vm.GUARD)
        info = vm.query(region.address)
        assert (info.state, info.protection, info.type) == ("committed", vm.READ_WRITE | vm.GUARD, "private")
        assert not vm.probe(region.address, 1, vm.READ_ONLY)
        region.protect(0, 1, vm.READ_ONLY)
        assert others_protect(region.address, large, PROT_NONE) == 0
        assert vm.query(region.address).protection == vm.NO_ACCESS  # other code's doing is the system's answer


def test_large_pages_cannot_be_decommitted(large: int) -> None:
    """They are committed as long as their region lives; releasing it gives them back to the pool."""
    free = free_pages()
    region = vm.allocate(large, large_pages=True)
    region.fill(0, 1, 1)
    with pytest.raises(UnsupportedError, match="release"):
        region.decommit()
    assert free - 1 == free_pages()
    region.release()
    assert free == free_pages()


def test_more_than_the_pool_has_is_an_error(large: int) -> None:
    """It names the size and the pool, and nothing stays reserved."""
    free = free_pages()
    size = (free + int(SURPLUS.read_text()) + 64) * large
    with pytest.raises(SystemCallError, match=f"{size:,} bytes of large pages.*nr_hugepages"):
        vm.allocate(size, large_pages=True)
    assert free == free_pages()


def test_large_pages_cannot_guard(large: int) -> None:
    """Not from the start, and the error says so."""
    with pytest.raises(UnsupportedError, match="guard"):
        vm.allocate(large, vm.READ_WRITE | vm.GUARD, large_pages=True)


@pytest.mark.parametrize("place", [{"address": 1 << 32}, {"near": 1 << 32}, {"top_down": True}])
def test_large_pages_go_where_the_system_likes(place: dict[str, int]) -> None:
    """A place cannot be asked for; no pool is needed to be told so."""
    with pytest.raises(ValueError, match="large_pages"):
        vm.allocate(1, large_pages=True, **place)  # type: ignore[arg-type]
