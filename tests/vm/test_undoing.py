"""Blocks that undo: they are no values, a terabyte is no work, and a signal at any moment leaves nothing behind."""

import copy
import pickle

import pytest

from children import succeed
from pages import PAGE, needs_proc
from strongroom import AccessError, DestroyedError, vm

HUGE = 1 << 40


@pytest.mark.parametrize("what", ["release", "decommit"])
def test_a_terabyte_that_is_gone_is_no_work(what: str) -> None:
    """Page by page this would take days."""
    region = vm.allocate(HUGE, vm.NO_ACCESS)
    with pytest.raises((AccessError, DestroyedError)), region.protected(0, None, vm.READ_ONLY):
        getattr(region, what)()
    region.release()


@pytest.mark.parametrize("make", [lambda region: region.locked(), lambda region: region.protected(0, None, 2)])
def test_blocks_are_no_values(make: object) -> None:
    """They cannot be copied, pickled or entered twice at once; leaving one that was not entered does nothing."""
    with vm.allocate(PAGE) as region:
        block = make(region)  # type: ignore[operator]
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                attempt(block)
        block.__exit__(None, None, None)
        for _ in range(2):
            with block, pytest.raises(RuntimeError, match="entered already"):
                block.__enter__()
        assert [tuple(run) for run in region.pages()] == [(0, PAGE, vm.READ_WRITE, 0)]


INTERRUPTED = """
    import signal
    from strongroom import vm
    class Stop(Exception):
        pass
    def stop(number, frame):
        raise Stop
    signal.signal(signal.SIGALRM, stop)
    region = vm.allocate(4096)
    left = 0
    for turn in range(400):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + turn % 40 * 0.00001)
            while True:
                with {block}:
                    pass
        except Stop:
            pass
        runs = [tuple(run) for run in region.pages()]
        if [(0, 4096, vm.READ_WRITE, 0)] != runs:
            left += 1
            region.release()
            region = vm.allocate(4096)
    print(left)
"""


@needs_proc
@pytest.mark.parametrize("block", ["region.protected(0, None, vm.NO_ACCESS)", "region.locked()", "region.view()"])
def test_a_signal_leaves_nothing_behind(block: str) -> None:
    """A handler that raises at any of 400 moments: the page is unlocked, and protected as before, each time."""
    assert succeed(INTERRUPTED.replace("{block}", block)) == "0\n"


@needs_proc
def test_control_a_block_in_python_is_caught_in_the_middle() -> None:
    """The same 400 moments find a context manager that is written in Python half way."""
    python = """
    import contextlib
    @contextlib.contextmanager
    def in_python():
        old = region.protect(0, None, vm.NO_ACCESS)
        try:
            yield
        finally:
            region.protect(0, None, old)
"""
    code = INTERRUPTED.replace("    left = 0\n", python + "    left = 0\n").replace("{block}", "in_python()")
    assert int(succeed(code)) > 0
