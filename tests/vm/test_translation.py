"""Where the pages of processes without memory are: nowhere. The rest of translate is in tests/proof/test_story.py."""

import os
from pathlib import Path

import pytest

from pages import PAGE, needs_fork, needs_proc
from strongroom import vm


@needs_proc
@needs_fork
def test_a_zombies_pages_are_nowhere() -> None:
    """It has no memory, as vm.regions says; once it is reaped there is no such process. A living one has frames."""
    held, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(alive)
        os.read(held, 1)
        os._exit(0)
    os.close(held)
    here = id(held)
    assert vm.translate(here, pid).where == "frame"
    os.close(alive)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert vm.regions(pid) == ()
    told = vm.translate(here, pid)
    assert (told.where, told.frame, told.path, told.reason) == ("nowhere", None, None, None)
    assert told.indices == vm.translate(here).indices
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError, match=f"{pid:,}"):
        vm.translate(here, pid)


@needs_proc
def test_a_kernel_threads_pages_are_nowhere() -> None:
    """The same of what never had memory."""
    if os.geteuid() or not Path("/proc/2/comm").exists() or Path("/proc/2/comm").read_text() != "kthreadd\n":
        pytest.skip("needs root and a kernel thread of number 2: outside of a container")
    assert vm.regions(2) == ()
    assert vm.translate(PAGE, 2).where == "nowhere"
