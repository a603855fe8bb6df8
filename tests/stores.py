"""Stores of physical pages for tests: each kind that this system has, its pages marked with their numbers."""

import functools
import sys

import pytest

from pages import PAGE, seen
from strongroom import LockLimitError, SystemCallError, UnsupportedError, vm

#: The kinds that some system of ours has and tests can have, by the system.
KINDS = ["awe"] if sys.platform == "win32" else ["secretmem", "locked"]


@functools.cache
def _why_not(backing: str) -> str:
    """Why there is no such store here; empty if there is."""
    try:
        vm.physical(1, backing=backing).release()
        vm.window(1).release()
    except (LockLimitError, SystemCallError, UnsupportedError) as error:
        return f"no {backing} pages here: {error}"
    return ""


def each_kind() -> pytest.MarkDecorator:
    """Run a test with each kind as its ``backing``; one that is not to be had is a skip that says why."""
    return pytest.mark.parametrize(
        "backing",
        [pytest.param(kind, marks=pytest.mark.skipif(bool(_why_not(kind)), reason=_why_not(kind))) for kind in KINDS],
    )


def mark(number: int) -> bytes:
    """What a page begins with."""
    return b"page %08d" % number


def filled(backing: str, count: int) -> vm.PhysicalPages:
    """Return a store whose pages say their numbers, first and last."""
    store = vm.physical(count * PAGE, backing=backing)
    with vm.window(PAGE) as window:
        for number in range(count):
            window.map(store[number])
            window.write(0, mark(number))
            window.write(PAGE - len(mark(0)), mark(number))
    return store


def numbers(window: vm.Window) -> list[int | None]:
    """What each page of a window really shows: the number that it says; None where the system lets nobody in."""
    found: list[int | None] = []
    for index, page in enumerate(seen(window.address, window.size)):
        if page.letters[0] != "r":
            found.append(None)
            continue
        content = window.read(index * PAGE, PAGE)
        assert content.endswith(content[: len(mark(0))])
        found.append(int(content[5 : len(mark(0))]))
    return found


def booked(window: vm.Window) -> list[int | None]:
    """What each page of a window shows by strongroom's books."""
    found: list[int | None] = [None] * (window.size // PAGE)
    for offset, size, _store, first in window.shown():
        for index in range(size // PAGE):
            found[offset // PAGE + index] = first + index
    return found
