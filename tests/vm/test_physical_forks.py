"""Physical pages and forks: a child has none of them, can reach none, and is told so; the parent keeps all."""

import os

from children import forked, run, succeed
from pages import PAGE, needs_fork, needs_proc, seen
from stores import each_kind, filled, mark, numbers
from strongroom import DestroyedError, ForkedError, vm

pytestmark = [needs_proc, needs_fork]


def _error_of(act: object) -> str:
    try:
        act()  # type: ignore[operator]
    except (DestroyedError, ForkedError) as error:
        return type(error).__name__
    return "none"


@each_kind()
def test_a_child_has_none_of_it(backing: str) -> None:
    """Store, window and View raise ForkedError there; what the child makes itself works; the parent goes on."""
    store, window = filled(backing, 8), vm.window(4 * PAGE)
    window.map(store[2:5])
    with window.view(0, 4, "rw") as view:

        def child() -> str:
            told = [
                _error_of(act)
                for act in (
                    lambda: bytes(view),
                    lambda: view.__setitem__(0, 1),
                    lambda: window.read(0, 1),
                    lambda: window.write(0, b"x"),
                    lambda: window.map(store[0]),
                    lambda: window.protect(0, PAGE, vm.READ_ONLY),
                    lambda: window.secure(0, PAGE, vm.READ_ONLY),
                    window.unmap,
                    window.shown,
                    lambda: vm.prefetch(window.address, 0, PAGE),
                    lambda: vm.page_out(window.address, 0, PAGE),
                    store.release,
                    store.__enter__,
                )
            ]
            with filled(backing, 4) as own, vm.window(2 * PAGE) as other:
                other.map(own[1:3])
                works = numbers(other) == [1, 2] and _error_of(lambda: other.map(store[0])) == "ForkedError"
            window.release()
            return f"{sorted(set(told))} {works} {_error_of(window.unmap)} {len(store)} {store.is_released}"

        assert forked(child) == "['ForkedError'] True DestroyedError 8 False"
        assert bytes(view) == mark(2)[:4]
    assert numbers(window) == [2, 3, 4, None]
    window.map(store[4:8])
    assert numbers(window) == [4, 5, 6, 7]
    window.release()
    store.release()


@each_kind()
def test_nothing_falls_into_the_holes(backing: str) -> None:
    """In a child inaccessible pages lie where store and window were: a hundred new mappings come to lie elsewhere."""
    store, window = filled(backing, 8), vm.window(8 * PAGE)
    window.map(store[0:6:2])
    window.map(store[[7]], 5 * PAGE)

    def child() -> str:
        import mmap

        kept = [mmap.mmap(-1, (1 + number % 8) * PAGE) for number in range(100)]
        found = {page.letters for page in seen(window.address, window.size)}
        return f"{found} {len(kept)}"

    assert forked(child) == "{'---'} 100"
    window.release()
    store.release()


def test_a_child_cannot_map_a_locked_store() -> None:
    """Its descriptor is closed there, though the parent's stays open."""
    store, window = filled("locked", 2), vm.window(PAGE)

    def those() -> list[str]:
        names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return [name for name in names if os.path.islink(name) and "memfd:strongroom" in os.readlink(name)]

    before = those()
    assert len(before) >= 1
    assert forked(those) == "[]"
    assert those() == before
    window.map(store[1])
    assert numbers(window) == [1]
    window.release()
    store.release()


@each_kind()
def test_a_pointer_kept_in_a_child_is_a_fault(backing: str) -> None:
    """Not somebody else's memory, and not zeros: the child dies."""
    result = run(f"""
        import signal
        from strongroom import vm
        store, window = vm.physical(vm.PAGE_SIZE, backing={backing!r}), vm.window(vm.PAGE_SIZE)
        window.map(store)
        window.write(0, b"secret")
        pid = os.fork()
        if pid == 0:
            peek(window.address)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV
        assert peek(window.address) == ord("s")
    """)
    assert result.code == 0, result


@each_kind()
def test_children_of_a_process_whose_threads_map(backing: str) -> None:
    """Forks while another thread maps and unmaps: each child finds inaccessible pages, and none hangs."""
    succeed(
        f"""
        import threading
        from strongroom import vm
        from pages import seen
        P = vm.PAGE_SIZE
        store, window = vm.physical(8 * P, backing={backing!r}), vm.window(4 * P)
        done = False
        def work():
            number = 0
            while not done:
                number = (number + 4) % 8
                window.map(store[number:number + 4])
                window.unmap(2 * P, P)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(12):
                pid = os.fork()
                if pid == 0:
                    os._exit(0 if {{page.letters for page in seen(window.address, 4 * P)}} == {{"---"}} else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            done = True
            thread.join()
        """
    )
