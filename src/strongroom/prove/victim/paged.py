"""Stores of physical pages that are looked at through a window, and what ordinary programs have in their place.

In: the pipe in which the tracer comes. A store has eight times the pages of its window; each of them gets its number
and the tracer, and is then hidden again when the next ones are shown.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

from strongroom.prove.attackers import libc, pages
from strongroom.prove.victim.kinds import Held, Ordinary, address_of

#: The backing that each kind asks for.
BACKINGS = {"store-secretmem": "secretmem", "store-locked": "locked"}
WINDOW_PAGES = 8
STORE_PAGES = 8 * WINDOW_PAGES
_NUMBER_SIZE = 8
_AT = 64  # in its page, where the tracer is


def _number(page: int) -> bytes:
    return b"%0*d" % (_NUMBER_SIZE, page)


def _copy(page: int, to: int, source: int, size: int) -> None:
    """Fill one page; the tracer goes from one address to the other, through no object of this process."""
    ctypes.memmove(to, _number(page), _NUMBER_SIZE)
    ctypes.memmove(to + _AT, source, size)


class OrdinaryPages(Ordinary):
    """The same pages in ordinary memory; and as one does it at first: in shared memory through a locked window that
    moves on, so that what it has left is an ordinary page.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__(descriptor, size)
        assert self.address is not None
        self.plain = mmap.mmap(-1, STORE_PAGES * pages.PAGE)
        for page in range(STORE_PAGES):
            _copy(page, address_of(self.plain) + page * pages.PAGE, self.address, size)
        length = WINDOW_PAGES * pages.PAGE
        file = os.memfd_create("ordinary", os.MFD_CLOEXEC)
        try:
            os.ftruncate(file, STORE_PAGES * pages.PAGE)
            for first in range(0, STORE_PAGES, WINDOW_PAGES):
                self.window = mmap.mmap(file, length, offset=first * pages.PAGE)  # the one before ends with its lock
                libc.mlock(address_of(self.window), length)
                for page in range(WINDOW_PAGES):
                    _copy(first + page, address_of(self.window) + page * pages.PAGE, self.address, size)
            self.keep = mmap.mmap(file, STORE_PAGES * pages.PAGE)  # else the memory went with the last window
        finally:
            os.close(file)

    def release(self) -> None:
        """Let go."""
        super().release()
        for each in (self.plain, self.window, self.keep):
            each.close()


class Store(Held):
    """Physical pages, each with the tracer in it, shown a window at a time."""

    def __init__(self, kind: str, descriptor: int, size: int) -> None:
        from strongroom import vm

        self.store: Any = vm.physical(STORE_PAGES * pages.PAGE, backing=BACKINGS[kind])
        self.window: Any = vm.window(WINDOW_PAGES * pages.PAGE)
        with vm.window(pages.PAGE) as first:
            first.map(self.store[0])
            first.write(0, _number(0))
            with first.view(_AT, size, "rw") as view:
                if os.readv(descriptor, [view]) != size:
                    raise OSError("a tracer came in part")
            for page in range(1, STORE_PAGES):
                self.window.map(self.store[page])
                _copy(page, self.window.address, first.address + _AT, size)
        self.window.map(self.store[0:WINDOW_PAGES])
        self.address = self.plaintext_at = self.window.address + _AT
        self.claimed = self.store.backing
        mapping = next(each for each in pages.mappings("self") if each.start <= self.address < each.end)
        self.backing = "secretmem" if mapping.is_secretmem else "shared"

    def show_window(self, first: int, descriptor: int, size: int) -> list[int]:
        """Show the pages from ``first`` on in the window, and what lies in each to prove; returns their numbers."""
        self.window.map(self.store[first : first + WINDOW_PAGES])
        numbers = []
        for page in range(WINDOW_PAGES):
            start = self.window.address + page * pages.PAGE
            numbers.append(int(ctypes.string_at(start, _NUMBER_SIZE)))
            if libc.write_from(descriptor, start + _AT, size) != size:
                raise OSError(f"page {first + page} cannot be read")
        return numbers

    def release(self) -> None:
        """Let go."""
        self.window.release()
        self.store.release()
