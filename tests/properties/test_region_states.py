"""Any sequence of what can be done with regions: after each step the kernel's own answer is the model's.

Protection and lock of each page come from smaps, the bytes from /proc/self/mem, which minds no protection. The suite
takes a few hundred steps. For more, with new sequences each time, in the terminal:

    STRONGROOM_STEPS=50000 python -m pytest -s tests/properties/test_region_states.py
"""

import os
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, precondition, rule

import pages
from pages import PAGE
from regionmodel import Errors, Model, Outcome, allows
from regionsteps import (
    PAGES,
    Block,
    Checked,
    Held,
    Real,
    attempt,
    bytes_to_fill,
    letters,
    protections,
    ranges,
    taken,
)
from strongroom import AccessError, vm

if not pages.IS_LINUX:
    pytest.skip("what the system says of pages is read from /proc: needs Linux", allow_module_level=True)

WANTED_STEPS = int(os.environ.get("STRONGROOM_STEPS", "0"))
STEPS = 50  # in one example
EXAMPLES = WANTED_STEPS * 3 // 2 // STEPS if WANTED_STEPS else 10  # three steps in ten find nothing to do
MOST_REGIONS, MOST_FORKS = 2, 2


class Regions(Checked):
    """What users can do, in any order."""

    regions = Bundle("regions")
    secured = Bundle("secured")
    views = Bundle("views")
    blocks = Bundle("blocks")

    @precondition(lambda self: sum(not real.model.is_released for real in self.all) < MOST_REGIONS)
    @rule(
        target=regions,
        count=st.just(PAGES),
        protection=st.sampled_from([vm.READ_WRITE, 0, vm.READ_WRITE]),
    )
    def make(self, count: int, protection: int) -> Real:
        """A new one, reserved or committed."""
        place = pages.FAR_AWAY + len(self.all) * (1 << 30)
        if protection:
            region = vm.allocate(count * PAGE, protection, near=place)
        else:
            region = vm.reserve(count * PAGE - 1, near=place)
        self.all.append(Real(region, Model(count, protection)))
        return self.all[-1]

    @rule(real=regions, where=ranges, protection=protections)
    def commit(self, real: Real, where: tuple[Any, Any], protection: Any) -> None:
        outcome = real.model.commit(*where, protection)
        assert attempt("commit", outcome, lambda: real.region.commit(*where, protection)) in (
            None,
            outcome.result,
        )

    @rule(real=regions, where=ranges)
    def decommit(self, real: Real, where: tuple[Any, Any]) -> None:
        outcome = real.model.decommit(*where)
        assert attempt("decommit", outcome, lambda: real.region.decommit(*where)) in (None, outcome.result)

    @rule(real=regions, where=ranges, protection=protections)
    def protect(self, real: Real, where: tuple[Any, Any], protection: Any) -> None:
        outcome = real.model.protect(*where, protection)
        old = attempt("protect", outcome, lambda: real.region.protect(*where, protection))
        assert outcome.errors or old == outcome.result[0]

    @rule(target=blocks, real=regions, where=ranges, protection=protections)
    def enter_protected(self, real: Real, where: tuple[Any, Any], protection: Any) -> Block | None:
        outcome = real.model.protect(*where, protection)
        block = real.region.protected(*where, protection)
        if attempt("enter protected", outcome, block.__enter__) is None:
            return None
        return Block(block, lambda: real.model.restore(outcome.result[1]))

    @rule(target=blocks, real=regions, where=ranges)
    def enter_locked(self, real: Real, where: tuple[Any, Any]) -> Block | None:
        outcome = real.model.lock(*where)
        block = real.region.locked(*where)
        if attempt("enter locked", outcome, block.__enter__) is None:
            return None
        first, count = (number // PAGE for number in outcome.result)
        return Block(block, lambda: real.model.unlock_each(range(first, first + count)))

    @rule(block=consumes(blocks), is_failing=st.booleans())
    def leave(self, block: Block | None, is_failing: bool) -> None:
        """What can be undone is; an exception on its way is never replaced."""
        if block is None:
            return
        outcome = block.end()
        if is_failing:
            block.block.__exit__(KeyError, KeyError("mine"), None)
        else:
            attempt("leave", outcome, lambda: block.block.__exit__(None, None, None))

    @rule(real=regions, where=ranges)
    def lock(self, real: Real, where: tuple[Any, Any]) -> None:
        outcome = real.model.lock(*where)
        assert attempt("lock", outcome, lambda: real.region.lock(*where)) in (None, outcome.result)

    @rule(real=regions, where=ranges)
    def unlock(self, real: Real, where: tuple[Any, Any]) -> None:
        outcome = real.model.unlock(*where)
        assert attempt("unlock", outcome, lambda: real.region.unlock(*where)) in (None, outcome.result)

    @rule(real=regions, first=st.integers(0, PAGES - 1), count=st.integers(1, 2), is_lock=st.booleans())
    def others_lock(self, real: Real, first: int, count: int, is_lock: bool) -> None:
        """Other code locks or unlocks pages past strongroom."""
        model = real.model
        numbers = range(first, first + count)
        if model.is_released or first + count > len(model.pages):
            return
        if all(allows(model.pages[number].protection, "r") for number in numbers):
            call = pages.others_lock if is_lock else pages.others_unlock
            assert call(real.region.address + first * PAGE, count * PAGE) == 0
            model.others_lock(numbers, is_lock)

    @rule(real=regions, where=ranges)
    def read(self, real: Real, where: tuple[Any, Any]) -> None:
        outcome = real.model.read(*where)
        assert attempt("read", outcome, lambda: real.region.read(*where)) in (None, outcome.result)

    @rule(real=regions, where=ranges, data=st.sampled_from([b"1337", b"x" * PAGE, b"y" * (PAGE + 9)]))
    def write(self, real: Real, where: tuple[Any, Any], data: bytes) -> None:
        outcome = real.model.write(where[0], data)
        assert attempt("write", outcome, lambda: real.region.write(where[0], data)) in (None, outcome.result)

    @rule(real=regions, where=ranges, byte=bytes_to_fill)
    def fill(self, real: Real, where: tuple[Any, Any], byte: int) -> None:
        outcome = real.model.fill(*where, byte)
        attempt("fill", outcome, lambda: real.region.fill(*where, byte))

    @rule(target=secured, real=regions, where=ranges, letter=letters)
    def secure(self, real: Real, where: tuple[Any, Any], letter: str) -> Held | None:
        mode = vm.READ_ONLY if letter == "r" else vm.READ_WRITE
        outcome = real.model.secure(*where, letter)
        handle = attempt("secure", outcome, lambda: real.region.secure(*where, mode))
        if handle is None:
            return None
        self.helds.append(Held(real, outcome.result, handle))
        return self.helds[-1]

    @rule(held=secured)
    def unsecure(self, held: Held | None) -> None:
        """Once; again is an error and changes nothing."""
        if held is None:
            return
        attempt("unsecure", Outcome(set() if held.is_open else {AccessError}), held.thing.unsecure)
        if held.is_open:
            held.is_open = False
            held.let_go()

    @rule(target=views, real=regions, where=ranges, letter=letters)
    def view(self, real: Real, where: tuple[Any, Any], letter: str) -> Held | None:
        outcome = real.model.view(*where, letter)
        made: list[Any] = []

        def enter() -> Any:
            made.append(real.region.view(*where, "r" if letter == "r" else "rw"))
            return made[0].__enter__()

        view = attempt("view", outcome, enter)
        if view is None:
            return None
        self.helds.append(Held(real, outcome.result[0], made[0], view, outcome.result[1:]))
        return self.helds[-1]

    @rule(held=views, at=st.integers(0, 3 * PAGE), byte=bytes_to_fill)
    def use_view(self, held: Held | None, at: int, byte: int) -> None:
        """It reads and writes the region itself; after its block it refuses."""
        if held is None:
            return
        if not held.is_open:
            attempt("use view", Outcome({AccessError}), lambda: held.view[0])
            return
        start, stop = held.span
        at %= stop - start
        assert attempt("use view", Outcome(set()), lambda: held.view[at]) == held.real.model.content[start + at]
        if held.hold.letter == "w":
            held.view[at] = byte
            held.real.model.content[start + at] = byte

    @rule(held=views)
    def keep(self, held: Held | None) -> None:
        """A memoryview of a part of it is kept, or given back."""
        if held is None:
            return
        if held.kept is None and held.is_open:
            held.kept = memoryview(held.view)[-1:]
        elif held.kept is not None:
            assert held.kept[0] == held.real.model.content[held.span[1] - 1]
            held.kept.release()
            held.kept = None
            if not held.is_open:
                held.let_go()

    @rule(held=views, is_failing=st.booleans())
    def end_view(self, held: Held | None, is_failing: bool) -> None:
        """The pages are free again, unless something was kept: that is told, except on the way of an error."""
        if held is None or not held.is_open:
            return
        held.is_open = False
        if held.kept is None:
            held.let_go()
        if is_failing:
            held.thing.__exit__(KeyError, KeyError("mine"), None)
            return
        errors: Errors = {BufferError} if held.kept is not None else set()
        attempt("end view", Outcome(errors), lambda: held.thing.__exit__(None, None, None))

    @rule(real=regions, chance=st.integers(0, 3))
    def release(self, real: Real, chance: int) -> None:
        """Nothing is mapped there afterwards; twice is fine. Not often: nothing more can be done with it then."""
        if chance != 0:
            return
        was_released = real.model.is_released
        outcome = real.model.release()
        attempt("release", outcome, real.region.release)
        if real.model.is_released and not was_released:
            assert not any(
                pages.is_mapped(real.region.address + number * PAGE) for number in range(len(real.model.pages))
            )

    @precondition(lambda self: self.forks < MOST_FORKS and any(not real.model.is_released for real in self.all))
    @rule()
    def fork(self) -> None:
        """A child has the pages and the Views, no locks and no promises."""
        self.forks += 1
        taken["fork", True] += 1
        from children import forked  # needs a Unix

        assert forked(self.look_from_a_child) == "as it should be"


TestRegions = Regions.TestCase
TestRegions.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=not WANTED_STEPS,
    phases=[Phase.generate, Phase.shrink] if WANTED_STEPS else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_machine_got_everywhere() -> None:
    """The control: of the steps a good part was allowed and a good part refused; in a long run of every rule."""
    if not taken:
        pytest.skip("the machine itself was not run")
    steps = sum(taken.values())
    sys.stdout.write(f"\n{steps:,} steps: {dict(sorted(taken.items()))}\n")  # pytest -s shows it
    refused = sum(count for (_, was_done), count in taken.items() if not was_done)
    assert steps / 10 < refused < steps * 9 / 10
    assert len({name for name, _ in taken}) >= 12
    if WANTED_STEPS:
        assert steps >= WANTED_STEPS
        assert {(name, done) for name in {name for name, _ in taken} for done in (True, False)} - set(taken) == {
            ("fork", False)
        }
