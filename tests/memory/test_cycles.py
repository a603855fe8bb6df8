"""Making and destroying buffers for a long time leaves nothing behind."""

import gc
from collections.abc import Callable, Iterator

import pytest

from observed import descriptors, mappings, no_huge_pages, own_size, status_size
from strongroom import LockedBuffer, Secret

CYCLES = 10_000
WARM_UP = 500
#: The allocator may grow by a few arenas on its own; 10,000 lost pages would be 40 MB.
GROWTH_SLACK = 2 << 20


def state() -> tuple[int, int, int]:
    """Return mappings that are locked or inaccessible, as a buffer's pages and guards are; locked bytes, descriptors.

    Others come and go with the interpreter's own arenas.
    """
    gc.collect()
    ours = [m for m in mappings() if "lo" in m.flags or m.permissions.startswith("---")]
    return len(ours), status_size("VmLck"), descriptors()


@pytest.fixture(autouse=True)
def _small_pages() -> Iterator[None]:
    """Without huge pages, of which the kernel may give one, or make one later, where a byte was asked for."""
    no_huge_pages()
    yield
    no_huge_pages(False)


def churn(make: Callable[[], object], count: int) -> None:
    """Make and drop."""
    for _ in range(count):
        make()


def test_buffers(backing: str) -> None:
    """10,000 create, write, destroy cycles: mappings, locked bytes, descriptors and size stay flat."""

    def cycle() -> None:
        buffer = LockedBuffer(32, backing=backing, isolated=True)
        with buffer.open("rw") as view:
            view[0] = 1
        buffer.destroy()

    churn(cycle, WARM_UP)
    before, size = state(), own_size()
    churn(cycle, CYCLES)
    assert state() == before
    assert own_size() - size < GROWTH_SLACK


def test_the_measure_notices_one_buffer() -> None:
    """Control: a single live buffer shows in mappings and locked bytes."""
    before = state()
    with LockedBuffer(32, backing="locked", isolated=True):
        after = state()
    assert after[0] > before[0]
    assert after[1] > before[1]


def test_secrets() -> None:
    """10,000 secrets made, opened and dropped, in small rooms and in rooms of several pages."""

    def cycle() -> None:
        secret = Secret.random(32)
        with secret.open() as view:
            assert len(view) == 32

    churn(cycle, WARM_UP)
    before, size = state(), own_size()
    churn(cycle, CYCLES)
    churn(lambda: Secret.random(9000).reveal(), 200)
    assert state() == before
    assert own_size() - size < GROWTH_SLACK


def test_refused_sizes_and_ended_views() -> None:
    """Error paths leak nothing either: refused arguments, kept memoryviews, dropped accesses."""

    def cycle() -> None:
        with pytest.raises(ValueError, match="size"):
            LockedBuffer(0, isolated=True)
        buffer = LockedBuffer(32, isolated=True)
        buffer.open("rw").__enter__()  # dropped without its end
        with buffer.open() as view:
            memoryview(view).release()

    churn(cycle, 50)
    before = state()
    churn(cycle, 500)
    assert state() == before
