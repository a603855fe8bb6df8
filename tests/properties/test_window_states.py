"""Any sequence of what can be done with stores and windows: after each step the kernel shows what a model says.

The model has a dict for each window, of which page of which store is where, and what each page holds. What is seen is
read through the kernel, page by page; permissions come from smaps. For more steps, with new sequences each time:

    STRONGROOM_STEPS=5000 python -m pytest -s tests/properties/test_window_states.py
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

import needs
import observed
import pages
import stores
from children import forked
from pages import PAGE, seen
from strongroom import AccessError, SystemCallError, vm

if not pages.IS_LINUX:
    pytest.skip("what the system says of pages is read from /proc: needs Linux", allow_module_level=True)

WANTED_STEPS = int(os.environ.get("STRONGROOM_STEPS", "0"))
STEPS = 30  # in one example
EXAMPLES = WANTED_STEPS // STEPS + 1 if WANTED_STEPS else 4
STORE_PAGES, WINDOW_PAGES, WORD = 6, 4, 8
KINDS = [kind for kind in stores.KINDS if not stores._why_not(kind)]
LOCKED_SIZE = 32 * PAGE  # two stores, and their windows of secret memory
if not needs.can_lock(LOCKED_SIZE):
    pytest.skip(needs.lock_reason(LOCKED_SIZE), allow_module_level=True)
if not KINDS:
    pytest.skip("no physical pages here: memfd_secret, or a lock limit of a few pages", allow_module_level=True)

Where = tuple[int, int]  # the number of a store, and a page of it


class Windows(RuleBasedStateMachine):
    """Two stores, two windows at a time, and everything that can be done with them."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.stores: dict[int, vm.PhysicalPages] = {}
        self.held: dict[Where, bytes] = {}
        self.windows: list[vm.Window] = [vm.window(WINDOW_PAGES * PAGE) for _ in range(2)]
        self.shown: list[dict[int, Where]] = [{}, {}]
        self.protected: list[dict[int, int]] = [{}, {}]
        self.views: list[tuple[int, int, Any]] = []
        self.latest = 0

    @precondition(lambda self: len(self.stores) < 2)
    @rule(kind=st.sampled_from(KINDS))
    def make(self, kind: str) -> None:
        """A new store, of zeros."""
        self.latest += 1
        self.stores[self.latest] = vm.physical(STORE_PAGES * PAGE - 1, backing=kind)
        self.held |= {(self.latest, page): bytes(WORD) for page in range(STORE_PAGES)}

    def _pick(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.stores)))

    def _is_viewed(self, window: int, places: range) -> bool:
        return any(of == window and page in places for of, page, _ in self.views)

    @precondition(lambda self: self.stores)
    @rule(data=st.data(), window=st.integers(0, 1), at=st.integers(0, WINDOW_PAGES - 1))
    def map(self, data: st.DataObject, window: int, at: int) -> None:
        """Pages in any order, from anywhere, also some that are shown."""
        store = self._pick(data)
        chosen = data.draw(st.lists(st.integers(0, STORE_PAGES - 1), min_size=1, max_size=WINDOW_PAGES - at))
        places = range(at, at + len(chosen))
        others = [
            where
            for of, shown in enumerate(self.shown)
            for place, where in shown.items()
            if of != window or place not in places
        ]
        is_free = len(set(chosen)) == len(chosen) and not any((store, page) in others for page in chosen)
        act = self.windows[window].map
        if self._is_viewed(window, places):
            with pytest.raises(BufferError):
                act(self.stores[store][chosen], at * PAGE)
        elif not is_free:
            with pytest.raises(AccessError, match="is shown already"):
                act(self.stores[store][chosen], at * PAGE)
        else:
            assert act(self.stores[store][chosen], at * PAGE) == (at * PAGE, len(chosen) * PAGE)
            for place, page in zip(places, chosen, strict=True):
                self.shown[window][place] = (store, page)
                self.protected[window].pop(place, None)

    @rule(window=st.integers(0, 1), at=st.integers(0, WINDOW_PAGES - 1), count=st.integers(1, WINDOW_PAGES))
    def unmap(self, window: int, at: int, count: int) -> None:
        """Some of it, shown or not."""
        places = range(at, min(at + count, WINDOW_PAGES))
        if self._is_viewed(window, places):
            with pytest.raises(BufferError):
                self.windows[window].unmap(at * PAGE, len(places) * PAGE)
            return
        self.windows[window].unmap(at * PAGE, len(places) * PAGE)
        for place in places:
            self.shown[window].pop(place, None)
            self.protected[window].pop(place, None)

    @rule(window=st.integers(0, 1), at=st.integers(0, WINDOW_PAGES - 1), word=st.binary(min_size=WORD, max_size=WORD))
    def write(self, window: int, at: int, word: bytes) -> None:
        """A word into a page, or a refusal."""
        where = self.shown[window].get(at)
        if where is None or self.protected[window].get(at, vm.READ_WRITE) != vm.READ_WRITE:
            with pytest.raises(AccessError):
                self.windows[window].write(at * PAGE, word)
        else:
            self.windows[window].write(at * PAGE, word)
            self.held[where] = word

    @rule(window=st.integers(0, 1), at=st.integers(0, WINDOW_PAGES - 1),
          protection=st.sampled_from([vm.READ_ONLY, vm.READ_WRITE, vm.NO_ACCESS]))  # fmt: skip
    def protect(self, window: int, at: int, protection: int) -> None:
        """One page, if it is shown, and a View does not need more."""
        act = self.windows[window].protect
        if at not in self.shown[window]:
            with pytest.raises(AccessError, match="shows nothing"):
                act(at * PAGE, PAGE, protection)
        elif self._is_viewed(window, range(at, at + 1)) and protection == vm.NO_ACCESS:
            with pytest.raises(BufferError):
                act(at * PAGE, PAGE, protection)
        else:
            act(at * PAGE, PAGE, protection)
            self.protected[window][at] = protection

    @precondition(lambda self: len(self.views) < 2 and any(self.shown))
    @rule(data=st.data())
    def view(self, data: st.DataObject) -> None:
        """Look at a page that is shown, for as long as it pleases."""
        window, at = data.draw(st.sampled_from([(w, at) for w in (0, 1) for at in sorted(self.shown[w])]))
        access = self.windows[window].view(at * PAGE, WORD)
        if self.protected[window].get(at) == vm.NO_ACCESS:
            with pytest.raises(AccessError):
                access.__enter__()
            return
        assert bytes(access.__enter__()) == self.held[self.shown[window][at]]
        self.views.append((window, at, access))

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """The end of such a look."""
        self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))[2].__exit__(None, None, None)

    @precondition(lambda self: self.stores)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Give a store back, unless pages of it are shown."""
        store = self._pick(data)
        if any(where[0] == store for shown in self.shown for where in shown.values()):
            with pytest.raises(BufferError, match="windows show"):
                self.stores[store].release()
        else:
            self.stores.pop(store).release()

    @precondition(lambda self: not self.views)
    @rule(window=st.integers(0, 1))
    def renew(self, window: int) -> None:
        """End a window, and make another: its pages are free, and keep what they hold."""
        self.windows[window].release()
        self.windows[window] = vm.window(WINDOW_PAGES * PAGE)
        self.shown[window], self.protected[window] = {}, {}

    @rule()
    def fork(self) -> None:
        """A child has inaccessible pages there, and nothing else."""
        letters = forked(lambda: {page.letters for w in self.windows for page in seen(w.address, w.size)})
        assert letters == "{'---'}"

    @invariant()
    def is_as_modelled(self) -> None:
        """Permissions by smaps, contents by the kernel's own copying, what is where by the books."""
        letters = {vm.READ_WRITE: "rw-", vm.READ_ONLY: "r--", vm.NO_ACCESS: "---"}
        listing = observed.mappings()
        for window, shown, protected in zip(self.windows, self.shown, self.protected, strict=True):
            modes = [protected.get(place, vm.READ_WRITE) if place in shown else 0 for place in range(WINDOW_PAGES)]
            found = [page.letters for page in seen(window.address, window.size, listing)]
            assert found == [letters.get(mode, "---") for mode in modes]
            assert stores.booked(window) == [
                shown[place][1] if place in shown else None for place in range(WINDOW_PAGES)
            ]
            for place, where in shown.items():
                if modes[place] != vm.NO_ACCESS:
                    assert window.read(place * PAGE, WORD) == self.held[where]

    def teardown(self) -> None:
        """Everything goes."""
        for _, _, access in self.views:
            access.__exit__(None, None, None)
        for window in self.windows:
            window.release()
        for store in self.stores.values():
            store.release()


TestWindows = Windows.TestCase
TestWindows.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=not WANTED_STEPS,
    phases=[Phase.generate, Phase.shrink] if WANTED_STEPS else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestWindows.__doc__ = "After each step of any sequence the kernel shows what the model says."


def test_the_model_can_fail() -> None:
    """A page that other code unmaps is seen: the comparison is one."""
    machine = Windows()
    try:
        machine.make(KINDS[0])
        machine.windows[0].map(machine.stores[1][0:2])
        machine.shown[0] = {0: (1, 0), 1: (1, 1)}
        machine.is_as_modelled()
        assert pages.others_protect(machine.windows[0].address, PAGE, pages.PROT_NONE) == 0
        with pytest.raises((AssertionError, AccessError, SystemCallError)):
            machine.is_as_modelled()
    finally:
        machine.teardown()
