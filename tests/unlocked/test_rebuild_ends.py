"""Buffers that end, and processes that fork, while contents are brought back."""

import gc
import os
import warnings
import weakref

import pytest

import needs
import observed
import vanishing
from children import DEADLINE_SECONDS, run, succeed
from strongroom import (
    DestroyedError,
    ForkedError,
    PurgedError,
    View,
    VolatileBuffer,
)
from vanishing import FILLER_SIZE as SIZE
from vanishing import Filler

pytestmark = needs.linux


def test_destroying_what_it_fills(filled: VolatileBuffer, filler: Filler) -> None:
    """destroy() and freeze() are refused meanwhile; leaving its with block with an error destroys it afterwards."""
    for refused in (filled.destroy, filled.freeze):
        filler.first = lambda _view, refused=refused: refused()
        with pytest.raises(BufferError, match="1 open block"):
            filled.read_into(bytearray(SIZE))
    filler.first = lambda _view: filled.__exit__(KeyError, KeyError(), None)
    page = vanishing.page_of(filled)
    with pytest.raises(DestroyedError), filled.open():
        pass
    assert filled.is_destroyed
    assert observed.protection_at(page) == "gone"


@pytest.mark.parametrize("is_raising", [False, True])
def test_destroyed_while_it_is_filled(filled: VolatileBuffer, filler: Filler, is_raising: bool) -> None:
    """The same where what fills it raises after that, or build() was asked for: an error, and no memory is left."""
    page = vanishing.page_of(filled)

    def doom(_view: View) -> None:
        filled.__exit__(KeyError, KeyError(), None)
        if is_raising:
            raise OSError

    filler.last = doom
    if is_raising:
        with pytest.raises(OSError):  # noqa: PT011
            filled.build(filler)
    else:
        filled.build(filler)
    assert filled.is_destroyed
    assert observed.protection_at(page) == "gone"


def test_purged_while_it_is_filled(vanishing_backing: vanishing.Kind) -> None:
    """The use raises, and so do all later ones; nothing of what was stored is left."""
    out = succeed(f"""
        import vanishing
        def fill(view):
            purge()
            view[:] = b"m" * 32
        volatile = VolatileBuffer(32, backing={vanishing_backing!r}, rebuild=fill)
        page = vanishing.page_of(volatile)
        for use in (lambda: volatile.build(fill), lambda: volatile == b"", lambda: volatile.intact):
            try:
                use()
            except PurgedError:
                print("purged", vanishing.contents(page).count(b"m" * 8))
    """)
    assert out.split() == ["purged", "0"] * 3


def test_a_cycle_is_collected(vanishing_backing: vanishing.Kind) -> None:
    """A buffer whose rebuild= refers to it is found by the garbage collector, and its page goes."""

    class Keeper:
        buffer: VolatileBuffer

        def fill(self, _view: View) -> None:
            raise AssertionError

    keeper = Keeper()
    keeper.buffer = VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=keeper.fill)
    page, watch = vanishing.page_of(keeper.buffer), weakref.ref(keeper.buffer)
    del keeper
    gc.collect()
    assert watch() is None
    assert observed.protection_at(page) == "gone"


def test_a_fork_while_it_is_filled(filled: VolatileBuffer, filler: Filler) -> None:
    """In the child of a fork made there the View and the use say so; the parent's is filled as if nothing had been."""
    answers: list[str] = []

    def fork(view: View) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: fork beside threads, NumPy's own too
            pid = os.fork()
        if pid:
            os.close(writing)
            os.waitpid(pid, 0)
            answers.append(os.read(reading, 99).decode())
            os.close(reading)
            return
        try:
            view[0] = 1
        except ForkedError:
            os.write(writing, b"view ")
        finally:
            is_child.append(writing)

    is_child: list[int] = []
    filler.first = fork
    try:
        is_right = filled == b"\1" * SIZE
    except ForkedError:
        if is_child:
            os.write(is_child[0], b"use")
        is_right = False
    finally:
        if is_child:
            os._exit(0)
    assert is_right
    assert answers == ["view use"]


def test_what_refers_to_a_finalizer(vanishing_backing: vanishing.Kind) -> None:
    """A finalizer that opens the buffer, at whatever moment of a use the collector runs it, does not wait for ever.

    The collector runs at every allocation here; where it does not run in such places (Python 3.12 on), nothing happens.
    """
    done = run(
        f"""
        import faulthandler
        faulthandler.dump_traceback_later({DEADLINE_SECONDS - 10}, exit=True)
        seen = set()
        class Opener:
            def __init__(self):
                self.me = self
            def __del__(self):
                try:
                    if len(seen) < 9:
                        volatile.read_into(bytearray(32))
                except (KeyError, AccessError, ContentsLostError) as error:
                    seen.add(type(error).__name__)
        def fill(view):
            raise KeyError
        volatile = VolatileBuffer(32, backing={vanishing_backing!r}, rebuild=fill)
        for threshold in range(1, 40):
            for count in range(5):
                Opener()
            gc.set_threshold(threshold, 1, 1)
            for _ in range(3):
                try:
                    volatile.read_into(bytearray(32))
                except KeyError:
                    pass
        gc.set_threshold(700)
        print(*sorted(seen), flush=True)
        os._exit(0)
        """
    )
    assert "KeyError" in done.out.split(), done


def test_purged_meanwhile() -> None:
    """What was purged is never brought back."""
    vanishing.require("droppable")
    assert (
        PurgedError.__name__
        in succeed("""
        volatile = VolatileBuffer(8, rebuild=lambda view: print("called"))
        purge()
        try:
            volatile.read_into(bytearray(8))
        except PurgedError as error:
            print(type(error).__name__)
    """).splitlines()
    )
