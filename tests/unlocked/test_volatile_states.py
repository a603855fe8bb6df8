"""Two buffers that may vanish, and everything that can be done to them, in any order, against a model.

The model: contents, or none. ``STRONGROOM_STEPS=100000`` makes that many steps.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import needs
import vanishing
from strongroom import (
    AccessError,
    ContentsLostError,
    DestroyedError,
    LockedBuffer,
    PurgedError,
    VolatileBuffer,
    purge,
)

pytestmark = needs.linux

WANTED_STEPS = int(os.environ.get("STRONGROOM_STEPS", "0"))
STEPS = 60
EXAMPLES = {"droppable": WANTED_STEPS // STEPS or 60, "partial": WANTED_STEPS // STEPS // 10 or 15}
SIZE = 24

taken: Counter[tuple[str, bool]] = Counter()
numbers = st.integers(0, 1)
contents = st.binary(min_size=SIZE, max_size=SIZE)


class Real:
    """A buffer and what the model says of it."""

    def __init__(self, backing: vanishing.Kind, has_rebuild: bool) -> None:
        self.rebuilt = 0
        self.buffer = VolatileBuffer(SIZE, backing=backing, rebuild=self.fill if has_rebuild else None)
        self.page = vanishing.page_of(self.buffer)
        self.has_rebuild = has_rebuild
        self.content: bytes | None = None if has_rebuild else bytes(SIZE)
        self.is_frozen = self.is_purged = self.is_destroyed = False
        self.access: Any = None
        self.view: Any = None
        self.is_writable = False
        self.is_bad = False  # the open block's contents were dropped, or replaced, while it was open

    def fill(self, view: Any) -> None:
        assert bytes(view) == bytes(SIZE)
        self.rebuilt += 1
        view[:] = self.next

    @property
    def next(self) -> bytes:
        """What the last rebuild stored."""
        return bytes([self.rebuilt % 256]) * SIZE

    def closed(self) -> type[Exception] | None:
        """Why it cannot be used at all."""
        return DestroyedError if self.is_destroyed else PurgedError if self.is_purged else None

    def want(self, is_writing: bool = False, is_anew: bool = False) -> type[Exception] | None:
        """What a use raises; contents that it brings back are the model's afterwards."""
        if self.closed():
            return self.closed()
        if is_writing and self.is_frozen:
            return AccessError
        if self.content is None:
            if self.access is not None and self.is_writable and (self.has_rebuild or is_anew):
                return BufferError
            if not self.has_rebuild and not is_anew:
                return ContentsLostError
            self.is_bad = True
        return None


class Buffers(RuleBasedStateMachine):
    """What users can do."""

    backing: vanishing.Kind = "droppable"

    def __init__(self) -> None:
        super().__init__()
        self.all = [Real(self.backing, has_rebuild=False), Real(self.backing, has_rebuild=True)]

    def attempt(self, name: str, wanted: type[Exception] | None, do: Callable[[], Any]) -> Any:
        """Do it; the error is the one that the model says, or none."""
        taken[name, wanted is None] += 1
        if wanted is None:
            return do()
        with pytest.raises(wanted):
            do()
        return None

    def look(self, name: str, real: Real, do: Callable[[], bytes]) -> None:
        """A use that reads all of it."""
        was_lost, wanted, before = real.content is None, real.want(), real.rebuilt
        got = self.attempt(name, wanted, do)
        if wanted is None:
            if was_lost:
                assert real.rebuilt == before + 1
                real.content = real.next
            assert got == real.content

    @rule(number=numbers)
    def drop(self, number: int) -> None:
        real = self.all[number]
        if not real.closed():
            vanishing.drop_page(real.page, self.backing)
            real.content, real.is_bad = None, True

    @rule(number=numbers)
    def read_into(self, number: int) -> None:
        real, target = self.all[number], bytearray(SIZE)

        def read() -> bytes:
            real.buffer.read_into(target)
            return bytes(target)

        self.look("read", real, read)

    @rule(number=numbers)
    def copy_out(self, number: int) -> None:
        real = self.all[number]

        def copy() -> bytes:
            with LockedBuffer(SIZE) as locked:
                locked.copy_from(real.buffer)
                with locked.open() as view:
                    return bytes(view)

        self.look("copy out", real, copy)

    @rule(number=numbers)
    def ask(self, number: int) -> None:
        real = self.all[number]
        answer = self.attempt("ask", real.closed(), lambda: real.buffer.intact)
        if not real.closed():
            assert answer is (real.content is not None)

    @rule(number=numbers, content=contents)
    def store(self, number: int, content: bytes) -> None:
        real = self.all[number]
        wanted = real.want(is_writing=True, is_anew=True)
        self.attempt("store", wanted, lambda: real.buffer.copy_from(content))
        if wanted is None:
            real.content = content

    @rule(number=numbers, at=st.integers(0, SIZE - 1))
    def store_a_part(self, number: int, at: int) -> None:
        real = self.all[number]
        was_lost, wanted = real.content is None, real.want(is_writing=True)
        self.attempt("store a part", wanted, lambda: real.buffer.copy_from(b"p", at))
        if wanted is None:
            whole = bytearray(real.next if was_lost else real.content or b"")
            whole[at] = ord("p")
            real.content = bytes(whole)

    @rule(number=numbers)
    def copy_across(self, number: int) -> None:
        source, target = self.all[number], self.all[1 - number]
        was_lost, wanted = source.content is None, source.want()
        if wanted is None:
            if was_lost:
                source.content = bytes([(source.rebuilt + 1) % 256]) * SIZE
            wanted = target.want(is_writing=True, is_anew=True)
        self.attempt("copy across", wanted, lambda: target.buffer.copy_from(source.buffer))
        if wanted is None:
            target.content = source.content

    @rule(number=numbers, content=contents, is_raising=st.booleans())
    def build(self, number: int, content: bytes, is_raising: bool) -> None:
        real = self.all[number]

        def fill(view: Any) -> None:
            view[:] = content
            if is_raising:
                raise KeyError

        wanted: type[Exception] | None = real.closed() or (AccessError if real.is_frozen else None)
        if wanted is None and real.access is not None and real.is_writable:
            wanted = BufferError
        is_begun = wanted is None
        if wanted is None and is_raising:
            wanted = KeyError
        self.attempt("build", wanted, lambda: real.buffer.build(fill))
        if is_begun:
            real.content, real.is_bad = None if is_raising else content, True

    @rule(number=numbers, mode=st.sampled_from(["r", "rw"]))
    def enter(self, number: int, mode: Any) -> None:
        real = self.all[number]
        if real.access is None:
            was_lost, wanted = real.content is None, real.want(is_writing=mode == "rw")
            access = real.buffer.open(mode)
            view = self.attempt("enter", wanted, access.__enter__)
            if wanted is None:
                if was_lost:
                    real.content = real.next
                real.access, real.view, real.is_writable, real.is_bad = access, view, mode == "rw", False

    @rule(number=numbers, byte=st.integers(0, 255))
    def use_view(self, number: int, byte: int) -> None:
        """Of a block that lost nothing it shows the contents; stores into what is lost bring nothing back."""
        real = self.all[number]
        if real.access is None:
            return
        if not real.is_bad and not real.is_purged:
            assert bytes(real.view) == real.content
        if real.is_writable:
            real.view[0] = byte
            if real.content is not None:
                real.content = bytes([byte]) + real.content[1:]

    @rule(number=numbers, is_failing=st.booleans())
    def leave(self, number: int, is_failing: bool) -> None:
        real = self.all[number]
        if real.access is None:
            return
        access, real.access = real.access, None
        if is_failing:
            error = KeyError()
            access.__exit__(KeyError, error, None)
            assert bool(getattr(error, "__notes__", None)) == (real.is_bad or real.is_purged)
            return
        wanted = PurgedError if real.is_purged else ContentsLostError if real.is_bad else None
        self.attempt("leave", wanted, lambda: access.__exit__(None, None, None))

    @rule(number=numbers)
    def freeze_or_melt(self, number: int) -> None:
        real = self.all[number]
        if real.is_frozen:
            self.attempt("melt", real.closed(), real.buffer.melt)
            real.is_frozen = bool(real.closed())
        else:
            is_written = real.access is not None and real.is_writable
            wanted = real.closed() or (BufferError if is_written else None)
            self.attempt("freeze", wanted, real.buffer.freeze)
            real.is_frozen = wanted is None

    @rule(number=numbers, chance=st.integers(0, 9))
    def destroy(self, number: int, chance: int) -> None:
        real = self.all[number]
        if chance == 0:
            is_open = real.access is not None
            self.attempt("destroy", BufferError if is_open else None, real.buffer.destroy)
            real.is_destroyed |= not is_open
            self.again(number)

    @rule(chance=st.integers(0, 19))
    def purge_all(self, chance: int) -> None:
        if chance == 0:
            purge()
            for number, real in enumerate(self.all):
                if not real.is_destroyed:
                    real.is_purged, real.content = True, None
                self.again(number)

    def again(self, number: int) -> None:
        """Another one in the place of one that can do no more; of that every use is an error."""
        real = self.all[number]
        if real.closed() and real.access is None:
            for use in (lambda: real.buffer.intact, lambda: real.buffer.build(print), lambda: real.buffer == b""):
                with pytest.raises(real.closed() or KeyError):
                    use()
            real.buffer.destroy()
            self.all[number] = Real(self.backing, real.has_rebuild)

    def teardown(self) -> None:
        for real in self.all:
            if real.access is not None:
                real.access.__exit__(KeyError, KeyError(), None)
            real.buffer.destroy()


def run_machine(backing: vanishing.Kind, **changed: Any) -> None:
    """On one CPU: there a drop is one call."""
    with vanishing.one_cpu():
        run_state_machine_as_test(
            type("Buffers", (Buffers,), {"backing": backing, **changed}),
            settings=settings(
                max_examples=EXAMPLES[backing],
                stateful_step_count=STEPS,
                derandomize=not WANTED_STEPS,
                phases=[Phase.generate, Phase.shrink] if WANTED_STEPS else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_in_any_order(vanishing_backing: vanishing.Kind) -> None:
    """Each answer is the model's, and so are the contents, whatever was dropped before."""
    taken.clear()
    run_machine(vanishing_backing)
    sys.stdout.write(f"\n{sum(taken.values()):,} steps: {dict(sorted(taken.items()))}\n")  # pytest -s shows it
    refused = sum(count for (_, was_done), count in taken.items() if not was_done)
    assert refused > sum(taken.values()) / 10
    assert len({name for name, was_done in taken if was_done}) >= 10


def test_control_a_model_that_forgets_a_loss() -> None:
    """The control: where the model is not told of losses the same steps find the difference."""
    vanishing.require("droppable")

    def forget(self: Buffers, number: int) -> None:
        real = self.all[number]
        if not real.closed():
            vanishing.drop_page(real.page, self.backing)

    with pytest.raises((AssertionError, ContentsLostError, BufferError, ExceptionGroup)):
        run_machine("droppable", drop=rule(number=numbers)(forget))
