"""A window that moves over memory which is never swapped: ours beside an ordinary file's, moved by the mmap module."""

import mmap
import os
from collections.abc import Callable
from contextlib import ExitStack

from bench.rows import Contender, Group, SkipError, time_group
from bench.timing import Loop
from strongroom import StrongroomError, vm

#: Pages that a window shows, and places of the store that it shows in turn.
_SHOWN, _PLACES = 128, 2


def _ours(stack: ExitStack, backing: str) -> Loop:
    """Show one part of a store after the other."""
    try:
        store = vm.physical(_SHOWN * _PLACES * vm.PAGE_SIZE, backing=backing)
    except StrongroomError as error:
        raise SkipError(f"no {backing} store: {error}") from error
    stack.callback(store.release)
    window = vm.window(_SHOWN * vm.PAGE_SIZE)
    stack.callback(window.release)
    parts = [store[at * _SHOWN : (at + 1) * _SHOWN] for at in range(_PLACES)]

    def loop(count: int) -> None:
        for turn in range(count):
            window.map(parts[turn % _PLACES])

    return loop


def _mmap(stack: ExitStack) -> Loop:
    """What a program does otherwise: map the next part of a file, and let go of the last."""
    size = _SHOWN * mmap.PAGESIZE
    file = os.memfd_create("bench")
    stack.callback(os.close, file)
    os.ftruncate(file, size * _PLACES)

    def loop(count: int) -> None:
        for turn in range(count):
            mmap.mmap(file, size, offset=turn % _PLACES * size).close()

    return loop


def _made(stack: ExitStack, backing: str) -> Loop:
    """Make a store, show all of it, write to each of its pages, and give it back."""
    _ours(stack, backing)  # only whether there is one
    size = _SHOWN * vm.PAGE_SIZE
    window = vm.window(size)
    stack.callback(window.release)

    def loop(count: int) -> None:
        for _ in range(count):
            with vm.physical(size, backing=backing) as store:
                window.map(store[:])
                window.fill(0, size, 1)
                window.unmap()

    return loop


def _ordinary() -> Loop:
    """The same with memory that may be swapped."""
    size = _SHOWN * mmap.PAGESIZE
    content = b"1" * size

    def loop(count: int) -> None:
        for _ in range(count):
            with mmap.mmap(-1, size) as memory:
                memory[:] = content

    return loop


def measure(rounds: int) -> list[Group]:
    """Measure moving a window, and making a store."""
    with ExitStack() as stack:

        def contender(key: str, title: str, make: Callable[[], Loop]) -> Contender:
            try:
                return Contender(key, title, make())
            except SkipError as reason:
                return Contender(key, title, reason)

        moved = [
            contender("mmap", "mmap module, another part of a file", lambda: _mmap(stack)),
            contender("secretmem", "strongroom Window.map, secret memory", lambda: _ours(stack, "secretmem")),
            contender("locked", "strongroom Window.map, locked", lambda: _ours(stack, "locked")),
        ]
        made = [
            contender("mmap", "mmap module, ordinary memory", _ordinary),
            contender("secretmem", "strongroom vm.physical, secret memory", lambda: _made(stack, "secretmem")),
            contender("locked", "strongroom vm.physical, locked", lambda: _made(stack, "locked")),
        ]
        return [
            time_group("window-map", f"show {_SHOWN} other pages", moved, rounds),
            time_group("physical-make", f"{_SHOWN} physical pages: make, show, fill, release", made, rounds),
        ]
