"""Physical pages at the lock limit and the limit of mappings: all or nothing; what counts is what is documented."""

import pytest

from children import succeed
from needs import linux, locks
from pages import PAGE
from stores import each_kind
from strongroom import vm

pytestmark = linux

#: 16 pages of 4 KiB.
SETTING = """
from strongroom import vm
from stores import filled, numbers
P = vm.PAGE_SIZE
children.limit_locks(16 * P)
def refused(act):
    try:
        act()
    except LockLimitError as error:
        return error.call, error.requested // P, error.limit // P, error.locked_now // P
    return None
"""


def test_a_locked_store_costs_itself_and_its_windows_nothing() -> None:
    """Sixteen pages are had and shown at once; seventeen are refused, and none of them stays locked."""
    succeed(
        SETTING
        + """
assert refused(lambda: vm.physical(17 * P, backing="locked")) == ("mlock", 17, 16, 0)
assert vm.lock_limit().locked_now == 0
store, window = filled("locked", 16), vm.window(16 * P)
assert vm.lock_limit().locked_now == 16 * P
window.map(store)
assert numbers(window) == list(range(16))
assert vm.lock_limit().locked_now == 16 * P
assert refused(lambda: vm.physical(1, backing="locked")) == ("mlock", 1, 16, 16)
window.unmap()
store.release()
assert vm.lock_limit().locked_now == 0
"""
    )


@each_kind()
def test_a_store_of_no_windows_less_than_the_limit(backing: str) -> None:
    """Of both kinds a store may be as large as the limit; "auto" as well."""
    succeed(
        SETTING
        + f"""
with vm.physical(16 * P, backing={backing!r}):
    assert refused(lambda: vm.physical(P)) is not None
with vm.physical(16 * P) as store:
    assert len(store) == 16
"""
    )


@pytest.mark.parametrize("setup", ["window.map(store[0:4])", "window.map(store[[3, 0, 2, 1]])"])
def test_secret_memory_counts_in_windows_too(setup: str) -> None:
    """A store of 12 pages leaves 4 for windows; a full window can be replaced; what is refused changes nothing."""
    succeed(
        SETTING
        + f"""
try:
    store = filled("secretmem", 12)
except UnsupportedError as error:
    children.skip(f"no secret memory here: {{error}}")
window, other = vm.window(8 * P), vm.window(P)
{setup}
window.protect(P, P, vm.READ_ONLY)
before = numbers(window)
assert vm.lock_limit().locked_now == 16 * P
assert refused(lambda: other.map(store[11])) == ("mremap(secretmem)", 1, 16, 16)
for act in (lambda: window.map(store[4:9]), lambda: window.map(store[[5]], 6 * P), lambda: window.map(store[2:10])):
    told = refused(act)
    assert told is not None and told[0] == "mremap(secretmem)", told
    assert numbers(window) == before and numbers(other) == [None]
    assert [run.protection for run in window.pages()][:2] == [vm.READ_WRITE, vm.READ_ONLY]
assert vm.lock_limit().locked_now == 16 * P
window.map(store[8:12])
assert numbers(window) == [8, 9, 10, 11, None, None, None, None]
window.unmap(0, P)
other.map(store[0])
assert numbers(other) == [0]
"""
    )


def test_idle_rooms_make_way() -> None:
    """Locked memory that is kept for the next secret is given up before a window is refused."""
    succeed(
        SETTING.replace("16 * P", "64 * P")
        + """
with Secret.random(4000).open() as view:
    assert len(view) == 4000
used = vm.lock_limit().locked_now
store = vm.physical(64 * P - used + P, backing="locked")
assert vm.lock_limit().locked_now > used
"""
    )


def test_no_memory_for_the_books() -> None:
    """A store whose books are larger than all addresses is a MemoryError with the size; that of shown() has words."""
    with pytest.raises(MemoryError, match=f"{1 << 61:,} bytes of physical pages were asked for"):
        vm.physical(1 << 61)
    succeed("""
        import resource
        from strongroom import vm
        window = vm.window((1 << 22) * vm.PAGE_SIZE)
        most = int(open("/proc/self/statm").read().split()[0]) * vm.PAGE_SIZE + (1 << 24)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            told = str(window.shown())
        except MemoryError as error:
            told = str(error)
        assert told == "shown: there is no memory for the list", told
    """)


@each_kind()
@locks(80 * PAGE)
def test_no_mappings_left(backing: str) -> None:
    """vm.max_map_count reached: an error, no page where another was, and all is well when there is room again."""
    succeed(
        f"""
        from strongroom import vm
        from stores import filled, mark, numbers
        P = vm.PAGE_SIZE
        most = int(open("/proc/sys/vm/max_map_count").read())
        if most > 200_000:
            children.skip(f"vm.max_map_count is {{most}}: filling that takes too long")
        store, window = filled({backing!r}, 32), vm.window(32 * P)
        window.map(store[0:8])
        comb = vm.reserve(2 * most * P)  # and made readable: of what can be written the system may not promise so much
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for page in range(most):
            if libc.mprotect(comb.address + 2 * page * P, P, 1):
                break
        def told(page):
            try:
                return window.read(page * P, 13)
            except AccessError:
                return None
        expected = list(range(8))
        for chosen in (store[8:12], store[::2], store[::-1]):
            try:
                window.map(chosen)
                assert len(chosen) == 4, "more than a mapping was left"
                expected[:4] = chosen
            except SystemCallError as error:
                assert error.errno == errno.ENOMEM
            # One run: all of it, or nothing has changed. Many: what is not as it was is inaccessible.
            allowed = [mark(page) for page in expected], [None] * 8 if len(chosen) > 4 else []
            assert all(told(page) in [one[page] for one in allowed if one] for page in range(8))
            assert sum(size for _, size, _, _ in window.shown()) == 8 * P
        comb.release()
        window.map(store[0:8])
        assert numbers(window) == list(range(8)) + [None] * 24
        window.map(store[::-1])
        assert numbers(window) == list(range(31, -1, -1))
        """
    )
