"""Contents that vanish on their way from one buffer to another, and all of them stored anew."""

import sys
from typing import Any, TypeVar, cast

import pytest

import needs
import vanishing
from strongroom import (
    AccessError,
    ContentsLostError,
    LockedBuffer,
    Secret,
    View,
    VolatileBuffer,
)
from vanishing import MARK
from vanishing import MARK_SIZE as SIZE

pytestmark = needs.linux
AnyTarget = TypeVar("AnyTarget", LockedBuffer, VolatileBuffer)


def dropping(kind: type[AnyTarget], size: int, source: VolatileBuffer) -> AnyTarget:
    """A buffer that has the system drop another when it is opened: in the middle of a copy from there."""

    class Target(kind):  # type: ignore[misc, valid-type]
        is_dropping: bool = True

        def open(self, mode: str = "r") -> Any:
            if mode == "rw" and self.is_dropping:
                self.is_dropping = False
                vanishing.drop(source)
            return super().open(mode)

    return cast("AnyTarget", Target(size))


def test_copied_elsewhere(volatile: VolatileBuffer) -> None:
    """Other buffers and secrets take its contents, or raise and hold nothing of what was dropped."""
    with LockedBuffer(SIZE) as locked:
        locked.copy_from(volatile)
        assert locked == MARK
        assert Secret.build(SIZE, volatile.read_into) == MARK
        vanishing.drop(volatile)
        with pytest.raises(ContentsLostError):
            locked.copy_from(volatile)
        assert locked == MARK  # not begun
        with pytest.raises(ContentsLostError):
            Secret.build(SIZE, volatile.read_into)


@pytest.mark.parametrize("verb", ["copy_from", "move_from"])
def test_vanishing_in_the_middle_of_a_copy(volatile: VolatileBuffer, verb: str) -> None:
    """The target's part is zeros again, what lies beside it stays, and the error says why."""
    with dropping(LockedBuffer, SIZE + 8, volatile) as locked:
        with pytest.raises(ContentsLostError, match="while a block had it open"):
            getattr(locked, verb)(volatile, 3)
        assert locked == bytes(SIZE + 8)
        locked.copy_from(b"y" * (SIZE + 8))
        volatile.copy_from(MARK)
        vars(locked)["is_dropping"] = True
        with pytest.raises(ContentsLostError):
            getattr(locked, verb)(volatile, 3)
        assert locked == b"yyy" + bytes(SIZE) + b"y" * 5


def test_vanishing_where_the_offset_is_asked_for(volatile: VolatileBuffer) -> None:
    """An offset is asked for its number once: another time it may be another, and other bytes would be wiped."""

    class Offset:
        asked = 0

        def __index__(self) -> int:
            self.asked += 1
            return self.asked

    offset = Offset()
    with dropping(LockedBuffer, SIZE + 8, volatile) as locked:
        with pytest.raises(ContentsLostError):
            locked.copy_from(volatile, offset)  # type: ignore[arg-type]
        assert offset.asked == 1
        locked.copy_from(b"y" * (SIZE + 8))
        volatile.copy_from(MARK)
        locked.copy_from(volatile, offset)  # type: ignore[arg-type]
        assert locked == b"yy" + MARK + b"y" * 6


def test_vanishing_in_the_middle_of_a_copy_between_two(volatile: VolatileBuffer) -> None:
    """A target that may vanish itself is lost then, and not zeros that pass for contents."""
    with dropping(VolatileBuffer, SIZE, volatile) as target:
        with pytest.raises(ContentsLostError):
            target.copy_from(volatile)
        assert not target.intact


def test_stored_anew(volatile: VolatileBuffer) -> None:
    """All the bytes at once bring it back, in each way there is; a part of them does not."""
    with LockedBuffer(SIZE) as locked:
        locked.copy_from(MARK)
        sources: list[object] = [MARK, bytearray(MARK), locked, Secret.from_buffer(bytearray(MARK))]
        for source in sources:
            vanishing.drop(volatile)
            volatile.copy_from(source)  # type: ignore[arg-type]
            assert volatile == MARK
        for source in (bytearray(MARK), locked):
            vanishing.drop(volatile)
            volatile.move_from(source)
            assert volatile == MARK
            assert source == bytes(SIZE)
    vanishing.drop(volatile)
    part = bytearray(MARK[1:])
    for offset in (0, 1):
        with pytest.raises(ContentsLostError):
            volatile.copy_from(part, offset)
    with pytest.raises(ContentsLostError):
        volatile.move_from(part)
    assert part == MARK[1:]
    assert not volatile.intact
    with pytest.raises(ValueError, match="do not fit"):
        volatile.copy_from(MARK, 1)


def test_dropped_while_it_is_overwritten(volatile: VolatileBuffer) -> None:
    """All the bytes are stored although the system drops the old ones after copy_from() has looked."""
    if sys.version_info < (3, 12):
        pytest.skip("needs Python 3.12: a source whose buffer protocol is Python code (PEP 688)")

    class Source:
        def __init__(self, when: set[int]) -> None:
            self.when, self.asked = when, 0

        def __buffer__(self, _flags: int) -> memoryview:
            self.asked += 1
            if self.asked in self.when:
                vanishing.drop(volatile)
            return memoryview(MARK)

    for when in ({2}, {2, 3}, {2, 3, 4}):
        volatile.copy_from(bytes(SIZE))
        volatile.copy_from(Source(when))
        assert volatile == MARK


def test_read_into_a_buffer_whose_contents_were_lost(vanishing_backing: vanishing.Kind) -> None:
    """As with copy_from() all the bytes bring it back, whatever it held before; nobody asks its rebuild."""
    asked: list[int] = []
    with LockedBuffer(SIZE) as source:
        source.copy_from(MARK)
        for rebuild in (None, lambda view: asked.append(len(view))):
            with VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=rebuild) as target:
                vanishing.drop(target)
                assert not target.intact
                source.read_into(target)
                assert target.intact
                assert target == MARK
                source.read_into(target)
                assert target == MARK
        assert asked == []
        with VolatileBuffer(SIZE, backing=vanishing_backing) as frozen:
            frozen.freeze()
            with pytest.raises(AccessError, match="VolatileBuffer is frozen"):
                source.read_into(frozen)
            with pytest.raises(ValueError, match="is read into exactly that many"):
                frozen.read_into(LockedBuffer(SIZE + 1))


def test_a_loss_says_of_which_of_two_it_is(volatile: VolatileBuffer) -> None:
    """The source or the target of the copy; a target that cannot be lost is zeros then, another one is lost."""
    with VolatileBuffer(SIZE) as other, LockedBuffer(SIZE) as locked:
        other.copy_from(MARK)
        locked.copy_from(MARK)
        vanishing.drop(volatile)
        for target in (other, locked):
            with pytest.raises(ContentsLostError, match=r"^the source of the copy: the system dropped the contents"):
                volatile.read_into(target)
        assert not other.intact
        assert locked == bytes(SIZE)
        with pytest.raises(ContentsLostError, match=r"^the source of the copy: "):
            locked.copy_from(volatile)
        with pytest.raises(ContentsLostError, match=r"^the target of the copy: the system dropped the contents"):
            volatile.copy_from(LockedBuffer(SIZE - 1))


def test_reading_into_one_that_vanishes_while_it_is_filled(volatile: VolatileBuffer) -> None:
    """Every time: the target is named, and the source is as it was. A source that is brought back is read again."""

    class Target(VolatileBuffer):
        def build(self, fill: Any) -> None:
            def fill_in_vain(view: View) -> None:
                fill(view)
                vanishing.drop(self)

            super().build(fill_in_vain)

    with Target(SIZE, backing=volatile.backing) as vain:
        vanishing.drop(vain)
        with pytest.raises(ContentsLostError, match=r"^the target of the copy: .* while a block had it open"):
            volatile.read_into(vain)
        assert volatile == MARK
        assert not vain.intact

    filled: list[int] = []

    def fill(view: View) -> None:
        filled.append(1)
        view[:] = MARK

    with (
        VolatileBuffer(SIZE, backing=volatile.backing, rebuild=fill) as source,
        dropping(VolatileBuffer, SIZE, source) as target,
    ):
        source.read_into(target)
        assert target == MARK
        assert len(filled) == 2
