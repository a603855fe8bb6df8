"""What makes no sense is refused by name, before anything happens; a released region refuses everything."""

from collections.abc import Callable
from typing import Any

import pytest

from pages import PAGE, Index
from strongroom import DestroyedError, vm

SIZE = 4 * PAGE

#: Everything that takes a range: called with an offset and a size.
RANGES: dict[str, Callable[..., Any]] = {
    "commit": lambda region, *where: region.commit(*where),
    "decommit": lambda region, *where: region.decommit(*where),
    "protect": lambda region, *where: region.protect(*where, vm.READ_ONLY),
    "protected": lambda region, *where: region.protected(*where, vm.READ_ONLY).__enter__(),
    "lock": lambda region, *where: region.lock(*where),
    "unlock": lambda region, *where: region.unlock(*where),
    "locked": lambda region, *where: region.locked(*where).__enter__(),
    "secure": lambda region, *where: region.secure(*where),
    "view": lambda region, *where: region.view(*where).__enter__(),
    "read": lambda region, *where: region.read(*where),
    "fill": lambda region, *where: region.fill(*where),
    "pages": lambda region, *where: region.pages(*where),
}
HUGE = (1 << 63, 1 << 64, 1 << 70)

each_range = pytest.mark.parametrize("call", RANGES)


@each_range
@pytest.mark.parametrize("offset", [-1, SIZE, SIZE + 1, *HUGE], ids=hex)
def test_offsets_outside_are_named(call: str, offset: int) -> None:
    """ValueError with the number, also where it fits no machine word."""
    with vm.allocate(SIZE) as region:
        for wrap in (int, Index):
            with pytest.raises(ValueError, match=rf"offset .*{offset:,}|offset {offset:,}"):
                RANGES[call](region, wrap(offset), 1)
        assert region.pages() == [(0, SIZE, vm.READ_WRITE, 0)]


@each_range
@pytest.mark.parametrize("size", [0, -1, SIZE, *HUGE], ids=hex)
def test_sizes_that_do_not_fit_are_named(call: str, size: int) -> None:
    """From the second page on even the region's own size is too much; zero bytes are no range."""
    with vm.allocate(SIZE) as region:
        for wrap in (int, Index):
            with pytest.raises(ValueError, match=f"{size:,}|at least 1 byte"):
                RANGES[call](region, PAGE, wrap(size))
        assert region.pages() == [(0, SIZE, vm.READ_WRITE, 0)]


@each_range
@pytest.mark.parametrize("wrong", [True, False, 1.5, "1", b"1", [1]], ids=repr)
def test_numbers_are_integers(call: str, wrong: object) -> None:
    """TypeError for anything else, naming it: True is no offset of one byte."""
    with vm.allocate(SIZE) as region:
        named = repr(wrong) if isinstance(wrong, bool | float) else type(wrong).__name__
        with pytest.raises(TypeError, match=f"offset must be an integer, not {named}"):
            RANGES[call](region, wrong, 1)
        with pytest.raises(TypeError, match=f"size must be an integer, not {named}"):
            RANGES[call](region, 0, wrong)
        with pytest.raises(TypeError, match="offset must be an integer, not None"):
            RANGES[call](region, None, 1)


@each_range
def test_the_last_byte_is_inside(call: str) -> None:
    """A range may end where the region ends, and one with no size does."""
    with vm.allocate(SIZE) as region:
        for size in (1, None):
            region.lock()
            result = RANGES[call](region, SIZE - 1, size)
            if call == "secure":
                result.unsecure()
            del result  # a View, for example
            region.decommit()
            region.commit()


def test_write_checks_its_range() -> None:
    """An offset with the data's length, by the same rules."""
    with vm.allocate(SIZE) as region:
        for offset in (-1, SIZE - 1, SIZE, *HUGE):
            with pytest.raises(ValueError, match=f"{offset:,}"):
                region.write(offset, b"12")
        for wrong in (True, 1.5, None):
            with pytest.raises(TypeError, match=f"offset must be an integer, not {wrong}"):
                region.write(wrong, b"12")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=f"offset must be an integer, not {wrong}"):
                region.write(wrong, b"")  # type: ignore[arg-type]


@each_range
def test_a_released_region_refuses(call: str) -> None:
    """DestroyedError from everything, instead of a touch of what lies there now."""
    region = vm.allocate(SIZE)
    region.release()
    with pytest.raises(DestroyedError, match="released"):
        RANGES[call](region, 0, 1)
    with pytest.raises(DestroyedError, match="released"):
        region.write(0, b"1")


@pytest.mark.parametrize("mode", [2.0, True, "rw", None])
def test_securing_in_no_mode_promises_nothing(mode: object) -> None:
    """What is no integer is a TypeError, and the range is as free as before."""
    with vm.allocate(PAGE) as region:
        with pytest.raises(TypeError, match="mode must be an integer"):
            region.secure(0, None, mode)  # type: ignore[arg-type]
        region.decommit()


@pytest.mark.parametrize("mode", [0, vm.NO_ACCESS, vm.EXECUTE_READ, vm.READ_WRITE | vm.GUARD, -1, 1 << 70])
def test_only_two_modes_can_be_secured(mode: int) -> None:
    """READ_ONLY and READ_WRITE; the message names the other."""
    with vm.allocate(PAGE) as region:
        with pytest.raises(ValueError, match=f"mode must be .*({mode:#x}|{mode:,})"):
            region.secure(0, None, mode)
        region.decommit()


@pytest.mark.parametrize("mode", ["w", "", "wr", None, 1, b"r"])
def test_only_two_modes_can_be_viewed(mode: object) -> None:
    """ "r" and "rw"; the message has the other."""
    with vm.allocate(PAGE) as region, pytest.raises(ValueError, match="mode must be 'r' or 'rw', not"):
        region.view(0, None, mode)  # type: ignore[arg-type]


def test_an_integer_that_ends_the_region_meanwhile() -> None:
    """Code that runs while numbers are being read may release the region: the call then finds it released."""

    class Releasing(Index):
        def __index__(self) -> int:
            region.release()
            return 1

    for call in RANGES:
        region = vm.allocate(SIZE)
        with pytest.raises(DestroyedError):
            RANGES[call](region, 0, Releasing(1))


def test_ranges_that_are_machine_words_but_no_sum() -> None:
    """An offset and a size that only overflow together are refused like the rest."""
    with vm.allocate(SIZE) as region:
        for size in ((1 << 64) - 1, (1 << 64) - PAGE, (1 << 63) - 1):
            with pytest.raises(ValueError, match=f"{size:,} bytes from offset {PAGE + 1:,}"):
                region.commit(PAGE + 1, size)
