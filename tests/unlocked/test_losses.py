"""A loss is noticed wherever contents are used, and told each time; what is stored anew counts again."""

import gc
from typing import Literal

import pytest

import needs
import observed
import vanishing
from strongroom import (
    AccessError,
    ContentsLostError,
    DestroyedError,
    LockedBuffer,
    VolatileBuffer,
)
from vanishing import MARK
from vanishing import MARK_SIZE as SIZE

pytestmark = needs.linux


def test_while_it_is_there(volatile: VolatileBuffer, vanishing_backing: vanishing.Kind) -> None:
    """A new one holds zeros; what was stored is read back in every way."""
    target = bytearray(SIZE)
    with VolatileBuffer(4, backing=vanishing_backing) as new:
        assert new.intact
        assert new == bytes(4)
    assert volatile.intact
    assert volatile == MARK
    assert volatile != MARK[::-1]
    volatile.read_into(target)
    assert target == MARK
    with volatile.open() as view:
        assert bytes(view) == MARK


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_noticed_when_it_is_opened(volatile: VolatileBuffer, mode: Literal["r", "rw"]) -> None:
    """open() of what is lost gives no View; the error says what to do."""
    vanishing.drop(volatile)
    assert not volatile.intact
    for _ in range(2):
        with (
            pytest.raises(ContentsLostError, match=r"all 32 bytes at once with copy_from\(\) or build\(\)"),
            volatile.open(mode),
        ):
            pytest.fail("there is nothing to see")
    assert observed.protection_at(vanishing.page_of(volatile)) == "---"


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_noticed_at_the_end_of_a_block(volatile: VolatileBuffer, mode: Literal["r", "rw"]) -> None:
    """What was dropped during a block is told at its end, whether or not somebody looked."""
    with pytest.raises(ContentsLostError, match="had it open: discard"), volatile.open(mode) as view:  # noqa: PT012
        assert view[0] == MARK[0]
        vanishing.drop(volatile)
        assert view[0] == 0
    assert not volatile.intact
    assert repr(volatile).endswith("closed>")


def test_an_exception_on_its_way_gets_a_note(volatile: VolatileBuffer) -> None:
    """It is not replaced."""
    with pytest.raises(ZeroDivisionError) as caught, volatile.open():  # noqa: PT012
        vanishing.drop(volatile)
        1 / 0  # noqa: B018
    assert len(caught.value.__notes__) == 1
    assert caught.value.__notes__[0].startswith("besides, ContentsLostError: ")
    volatile.copy_from(MARK)
    with pytest.raises(ZeroDivisionError) as caught, volatile.open():
        1 / 0  # noqa: B018
    assert not hasattr(caught.value, "__notes__")


def test_every_open_block_is_told(volatile: VolatileBuffer) -> None:
    """Each of several blocks, in whatever order they end; also if the contents began anew in between."""
    for is_renewed in (False, True):
        volatile.copy_from(MARK)
        accesses = [volatile.open() for _ in range(3)]
        for access in accesses:
            access.__enter__()
        vanishing.drop(volatile)
        if is_renewed:
            volatile.copy_from(MARK)
            assert volatile.intact
        for access in (accesses[1], accesses[0], accesses[2]):
            with pytest.raises(ContentsLostError, match="while a block had it open"):
                access.__exit__(None, None, None)
        assert volatile.intact is is_renewed


def test_read_into(volatile: VolatileBuffer) -> None:
    """Of what is lost the target gets zeros, whatever it held, and the error is raised."""
    vanishing.drop(volatile)
    target = bytearray(b"x" * SIZE)
    with pytest.raises(ContentsLostError):
        volatile.read_into(target)
    assert target == bytes(SIZE)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (bytearray(SIZE - 1), ValueError),
        (bytearray(SIZE + 1), ValueError),
        (bytes(SIZE), BufferError),
        ("x" * SIZE, TypeError),
        (memoryview(bytearray(2 * SIZE))[::2], BufferError),
    ],
    ids=repr,
)
def test_read_into_something_else(target: object, error: type[Exception]) -> None:
    """Exactly as many bytes, contiguous and writable; else nothing is copied."""
    vanishing.require("droppable")
    with VolatileBuffer(SIZE) as volatile:
        volatile.copy_from(MARK)
        with pytest.raises(error):
            volatile.read_into(target)  # type: ignore[arg-type]
        assert isinstance(target, str) or not any(bytes(target))  # type: ignore[call-overload]


def test_read_into_another_buffer(volatile: VolatileBuffer, vanishing_backing: vanishing.Kind) -> None:
    """Of a buffer of strongroom's nothing is left either, if it was lost."""
    with LockedBuffer(SIZE) as locked, VolatileBuffer(SIZE, backing=vanishing_backing) as other:
        for target in (locked, other, volatile):
            volatile.read_into(target)
            assert target == MARK
        vanishing.drop(volatile)
        with pytest.raises(ContentsLostError):
            volatile.read_into(locked)
        assert locked == bytes(SIZE)


def test_comparing(volatile: VolatileBuffer) -> None:
    """What is lost is equal to nothing: it raises, on either side."""
    vanishing.drop(volatile)
    with LockedBuffer(SIZE) as locked:
        for left, right in ((volatile, bytes(SIZE)), (locked, volatile), (volatile, locked)):
            with pytest.raises(ContentsLostError):
                assert left == right


def test_a_view_is_good_for_its_block_only(volatile: VolatileBuffer) -> None:
    """Kept past it, it refuses; a memoryview kept past it is told, and never shows anything else."""
    with volatile.open() as view:
        pass
    with pytest.raises(AccessError):
        view[0]
    kept: list[memoryview] = []
    with pytest.raises(BufferError, match="kept past the block"), volatile.open() as view:
        kept.append(memoryview(view))
    assert kept[0] == MARK
    assert volatile.intact  # which asks for no more than that
    with pytest.raises(BufferError, match="was left by an earlier block"), volatile.open():
        pass
    vanishing.drop(volatile)
    assert not volatile.intact
    assert kept[0] == bytes(SIZE)
    with pytest.raises(BufferError, match="still in use"):
        volatile.copy_from(MARK)
    kept.pop().release()
    volatile.copy_from(MARK)
    assert volatile == MARK


def test_building_over_a_kept_buffer(volatile: VolatileBuffer) -> None:
    """It is refused before anything is changed: the contents are what they were."""
    with pytest.raises(BufferError), volatile.open() as view:
        kept = memoryview(view)
    with pytest.raises(BufferError, match="was left by an earlier block"):
        volatile.build(lambda view: None)
    assert kept == MARK
    kept.release()
    assert volatile == MARK


def test_frozen(volatile: VolatileBuffer) -> None:
    """Frozen contents are lost like any others, and stored anew only when they are melted."""
    volatile.freeze()
    assert volatile == MARK
    vanishing.drop(volatile)
    assert volatile.is_frozen
    with pytest.raises(AccessError, match="frozen"):
        volatile.copy_from(MARK)
    with pytest.raises(AccessError, match="frozen"):
        volatile.build(lambda view: None)
    assert not volatile.intact
    volatile.melt()
    volatile.copy_from(MARK)
    assert volatile == MARK


def test_destroyed_while_it_is_open(volatile: VolatileBuffer) -> None:
    """destroy() is refused while a block has it open, lost or not; then it is gone, and so is everything else."""
    page = vanishing.page_of(volatile)
    with pytest.raises(ContentsLostError), volatile.open():  # noqa: PT012
        vanishing.drop(volatile)
        with pytest.raises(BufferError, match="1 open block"):
            volatile.destroy()
    volatile.destroy()
    assert observed.protection_at(page) == "gone"
    for refused in (
        lambda: volatile.intact,
        lambda: volatile.read_into(bytearray(SIZE)),
        lambda: volatile.copy_from(MARK),
    ):
        with pytest.raises(DestroyedError):
            refused()


def test_an_access_that_nobody_ended(volatile: VolatileBuffer) -> None:
    """Dropped without __exit__, it closes the page, and a loss is told to the next one."""
    access = volatile.open()
    access.__enter__()
    vanishing.drop(volatile)
    del access
    gc.collect()
    assert observed.protection_at(vanishing.page_of(volatile)) == "---"
    with pytest.raises(ContentsLostError), volatile.open():
        pass


def test_what_is_damaged_is_not_taken_for_lost(vanishing_backing: vanishing.Kind) -> None:
    """A sentinel that somebody overwrote is damage, and ends the process; zeros in it are a loss.

    It is random: any one value may be what was there already, and zero may be what a byte is changed to.
    """
    from children import CANARY_DEATH, run

    scene = """
        import vanishing
        volatile = VolatileBuffer(32, backing={backing!r})
        with volatile.open("rw") as view:
            {harm}
        """
    for where in ("address_of(view) - 1", "address_of(view) + 32"):
        harm = f"poke({where}, 2 if peek({where}) == 1 else 1)"
        damaged = run(scene.format(backing=vanishing_backing, harm=harm))
        assert damaged.code == CANARY_DEATH, damaged
        assert "damaged canary" in damaged.err
    harm = "ctypes.memset(address_of(view) - 12, 0, 8)"
    assert "ContentsLostError" in run(scene.format(backing=vanishing_backing, harm=harm)).err
