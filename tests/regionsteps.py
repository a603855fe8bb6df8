"""What the region state machine is made of: the numbers it tries, what it holds, and how it is checked."""

import collections
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

import pages
from observed_linux import mappings
from pages import PAGE, Seen
from regionmodel import Hold, Model, Outcome, letters_of
from strongroom import ForkedError, vm

#: Pages of a region.
PAGES = 8

#: How often each rule was done and refused.
taken: collections.Counter[tuple[str, bool]] = collections.Counter()

ABSURD = [-1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 70, True, 1.5, "0"]
_GOOD_RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 3)).map(
    lambda pair: (pair[0] * PAGE, min(pair[1], PAGES - pair[0]) * PAGE)
)
_ODD = st.integers(0, PAGES * PAGE + 1)
#: Offset and size: whole pages inside, any bytes, up to the end, and what no range can be.
ranges = st.integers(0, 15).flatmap(
    lambda kind: (
        _GOOD_RANGES
        if kind < 12
        else st.tuples(_ODD, st.sampled_from([1, 2, 9, PAGE, PAGE + 1, 2 * PAGE - 1]))
        if kind < 14
        else st.tuples(_ODD, st.sampled_from([None, None, 0, PAGES * PAGE]))
        if kind < 15
        else st.tuples(st.sampled_from([0, PAGE, None, *ABSURD]), st.sampled_from([1, PAGE, *ABSURD]))
    )
)
GOOD = [vm.NO_ACCESS, vm.READ_ONLY, vm.READ_WRITE, vm.EXECUTE, vm.EXECUTE_READ, vm.EXECUTE_READ_WRITE]
guards = [protection | vm.GUARD for protection in GOOD[1:]]
BAD = [0, 3, -1, 1 << 64, True, "rw", vm.NO_ACCESS | vm.GUARD, vm.WRITE_COPY, vm.READ_ONLY | vm.NO_CACHE, 0x304]
protections = st.integers(0, 15).flatmap(
    lambda kind: st.sampled_from(
        [vm.READ_WRITE] if kind < 7 else GOOD if kind < 12 else guards if kind < 15 else BAD,
    )
)
bytes_to_fill = st.integers(1, 255)
letters = st.sampled_from("rw")


class Real:
    """A region and its model."""

    def __init__(self, region: vm.Region, model: Model) -> None:
        self.region = region
        self.model = model


class Held:
    """A secure handle, or an open View with what was kept of it."""

    def __init__(self, real: Real, hold: Hold, thing: Any, view: Any = None, span: tuple[int, int] = (0, 0)) -> None:
        self.real = real
        self.hold = hold
        self.thing = thing
        self.view = view
        self.span = span
        self.kept: memoryview | None = None
        self.is_open = True

    def let_go(self) -> None:
        self.real.model.holds.remove(self.hold)


class Block:
    """A protected() or locked() block that was entered, and what its end should do."""

    def __init__(self, block: AbstractContextManager[Any], end: Callable[[], Outcome]) -> None:
        self.block = block
        self.end = end


def attempt(name: str, outcome: Outcome, call: Callable[[], Any]) -> Any:
    """Do it: it must raise one of the model's errors, or return."""
    taken[name, not outcome.errors] += 1
    if outcome.errors:
        with pytest.raises(tuple(outcome.errors)):
            call()
        return None
    return call()


class Checked(RuleBasedStateMachine):
    """Regions beside their models, compared after each step with what the kernel says."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Real] = []
        self.helds: list[Held] = []
        self.forks = 0

    def look_from_a_child(self) -> str:
        for held in self.helds:
            if held.view is None and held.is_open:
                assert not held.thing.is_held
                with pytest.raises(ForkedError):
                    held.thing.unsecure()
                held.let_go()
        for real in self.all:
            for page in real.model.pages:
                page.is_locked = page.was_locked = False
                page.locks = 0
        self.the_kernel_agrees()
        for real in self.all:
            for offset in range(0, real.model.size, PAGE):
                for name in ("unlock", "decommit"):
                    outcome = getattr(real.model, name)(offset, PAGE)
                    attempt(name, outcome, lambda: getattr(real.region, name)(offset, PAGE))  # noqa: B023
        self.the_kernel_agrees()
        return "as it should be"

    @invariant()
    def the_kernel_agrees(self) -> None:
        """Each page's protection and lock, all bytes, and what strongroom itself says."""
        listing = mappings()
        for real in self.all:
            model, address = real.model, real.region.address
            assert real.region.is_released == model.is_released
            if model.is_released:
                continue
            assert pages.seen(address, model.size, listing) == [
                Seen(letters_of(p.protection), p.is_locked) for p in model.pages
            ]
            assert pages.content(address, model.size) == model.content
            told = [(run.protection, run.locks) for run in real.region.pages() for _ in range(run.size // PAGE)]
            assert told == [(page.protection, page.locks) for page in model.pages]

    def teardown(self) -> None:
        for held in self.helds:
            if held.view is None:
                if held.is_open:
                    held.thing.unsecure()
                continue
            if held.kept is not None:
                held.kept.release()
            held.thing.__exit__(None, None, None)
        for real in self.all:
            real.region.release()
