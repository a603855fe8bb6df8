"""Views: the region's own bytes for a block, which nobody can take away while they are in use."""

import gc
from collections.abc import Callable
from typing import Any

import pytest

from children import succeed
from pages import FAR_AWAY, PAGE, letters, needs_fork, needs_proc
from samples import array_of
from strongroom import AccessError, View, vm


def test_a_view_is_the_region_itself() -> None:
    """What is written through it is in the region, and the other way round; there is no copy."""
    with vm.allocate(2 * PAGE) as region, region.view(PAGE - 2, 4, "rw") as view:
        assert isinstance(view, View)
        view[:] = b"1337"
        assert region.read(PAGE - 2, 4) == b"1337"
        region.write(PAGE - 2, b"abcd")
        assert view == b"abcd"
        assert not view.readonly
        view[1] = 0x42
        assert region.read(PAGE - 2, 4) == b"aBcd"


def test_a_view_to_read_cannot_write() -> None:
    """Assignment raises TypeError, a writable buffer BufferError; the bytes are as they were."""
    with vm.allocate(PAGE) as region, region.view(0, 4) as view:
        assert view.readonly
        assert memoryview(view).readonly
        with pytest.raises(TypeError, match="read-only"):
            view[0] = 1
        with pytest.raises((BufferError, TypeError, ValueError)):
            array_of(view)[0] = 1
        assert bytes(4) == region.read(0, 4)


@pytest.mark.parametrize(("mode", "protection"), [("r", vm.NO_ACCESS), ("rw", vm.READ_ONLY), ("rw", vm.EXECUTE_READ)])
def test_a_view_needs_pages_that_allow_it(mode: str, protection: int) -> None:
    """Refused on entering the block, with the protection; nothing is held afterwards."""
    with vm.allocate(PAGE, protection) as region:
        with pytest.raises(AccessError, match=f"is {vm.protection_name(protection)}"):
            region.view(0, None, mode).__enter__()
        region.decommit()
        with pytest.raises(AccessError, match="reserved"):
            region.view(0, None, mode).__enter__()


TAKINGS = {
    "decommit": lambda region: region.decommit(PAGE, PAGE),
    "decommit around": lambda region: region.decommit(),
    "release": lambda region: region.release(),
    "protect": lambda region: region.protect(PAGE, PAGE, vm.NO_ACCESS),
    "guard": lambda region: region.protect(PAGE, PAGE, vm.READ_WRITE | vm.GUARD),
    "commit": lambda region: region.commit(PAGE, PAGE, vm.NO_ACCESS),
}


@needs_proc
@pytest.mark.parametrize("taking", TAKINGS)
@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_view_holds_its_pages(mode: str, taking: str) -> None:
    """Giving them back or making them stricter is a BufferError that names the range, until the block has ended."""
    with vm.allocate(3 * PAGE) as region:
        with region.view(PAGE + 5, 8, mode):
            with pytest.raises(BufferError, match="View of the 4,096 bytes from offset 0x1000 is in use"):
                TAKINGS[taking](region)
            assert letters(region) == ["rw-"] * 3
        TAKINGS[taking](region)


def test_a_view_holds_its_pages_only() -> None:
    """The neighbours may go, and what is not stricter may come."""
    with vm.allocate(3 * PAGE) as region, region.view(PAGE, PAGE) as view:
        region.decommit(0, PAGE)
        region.decommit(2 * PAGE, PAGE)
        for protection in (vm.READ_ONLY, vm.EXECUTE_READ, vm.EXECUTE, vm.READ_WRITE):
            region.protect(PAGE, PAGE, protection)
            assert view[0] == 0


def test_a_view_to_write_stays_writable() -> None:
    """READ_ONLY is stricter than a "rw" View, for as long as there is one."""
    with vm.allocate(PAGE) as region:
        with region.view(0, None, "r"), region.view(0, None, "rw"):
            with pytest.raises(BufferError):
                region.protect(0, None, vm.READ_ONLY)
            region.protect(0, None, vm.EXECUTE_READ_WRITE)
        region.protect(0, None, vm.READ_ONLY)


def test_after_its_block_a_view_is_over() -> None:
    """Any use raises AccessError; the access is good for one block only."""
    with vm.allocate(PAGE) as region:
        access = region.view()
        with access as view:
            part: Any = view[1:3]
        for use in (lambda: view[0], lambda: len(view), lambda: bytes(part), lambda: memoryview(view)):
            with pytest.raises(AccessError, match="outside the with block"):
                use()
        with pytest.raises(AccessError, match="call view"):
            access.__enter__()


KEEPERS: dict[str, Callable[[Any], Any]] = {
    "memoryview": memoryview,
    "slice of a memoryview": lambda view: memoryview(view)[1:],
    "memoryview of a slice": lambda view: memoryview(view[2:]),
    "numpy array": array_of,
}


@needs_proc
@pytest.mark.parametrize("is_failing", [False, True])
@pytest.mark.parametrize("kind", KEEPERS)
def test_what_is_kept_holds_on(kind: str, is_failing: bool) -> None:
    """The block ends with a BufferError naming the keeper, or with the exception on its way; the hold ends with it."""
    with vm.allocate(PAGE) as region:
        kept: list[Any] = []
        error = KeyError if is_failing else BufferError
        with pytest.raises(error, match=r"mine|kept"), region.view(0, None, "rw") as view:  # noqa: PT012
            kept.append(KEEPERS[kind](view))
            if is_failing:
                raise KeyError("mine")
        del view
        for _ in range(2):
            with pytest.raises(BufferError, match="in use"):
                region.decommit()
            kept[0][0] = 7  # still the region's bytes
        assert 7 in region.read()
        assert letters(region) == ["rw-"]
        kept.clear()
        gc.collect()
        assert region.decommit() == (0, PAGE)


def test_the_error_names_who_keeps_it() -> None:
    """The name of the variable or attribute is in the message."""

    class Cache:
        def __init__(self, raw: memoryview) -> None:
            self.the_kept_one = raw

    with vm.allocate(PAGE) as region:
        with pytest.raises(BufferError, match="the_kept_one"), region.view() as view:
            cache = Cache(memoryview(view))
        cache.the_kept_one.release()


@needs_proc
def test_a_kept_buffer_keeps_the_region() -> None:
    """The last reference to the region may go: its pages stay until the buffer goes."""
    from pages import is_mapped

    region = vm.allocate(PAGE, near=FAR_AWAY)
    address = region.address
    with pytest.raises(BufferError), region.view(0, None, "rw") as view:
        raw = memoryview(view)
    del region, view
    gc.collect()
    raw[0] = 1
    assert is_mapped(address)
    raw.release()
    del raw
    gc.collect()
    assert not is_mapped(address)


def test_leaving_a_regions_block_with_a_view_in_use_is_an_error() -> None:
    """The region is not released under it, and is once the View's block has ended."""
    region = vm.allocate(PAGE)
    access = region.view()
    with pytest.raises(BufferError, match="in use"), region:
        access.__enter__()
    assert not region.is_released
    access.__exit__(None, None, None)
    region.release()


def test_a_dropped_access_lets_go() -> None:
    """A generator that is thrown away inside the block holds nothing any more."""
    with vm.allocate(PAGE) as region:

        def inside() -> Any:
            access = region.view()
            access.__enter__()
            yield
            del access

        generator = inside()
        next(generator)
        with pytest.raises(BufferError):
            region.decommit()
        del generator
        gc.collect()
        region.decommit()


def test_a_refusal_says_what_was_asked_for() -> None:
    """It was a view that these pages did not allow, not a secure handle."""
    with vm.reserve(2 * PAGE) as region:
        with pytest.raises(AccessError, match=r"^view: the page at offset 0x0 is reserved"):
            region.view().__enter__()
        region.commit(0, None, vm.READ_ONLY)
        with pytest.raises(AccessError, match=r"^view: the page at offset 0x0 is READ_ONLY"):
            region.view(0, 1, "rw").__enter__()
        with pytest.raises(AccessError, match=r"^secure: the page at offset 0x0 is READ_ONLY"):
            region.secure()


@needs_fork
def test_a_view_goes_on_in_a_child() -> None:
    """As docs/vm/README.md says: over the child's copy of the pages, which it holds there too until its block ends."""
    succeed("""
        from strongroom import vm
        region = vm.allocate(4096)
        access = region.view(0, 8, "rw")
        view = access.__enter__()
        def child():
            view[:] = b"children"
            assert region.read(0, 8) == b"children"
            for attempt in (region.release, region.decommit):
                try:
                    attempt()
                except BufferError:
                    pass
                else:
                    return "the View held nothing"
            access.__exit__(None, None, None)
            region.release()
            return "fine"
        assert "fine" == children.forked(child)
        assert bytes(8) == region.read(0, 8)
        access.__exit__(None, None, None)
        region.release()
    """)
