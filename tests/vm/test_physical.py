"""Physical pages and windows: what is shown where, what may be done with it, and what the system says of it."""

import copy
import ctypes
import functools
import gc
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

import needs
import observed
from hostile import HOSTILE, MARKER
from observed import mapping_at
from pages import PAGE, Index, letters, needs_proc
from stores import booked, each_kind, filled, mark, numbers
from strongroom import AccessError, DestroyedError, SecuredError, UnsupportedError, vm

pytestmark = needs_proc


@each_kind()
@needs.locks(80 * PAGE)
def test_a_store_of_many_windows(backing: str) -> None:
    """Eight windows' worth of pages through one window, each with what it held; books and system agree."""
    with filled(backing, 64) as store, vm.window(8 * PAGE) as window:
        assert (64, 64 * PAGE, PAGE, backing) == (len(store), store.size, store.page_size, store.backing)
        assert [None] * 8 == numbers(window) == booked(window)
        for first in range(0, 64, 8):
            assert window.map(store[first : first + 8]) == (0, 8 * PAGE)
            assert list(range(first, first + 8)) == numbers(window) == booked(window)
        assert window.map(store[[7, 3, 4]], 2 * PAGE) == (2 * PAGE, 3 * PAGE)
        assert [56, 57, 7, 3, 4, 61, 62, 63] == numbers(window) == booked(window)
        assert window.unmap(3 * PAGE, 1) == (3 * PAGE, PAGE)
        assert [56, 57, 7, None, 4, 61, 62, 63] == numbers(window) == booked(window)
        assert [(offset // PAGE, size // PAGE, page) for offset, size, of, page in window.shown() if of is store] == [
            (0, 2, 56),
            (2, 1, 7),
            (4, 1, 4),
            (5, 3, 61),
        ]
        window.unmap()
        assert numbers(window) == [None] * 8


@each_kind()
def test_what_the_system_says(backing: str) -> None:
    """Store and window are shared mappings, left out of dumps and children; the store is locked."""
    with filled(backing, 8) as store, vm.window(4 * PAGE) as window:
        window.map(store[2:5])
        found = mapping_at(window.address)
        assert found is not None
        assert found.permissions == "rw-s"
        assert {"dd", "dc"} <= found.flags
        whole = [m for m in observed.mappings() if m.end - m.start == 8 * PAGE and m.path == found.path]
        assert len(whole) == 1
        assert {"lo", "dd", "dc"} <= whole[0].flags
        if backing == "secretmem":
            assert found.path.startswith("/secretmem")
            assert "lo" in found.flags
        if backing == "locked":  # all of it is there from the start; secret memory comes with the first touch
            assert vm.pages(whole[0].start, 8 * PAGE)[0].resident_size == 8 * PAGE
        assert observed.mapping_at(window.address + 3 * PAGE).permissions == "---p"  # type: ignore[union-attr]


@each_kind()
def test_what_vm_says_of_a_window(backing: str) -> None:
    """query, pages and regions tell what is shown from what is not, and whose it is."""
    with filled(backing, 4) as store, vm.window(4 * PAGE) as window:
        window.map(store[1:3], PAGE)
        window.protect(2 * PAGE, PAGE, vm.READ_ONLY)
        runs = [(run.state, run.protection, run.type) for run in vm.pages(window.address, window.size)]
        kinds = [
            ("reserved", 0, "private"),
            ("committed", vm.READ_WRITE, "mapped"),
            ("committed", vm.READ_ONLY, "mapped"),
            ("reserved", 0, "private"),
        ]
        assert kinds == runs
        for page, kind in enumerate(kinds):
            info = vm.query(window.address + page * PAGE)
            assert (kind, window.address) == ((info.state, info.protection, info.type), info.allocation)
        assert [(run.offset, run.protection) for run in window.pages()] == [
            (0, 0),
            (PAGE, vm.READ_WRITE),
            (2 * PAGE, vm.READ_ONLY),
            (3 * PAGE, 0),
        ]
        assert vm.probe(window.address + PAGE, PAGE, vm.READ_WRITE)
        assert not vm.probe(window.address, 2 * PAGE, vm.READ_ONLY)


@each_kind()
def test_one_place_at_a_time(backing: str) -> None:
    """A page that is shown is shown nowhere else; after unmap, or in its own place, it can be."""
    with filled(backing, 8) as store, vm.window(4 * PAGE) as first, vm.window(4 * PAGE) as second:
        first.map(store[0:4])
        second.map(store[4:6])
        for window, chosen, offset in (
            (second, store[2:4], 0),
            (second, store[[6, 0]], 0),
            (second, store[4], 2 * PAGE),
            (second, store[[7, 7]], 0),
        ):
            with pytest.raises(AccessError, match="is shown already"):
                window.map(chosen, offset)
            assert [numbers(first), numbers(second)] == [[0, 1, 2, 3], [4, 5, None, None]]
        first.unmap(PAGE, 2 * PAGE)
        second.map(store[1:3], PAGE)
        with pytest.raises(AccessError, match="page 3 is shown already"):
            first.map(store[[3, 0]])
        first.map(store[[3, 6, 7, 0]])  # each changes its place in the range that is replaced
        assert [numbers(first), numbers(second)] == [[3, 6, 7, 0], [4, 1, 2, None]]


@each_kind()
def test_one_window_shows_pages_of_several_stores(backing: str) -> None:
    """Each with its own numbers; either store can be given back once nothing of it is shown."""
    with filled(backing, 4) as first, filled(backing, 4) as second, vm.window(4 * PAGE) as window:
        window.map(first[0:2])
        window.map(second[0:2], 2 * PAGE)
        assert numbers(window) == [0, 1, 0, 1]
        assert [first, second] == [store for _, _, store, _ in window.shown()]
        window.unmap(2 * PAGE)
        second.release()
        with pytest.raises(BufferError, match="windows show 2 of these pages"):
            first.release()
        assert numbers(window) == [0, 1, None, None]
        window.unmap()


@each_kind()
def test_what_is_written_stays_with_its_page(backing: str) -> None:
    """Through write, fill and a View; unmap and a release of the window take nothing away."""
    with filled(backing, 3) as store:
        with vm.window(3 * PAGE) as window:
            window.map(store)
            window.write(10, b"written")
            window.fill(PAGE, PAGE, 7)
            with window.view(2 * PAGE, PAGE, "rw") as view:
                view[:4] = b"view"
        with vm.window(3 * PAGE) as window:
            window.map(store[[2, 0, 1]])
            assert window.read(0, 4) == b"view"
            assert mark(0)[:10] + b"written" == window.read(PAGE, 17)
            assert bytes([7]) * PAGE == window.read(2 * PAGE)


@each_kind()
def test_holds_are_asked(backing: str) -> None:
    """What a View or a secure handle relies on is neither replaced nor hidden nor released; the rest is."""
    with filled(backing, 8) as store, vm.window(4 * PAGE) as window:
        window.map(store[0:4])
        with window.secure(PAGE, PAGE, vm.READ_ONLY) as handle, window.view(2 * PAGE, 4) as view:
            for offset, error in ((PAGE, SecuredError), (2 * PAGE, BufferError)):
                with pytest.raises(error):
                    window.map(store[6], offset)
                with pytest.raises(error, match=r"^unmap: "):
                    window.unmap(offset, 1)
            with pytest.raises((SecuredError, BufferError)):
                window.release()
            window.map(store[[5]], 3 * PAGE)
            assert numbers(window) == [0, 1, 2, 5]
            assert mark(2)[:4] == bytes(view)
            handle.unsecure()
        window.map(store[6:8], PAGE)
        assert numbers(window) == [0, 6, 7, 5]


@each_kind()
def test_protections(backing: str) -> None:
    """READ_WRITE, READ_ONLY and NO_ACCESS, as on Windows; a new page is READ_WRITE whatever was there."""
    with filled(backing, 4) as store, vm.window(2 * PAGE) as window:
        window.map(store[0:2])
        assert window.protect(0, PAGE, vm.READ_ONLY) == vm.READ_WRITE
        assert letters(window) == ["r--", "rw-"]
        with pytest.raises(AccessError, match="READ_ONLY"):
            window.write(0, b"x")
        window.protect(PAGE, PAGE, vm.NO_ACCESS)
        assert letters(window) == ["r--", "---"]
        for protection in (vm.EXECUTE, vm.EXECUTE_READ_WRITE, vm.WRITE_COPY, vm.READ_WRITE | vm.GUARD):
            with pytest.raises(AccessError, match="physical pages are READ_WRITE, READ_ONLY or NO_ACCESS"):
                window.protect(0, PAGE, protection)
        window.map(store[2:4])
        assert letters(window) == ["rw-", "rw-"]
        window.unmap(PAGE)
        with pytest.raises(AccessError, match=r"shows nothing: map\(\) pages there first"):
            window.protect(PAGE, PAGE, vm.READ_ONLY)


@each_kind()
def test_what_a_window_cannot(backing: str) -> None:
    """Its pages are neither committed nor decommitted nor locked: each says what to do instead, and changes nothing."""
    with filled(backing, 2) as store, vm.window(2 * PAGE) as window:
        window.map(store[0])
        for verb in (window.commit, window.decommit):
            with pytest.raises(UnsupportedError, match=r"come with map\(\), and go with unmap"):
                verb(0, PAGE)
        for unneeded in (window.lock, window.page_out, window.prefetch, window.reset, window.undo_reset):
            with pytest.raises(AccessError, match="never paged out anyway"):
                unneeded(0, PAGE)
        with pytest.raises(AccessError, match="never paged out anyway"):
            vm.prefetch(window.address, 0, PAGE)  # as page_out of an address
        with pytest.raises(AccessError, match="shows nothing"):
            window.read(PAGE, 1)
        assert numbers(window) == [0, None]


@each_kind()
def test_wrong_arguments(backing: str) -> None:
    """Ranges, offsets and pages that make no sense are errors before anything is done."""
    with filled(backing, 4) as store, vm.window(2 * PAGE) as window:
        choose: Callable[[Any], object] = store.__getitem__
        wrong: list[tuple[type[Exception], Callable[[], object]]] = [
            (ValueError, lambda: window.map(store[0], 1)),
            (ValueError, lambda: window.map(store[0], 2 * PAGE)),
            (ValueError, lambda: window.map(store)),
            (ValueError, lambda: window.map(store[0:0])),
            (ValueError, lambda: window.unmap(3 * PAGE)),
            (TypeError, lambda: window.map(None)),  # type: ignore[arg-type]
            (TypeError, lambda: window.map([0])),  # type: ignore[arg-type]
            (TypeError, lambda: window.map(store[0], 1.0)),  # type: ignore[arg-type]
            *((TypeError, functools.partial(choose, key)) for key in ("0", b"0", 1.5, True, [0, None], None)),
            (IndexError, lambda: store[4]),
            (IndexError, lambda: store[[0, 4]]),
        ]
        with pytest.raises(ValueError, match="from 0 to 3, not -1"):
            choose(-1)
        for error, act in wrong:
            with pytest.raises(error):
                act()
        assert numbers(window) == [None, None]
        assert [1, 3] == list(store[1:9:2]) == list(store[[Index(1), Index(3)]])
        assert list(store[::-1]) == [3, 2, 1, 0]
        assert len(store[2:]) == 2


@each_kind()
def test_hostile_arguments(backing: str) -> None:
    """Whatever is passed: an error that names the argument and never shows it, and nothing happens."""
    with filled(backing, 2) as store, vm.window(2 * PAGE) as window:
        window.map(store)
        calls: dict[str, Callable[[Any], object]] = {
            "offset": lambda value: window.map(store[0], value),
            "pages": window.map,
            "size": lambda value: window.unmap(0, value),
            "backing": lambda value: vm.physical(1, backing=value),
        }
        for argument, call in calls.items():
            for kind, value in HOSTILE.items():
                if (argument, kind) in (("offset", "0x1000"), ("size", "0x1000"), ("size", "None")):
                    continue  # that is right
                with pytest.raises((TypeError, ValueError)) as raised:
                    call(value)
                assert argument in str(raised.value), (argument, kind)
                assert MARKER not in str(raised.value), (argument, kind)
        assert numbers(window) == [0, 1]


def test_wrong_makings() -> None:
    """Sizes of nothing, unknown backings, and what is only made by its function."""
    for size, error in ((0, ValueError), (-1, ValueError), (1 << 63, ValueError), ("1", TypeError), (None, TypeError)):
        with pytest.raises(error):
            vm.physical(size)  # type: ignore[arg-type]
        with pytest.raises(error):
            vm.window(size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backing must be one of auto, secretmem, locked, awe, not str"):
        vm.physical(1, backing="ram")
    with pytest.raises(ValueError, match="backing must be one of"):
        vm.physical(1, backing=["locked"])  # type: ignore[arg-type]
    for kind in (vm.PhysicalPages, vm.Window):
        with pytest.raises(TypeError, match="come"):
            kind(PAGE)
    with pytest.raises(TypeError):
        vm.PageList()
    unmade = vm.PhysicalPages.__new__(vm.PhysicalPages)
    for act in (lambda: len(unmade), lambda: unmade[0], unmade.release, lambda: unmade.backing):
        with pytest.raises(DestroyedError):
            act()
    fake = vm.Window.__new__(vm.Window, PAGE)  # type: ignore[call-arg]  # a region, but no window
    for wrong in (fake.unmap, fake.shown):
        with pytest.raises((AccessError, DestroyedError)):
            wrong()
    with pytest.raises(UnsupportedError, match="AllocateUserPhysicalPages"):
        vm.physical(1, backing="awe")


@each_kind()
def test_ends(backing: str) -> None:
    """Released stores and windows say so; twice is fine; what nobody has goes with the last page that shows it."""
    gc.collect()  # or what earlier tests had locked may go meanwhile
    before = observed.status_size("VmLck")
    store, window = filled(backing, 2), vm.window(2 * PAGE)
    for thing in (store, store[0:1]):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copy.copy(thing)
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(thing)
    store.release()
    store.release()
    assert store.is_released
    assert "released" in repr(store)
    for act in (lambda: window.map(store[0]), store.__enter__):
        with pytest.raises(DestroyedError, match="released"):
            act()
    assert numbers(window) == [None, None]
    window.map(filled(backing, 2))
    gc.collect()
    assert numbers(window) == [0, 1]
    assert window.shown() == [(0, 2 * PAGE, None, 0)]
    assert observed.status_size("VmLck") > before
    window.unmap()
    assert observed.status_size("VmLck") == before
    window.map(filled(backing, 2)[[1]])
    window.release()
    assert observed.status_size("VmLck") == before
    for gone in (lambda: window.map(store[0]), window.unmap, window.shown, lambda: window.read(0, 1)):
        with pytest.raises(DestroyedError):
            gone()


@pytest.mark.skipif(sys.platform == "win32", reason="AWE pages are overwritten by Windows: there is none under Wine")
def test_release_wipes_a_locked_store() -> None:
    """Whoever has a duplicate of its descriptor reads zeros after release, and read the contents before."""

    def stores() -> set[int]:
        names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        found = {name for name in names if os.path.islink(name) and "memfd:strongroom" in os.readlink(name)}
        return {int(os.path.basename(name)) for name in found}

    others = stores()
    store = filled("locked", 2)
    (number,) = stores() - others
    twin = os.dup(number)
    try:
        assert os.pread(twin, len(mark(1)), PAGE) == mark(1)
        store.release()
        assert os.pread(twin, 2 * PAGE, 0) == bytes(2 * PAGE)
    finally:
        os.close(twin)


@each_kind()
def test_raw_addresses_are_the_pages(backing: str) -> None:
    """A window is memory as any: what a pointer writes there is in the page."""
    with filled(backing, 2) as store, vm.window(2 * PAGE) as window:
        window.map(store[1])
        ctypes.memmove(window.address, b"pointer", 7)
        window.unmap()
        window.map(store[1], PAGE)
        assert window.read(PAGE, 7) == b"pointer"
