"""Any sequence of opens, kept buffers, ends, destroys, purges, forks and threads: memory is as a small model says.

After each step the kernel's own listing is compared with the model: protection of the data pages, and the flags for
locked, not dumped and not inherited. Buffers with pages of their own and small ones that share theirs are mixed, and
each step may be another thread's. ``STRONGROOM_STEPS=50000`` makes that many steps instead of a few hundred.
"""

import ctypes
import gc
import os
import sys

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from children import forked
from observed import KEPT_OUT, address_of, mapping_at, mappings
from pagestates import Held, Kept, Opened, by
from strongroom import AccessError, LockedBuffer, PurgedError, UnsupportedError, purge

#: Around 20 ms each: forks, and searches for who keeps a buffer; on Windows, page by page, four times as long.
EXAMPLES, STEPS = (5 if sys.platform == "win32" else 14), 30
if "STRONGROOM_STEPS" in os.environ:
    EXAMPLES = -(-int(os.environ["STRONGROOM_STEPS"]) // STEPS)
#: In one example. More buffers, and few steps meet on the same one; more purges, and little happens between two.
MOST_BUFFERS, MOST_PURGES, MOST_FORKS = 3, 1, 2
HAS_FORK = hasattr(os, "fork")


def _backings() -> list[str]:
    try:
        LockedBuffer(1, backing="secretmem").destroy()
    except UnsupportedError:
        return ["locked"]
    return ["locked", "secretmem"]


BACKINGS = _backings()


class Pages(RuleBasedStateMachine):
    """What users can do, in any order."""

    buffers = Bundle("buffers")
    opens = Bundle("opens")
    keeps = Bundle("keeps")

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Held] = []
        self.purges = self.forks = 0

    @precondition(lambda self: sum(not (held.is_destroyed or held.is_purged) for held in self.all) < MOST_BUFFERS)
    @rule(
        target=buffers,
        size=st.sampled_from([1, 32, 32, 33, 1024, 4080, 4081, 9000]),
        backing=st.sampled_from(BACKINGS),
        isolated=st.sampled_from([None, None, True]),
        is_elsewhere=st.booleans(),
    )
    def make(self, size: int, backing: str, isolated: bool | None, is_elsewhere: bool) -> Held:
        """A new buffer: zeros, closed, and nobody else's."""
        buffer = by(is_elsewhere, lambda: LockedBuffer(size, backing=backing, isolated=isolated))
        with buffer.open("rw") as view:
            assert bytes(view) == bytes(size)
            held = Held(buffer, address_of(view), size)
        taken = [(other.address, other.address + len(other.content)) for other in self.all if not other.is_over()]
        assert all(end <= held.address or held.address + size <= start for start, end in taken)
        self.all.append(held)
        return held

    @rule(target=opens, held=buffers, mode=st.sampled_from(["r", "rw"]), is_elsewhere=st.booleans())
    def open(self, held: Held, mode: str, is_elsewhere: bool) -> "Opened | None":
        """Opens, or refuses with the error that the model foresees."""
        access = held.buffer.open(mode)
        error = held.refusal()
        if error is None and held.is_frozen and mode == "rw":
            error = AccessError
        if error is None and held.is_quarantined():
            error = BufferError
        if error is not None:
            with pytest.raises(error):
                by(is_elsewhere, access.__enter__)
            return None
        opened = Opened(held, mode, access, by(is_elsewhere, access.__enter__))
        held.accesses.append(opened)
        return opened

    @rule(opened=opens, value=st.integers(0, 255))
    def use(self, opened: "Opened | None", value: int) -> None:
        """An open View reads and writes; an ended one refuses."""
        if opened is None:
            return
        held = opened.held
        if opened not in held.accesses:
            with pytest.raises(AccessError):
                bytes(opened.view)
            return
        if not held.is_purged:
            assert opened.view == held.content
        if opened.mode == "rw":
            opened.view[value % len(held.content)] = value
            held.content[value % len(held.content)] = value
        else:
            with pytest.raises(TypeError):
                opened.view[0] = value

    @rule(target=keeps, opened=opens, start=st.integers(0, 8))
    def keep(self, opened: "Opened | None", start: int) -> "Kept | None":
        """A memoryview of a part is taken and kept."""
        if opened is None or opened not in opened.held.accesses:
            return None
        kept = Kept(opened, start % len(opened.held.content))
        opened.held.kept.append(kept)
        return kept

    @rule(kept=consumes(keeps))
    def give_back(self, kept: "Kept | None") -> None:
        """It shows what the buffer holds until it is released."""
        if kept is None:
            return
        if not kept.held.is_purged:
            assert bytes(kept.raw) == bytes(kept.held.content[kept.start :])
        kept.held.kept.remove(kept)
        kept.raw.release()
        if kept.held.is_over():
            self.look_at_what_is_left(kept.held)

    @rule(opened=consumes(opens), is_failing=st.booleans(), is_elsewhere=st.booleans())
    def end(self, opened: "Opened | None", is_failing: bool, is_elsewhere: bool) -> None:
        """The end of a block tells of a purge, of what was kept, or nothing; never anything on the way of an error."""
        if opened is None or opened not in opened.held.accesses:
            return
        held = opened.held
        held.accesses.remove(opened)
        has_kept = any(kept.opened is opened for kept in held.kept)
        if is_failing:
            by(is_elsewhere, lambda: opened.access.__exit__(KeyError, KeyError("mine"), None))
        elif held.is_purged or has_kept:
            with pytest.raises(PurgedError if held.is_purged else BufferError):
                by(is_elsewhere, lambda: opened.access.__exit__(None, None, None))
        else:
            by(is_elsewhere, lambda: opened.access.__exit__(None, None, None))

    @rule(held=buffers, is_elsewhere=st.booleans())
    def destroy(self, held: Held, is_elsewhere: bool) -> None:
        """Refused while open; else what was kept, and a slot given back, is zeros at once."""
        if held.is_destroyed:
            by(is_elsewhere, held.buffer.destroy)
        elif held.accesses:
            with pytest.raises(BufferError):
                by(is_elsewhere, held.buffer.destroy)
        else:
            by(is_elsewhere, held.buffer.destroy)
            held.is_destroyed = True
            held.content = bytearray(len(held.content))
            assert not any(any(kept.raw) for kept in held.kept)
            if held.is_over():
                self.look_at_what_is_left(held)

    @rule(held=buffers)
    def freeze(self, held: Held) -> None:
        """From here on for reading only; refused while somebody may write, or keeps what may be written to."""
        error = held.refusal()
        modes = [kept.mode for kept in held.kept] + [opened.mode for opened in held.accesses]
        if error is None and "rw" in modes:
            error = BufferError
        if error is None:
            held.buffer.freeze()
            held.is_frozen = True
        else:
            with pytest.raises(error):
                held.buffer.freeze()
        assert held.buffer.is_frozen is held.is_frozen

    @rule(held=buffers)
    def melt(self, held: Held) -> None:
        """For writing again."""
        error = held.refusal()
        if error is None:
            held.buffer.melt()
            held.is_frozen = False
        else:
            with pytest.raises(error):
                held.buffer.melt()

    @rule(held=buffers, value=st.integers(1, 255), is_moved=st.booleans())
    def put(self, held: Held, value: int, is_moved: bool) -> None:
        """copy_from and move_from put bytes where they are told to, and only the second wipes what it took."""
        source = bytearray([value])
        error = held.refusal() or (AccessError if held.is_frozen else BufferError if held.is_quarantined() else None)
        move = held.buffer.move_from if is_moved else held.buffer.copy_from
        place = value % len(held.content)
        if error is None:
            move(source, place)
            held.content[place] = value
        else:
            with pytest.raises(error):
                move(source, place)
        assert source == bytes([0 if is_moved and error is None else value])

    @precondition(lambda self: len(self.all) > 1 and self.purges < MOST_PURGES)
    @rule()
    def purge(self) -> None:
        """Everything there is is over."""
        purge()
        self.purges += 1
        for held in self.all:
            held.is_purged = True
            for kept in held.kept:
                assert not any(kept.raw)

    @precondition(lambda self: HAS_FORK and self.forks < MOST_FORKS)
    @rule()
    def fork(self) -> None:
        """No page of any of them is in a child, nor locked there."""
        self.forks += 1
        addresses = [held.address for held in self.all if held.allowed() != {"gone"}]

        def look() -> str:
            listing = mappings()
            found = {mapping_at(address, listing) for address in addresses}
            return " ".join({m.permissions[:3] for m in found if m is not None and "lo" not in m.flags} or {"none"})

        assert forked(look) == ("---" if addresses else "none")

    @invariant()
    def the_kernel_agrees(self) -> None:
        """Protection and flags of every buffer, as smaps lists them."""
        listing = mappings()
        for held in self.all:
            mapping = mapping_at(held.address, listing)
            allowed = held.allowed()
            if allowed == {"gone"}:
                continue
            assert mapping is not None
            assert mapping.permissions[:3] in allowed
            assert mapping.flags >= KEPT_OUT

    def look_at_what_is_left(self, held: Held) -> None:
        """Called at once: later the address may be anybody's. Own pages are gone, a slot is zeros."""
        mapping = mapping_at(held.address)
        if not held.is_shared:
            assert mapping is None or "lo" not in mapping.flags
        elif mapping is not None and mapping.flags >= KEPT_OUT and mapping.permissions.startswith("rw-"):
            assert not any(ctypes.string_at(held.address, len(held.content)))

    def teardown(self) -> None:
        """Whatever order things go in at the end, nothing faults."""
        for held in self.all:
            for kept in held.kept:
                kept.raw.release()
            for opened in held.accesses:
                opened.access.__exit__(KeyError, KeyError("end"), None)
            held.buffer.destroy()
        self.all.clear()
        gc.collect()


TestPages = Pages.TestCase
TestPages.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=True,
    phases=[Phase.generate],  # shrinking takes minutes with a listing after each step; add Phase.shrink by hand
)
