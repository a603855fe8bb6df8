"""What brings contents back: rebuild= and build()."""

from collections.abc import Callable
from typing import Any

import pytest

import needs
import vanishing
from strongroom import (
    AccessError,
    ContentsLostError,
    DestroyedError,
    LockedBuffer,
    Secret,
    View,
    VolatileBuffer,
)
from vanishing import FILLER_SIZE as SIZE
from vanishing import Filler

pytestmark = needs.linux


def holds(filled: VolatileBuffer, filler: Filler) -> bool:
    """Whether a use of the buffer finds what was stored last, maybe by this very use."""
    target = bytearray(SIZE)
    filled.read_into(target)
    return target == filler.content


def test_first_use(filled: VolatileBuffer, filler: Filler) -> None:
    """Nothing is called when it is made; the first use calls it once, with a View of zeros; later ones do not."""
    assert not filled.intact
    assert filler.calls == 0
    assert filled == b"\1" * SIZE
    with filled.open() as view, filled.open("rw") as other:
        assert bytes(view) == bytes(other) == filler.content
    assert filled.intact
    assert filler.calls == 1
    assert filler.zeros


def test_each_way_of_using_it(filled: VolatileBuffer, filler: Filler) -> None:
    """After a loss each way calls it once and has new contents; asking whether they are there does not."""
    target = bytearray(SIZE)

    def open_it(mode: Any) -> bytes:
        with filled.open(mode) as view:
            return bytes(view)

    def copy_it() -> bytes:
        with LockedBuffer(SIZE) as locked:
            locked.copy_from(filled)
            with locked.open() as view:
                return bytes(view)

    def read_it() -> bytes:
        filled.read_into(target)
        return bytes(target)

    ways: list[Callable[[], bytes]] = [
        lambda: open_it("r"),
        lambda: open_it("rw"),
        copy_it,
        read_it,
        lambda: Secret.build(SIZE, filled.read_into).reveal(),
    ]
    for number, way in enumerate(ways, 1):
        assert not filled.intact
        filled.guarantees()
        assert filler.calls == number - 1
        assert way() == filler.content == bytes([number]) * SIZE
        vanishing.drop(filled)
    filled.copy_from(b"p", 7)  # a part of it: the rest is what it was to be
    assert filled == filler.content[:7] + b"p" + filler.content[8:]
    assert filler.zeros


def test_lost_during_a_block(filled: VolatileBuffer, filler: Filler) -> None:
    """Whoever was in the block is told, for what was computed may be wrong; the next one has it again."""
    with pytest.raises(ContentsLostError, match="while a block had it open"), filled.open():
        vanishing.drop(filled)
    assert filler.calls == 1
    with pytest.raises(ContentsLostError, match="had it open"), filled.open() as outer:  # noqa: PT012
        vanishing.drop(filled)
        with filled.open() as inner:
            assert bytes(inner) == bytes(outer) == b"\3" * SIZE
    assert filled == b"\3" * SIZE


def test_not_while_somebody_writes(filled: VolatileBuffer, filler: Filler) -> None:
    """Contents do not begin anew under a block that may write to them: its stores would spoil the new ones."""
    with pytest.raises(ContentsLostError), filled.open("rw"):  # noqa: PT012
        vanishing.drop(filled)
        with pytest.raises(BufferError, match=r"1 open block\(s\) may still write"), filled.open():
            pass
        with pytest.raises(BufferError, match=r"1 open block\(s\) may still write"):
            filled.build(filler)
    assert filled == b"\2" * SIZE


def test_raising(filled: VolatileBuffer, filler: Filler) -> None:
    """What it raises comes out of the use, whatever it had stored is gone, and the next use calls it again."""
    for error in (KeyError("mine"), KeyboardInterrupt(), ContentsLostError("of something else")):

        def stop(_view: View, error: BaseException = error) -> None:
            raise error

        filler.last = stop
        uses: list[Callable[[], object]] = [
            lambda: filled == b"",
            lambda: filled.open().__enter__(),
            lambda: filled.build(filler),
        ]
        for use in uses:
            with pytest.raises(type(error)) as caught:
                use()
            assert caught.value is error
            assert not filled.intact
            assert vanishing.is_gone(vanishing.page_of(filled))
    filler.last = lambda view: None
    assert holds(filled, filler)


def test_returning_something(filled: VolatileBuffer, filler: Filler) -> None:
    """It was to write into the View: what it returns is shown by its type alone, and nothing is stored."""
    del filler
    with pytest.raises(TypeError, match="writes into the View and returns nothing, not bytes") as caught:
        filled.build(lambda view: b"the secret itself")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
    assert not filled.intact


def test_opening_what_it_fills(filled: VolatileBuffer, filler: Filler) -> None:
    """It has the View; each other way in is refused at once, and does not wait for itself."""
    uses = [
        lambda: filled.open().__enter__(),
        lambda: filled.open("rw").__enter__(),
        lambda: filled.read_into(bytearray(SIZE)),
        lambda: filled.build(filler),
        lambda: filled == bytes(SIZE),
        lambda: filled.copy_from(bytes(SIZE)),
        lambda: filled.copy_from(b"x", 3),
    ]
    for use in uses:
        filler.first = lambda _view, use=use: use()
        with pytest.raises(AccessError, match="what fills a VolatileBuffer cannot open it"):
            filled.read_into(bytearray(SIZE))

    def ask(_view: View) -> None:
        assert not filled.intact
        filled.guarantees()
        assert "open" in repr(filled)

    filler.first = ask
    assert holds(filled, filler)


def test_vanishing_each_time(filled: VolatileBuffer, filler: Filler) -> None:
    """It is called three times at most for one use; then the use raises. Twice is no reason to."""
    filler.last = lambda _view: vanishing.drop(filled)
    for use in (lambda: filled == b"", lambda: filled.build(filler), lambda: filled.copy_from(b"x", 3)):
        filler.calls = 0
        with pytest.raises(ContentsLostError):
            use()
        assert filler.calls == 3
        assert not filled.intact
    filler.calls = 0
    filler.last = lambda _view: vanishing.drop(filled) if filler.calls < 3 else None
    assert filled == b"\3" * SIZE


def test_vanishing_before_it_is_filled(filled: VolatileBuffer, filler: Filler) -> None:
    """A loss between beginning anew and filling counts like any other."""
    filler.first = lambda _view: vanishing.drop(filled) if filler.calls < 3 else None
    filled.build(filler)
    assert filled == b"\3" * SIZE


def test_frozen(filled: VolatileBuffer, filler: Filler) -> None:
    """Frozen contents are brought back to what they were; build(), which makes others, is refused."""
    filled.freeze()
    seen = []
    filler.first = lambda _view: seen.append(filled.is_frozen)
    assert filled == b"\1" * SIZE
    vanishing.drop(filled)
    assert filled == b"\2" * SIZE
    assert seen == [True, True]
    assert filled.is_frozen
    with pytest.raises(AccessError, match="frozen"):
        filled.build(filler)
    with pytest.raises(AccessError, match="frozen"), filled.open("rw"):
        pass
    assert filler.calls == 2


def test_melted_while_it_is_filled(filled: VolatileBuffer, filler: Filler) -> None:
    """melt() in the meantime is not forgotten."""
    filled.freeze()
    filler.first = lambda _view: filled.melt()
    assert holds(filled, filler)
    assert not filled.is_frozen
    filled.build(filler)


def test_keeping_the_view(filled: VolatileBuffer, filler: Filler) -> None:
    """The View that it was given is good for that call only; a buffer of it that is kept is an error, and wiped."""
    kept: list[Any] = []
    filler.last = kept.append
    assert holds(filled, filler)
    with pytest.raises(AccessError):
        kept.pop()[0]
    filler.last = lambda view: kept.append(memoryview(view))
    with pytest.raises(BufferError, match="kept past the block"):
        filled.build(filler)
    assert kept[0] == bytes(SIZE)
    assert not filled.intact
    kept.pop().release()
    filler.last = lambda view: None
    assert holds(filled, filler)


def test_build_without_rebuild(vanishing_backing: vanishing.Kind, filler: Filler) -> None:
    """build() fills once, over what was there or over a loss; the next loss is final."""
    with VolatileBuffer(SIZE, backing=vanishing_backing) as volatile:
        for _ in range(2):
            volatile.build(filler)
            assert holds(volatile, filler)
            vanishing.drop(volatile)
        with pytest.raises(ContentsLostError):
            volatile.read_into(bytearray(SIZE))
        for wrong in (None, 5):
            with pytest.raises(TypeError, match=f"fill must be a function that fills a View, not {wrong}"):
                volatile.build(wrong)  # type: ignore[arg-type]
    with pytest.raises(DestroyedError):
        volatile.build(filler)
