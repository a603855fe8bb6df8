"""prove on machines that are set up otherwise: with swap, with piped cores, hibernating, without secret memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


@pytest.fixture
def machine_with_swap() -> Iterator[None]:
    """A swap area that is not prove's."""
    proving.swap_or_skip()
    from strongroom.prove import changes, undo

    folder = changes.Directory(f"/var/tmp/strongroom-prove-test-{os.getpid()}")
    swap = changes.SwapFile(folder.path + "/swap")
    try:
        folder.apply()
        swap.apply()
        yield
    finally:
        assert undo.undo(swap.record()) is None
        assert undo.undo(folder.record()) is None


@pytest.mark.usefixtures("machine_with_swap")
def test_without_root_own_pages_are_swapped_where_there_is_swap() -> None:
    """Unprivileged on a machine with swap: the victim pages itself out, and the page table is the witness."""
    proving.unprivileged_or_skip()
    run = proving.prove("--json", "--only", "swapped", unprivileged=True)
    assert run.code == 0, run.out + run.err
    proving.assert_nothing_leaked(run.rows["swapped"])


@pytest.fixture
def piped_cores() -> Iterator[str]:
    """A core_pattern that pipes cores to a program, as most distributions ship it."""
    if not proving.IS_ROOT or not os.access(CORE_PATTERN, os.W_OK):
        pytest.skip("needs root and a writable /proc/sys: run the tests with sudo, outside a container")
    before = CORE_PATTERN.read_text()
    piped = "|/bin/true %p"
    try:
        CORE_PATTERN.write_text(piped)
        yield piped
    finally:
        CORE_PATTERN.write_text(before)


def test_piped_cores_are_redirected_and_put_back(piped_cores: str) -> None:
    """As root a piped core_pattern is announced, changed for the trial, and the machine's own again afterwards."""
    run = proving.prove("--json", "--only", "core")
    assert run.code == 0, run.out + run.err
    proving.assert_nothing_leaked(run.rows["core"])
    assert any(piped_cores in change["details"] for change in run.content["changes"])
    assert piped_cores in run.err
    assert CORE_PATTERN.read_text().strip() == piped_cores


@pytest.mark.usefixtures("piped_cores")
def test_piped_cores_need_root() -> None:
    """Unprivileged, a piped core_pattern is a reason, not a failure; nothing at all was shown, so not 0."""
    proving.unprivileged_or_skip()
    run = proving.prove("--json", "--only", "core", unprivileged=True)
    assert run.rows["core"]["needs"] == "needs root: cores are piped to a program"
    assert run.code == 3


def test_an_interpreter_that_wipes_is_no_control() -> None:
    """Where freed memory is wiped the control cannot leak: the trial proves nothing and says so."""
    run = proving.prove("--json", "--only", "freed", environment={"PYTHONMALLOC": "debug"})
    assert run.code == 3
    assert {cell["word"] for cell in run.rows["freed"]["cells"].values()} == {"no control"}


def test_a_machine_that_hibernates_shows_exposed(tmp_path: Path) -> None:
    """Where Secret uses `locked` memory its cells follow that backing, with a footnote, and nothing is a leak."""
    (tmp_path / "sitecustomize.py").write_text(
        "import strongroom.buffers.planning as planning\nplanning.power.can_hibernate = lambda: True\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    run = proving.prove("--json", "--only", "readers", environment=environment)
    row = run.rows["reader-user"]
    if row["needs"]:
        pytest.skip(row["needs"])
    assert run.code == 0, run.out + run.err
    assert row["cells"]["secret-open"]["word"] == "exposed"
    assert row["cells"]["secret-at-rest"]["word"] == "exposed"
    assert row["cells"]["secret-at-rest"]["copies"] == 0
    shown = proving.prove("--only", "readers", environment=environment)
    assert "exposed [1]" in shown.out
    assert "[1] memory with backing `locked`" in shown.out
    assert "[2]" not in shown.out  # no footnote that nothing points to


WITHOUT_SECRETMEM = """
import errno, importlib.util, sys
spec = importlib.util.spec_from_file_location("faultinject", sys.argv.pop(1))
faultinject = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faultinject)
if not faultinject.is_supported():
    sys.exit(77)
faultinject.deny("memfd_secret", errno.ENOSYS)
from strongroom.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_kernel_without_secret_memory() -> None:
    """Where memfd_secret is missing that kind says so, the others are tried, and Secret shows what it has instead."""
    injector = Path(__file__).resolve().parents[1] / "faultinject.py"
    process = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_SECRETMEM, str(injector), "prove", "--json", "--only", "freed"],
        capture_output=True, text=True, timeout=proving.DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    if process.returncode == 77:
        pytest.skip("needs Linux on x86_64 or aarch64 to make system calls fail")
    run = proving.Run(process)
    assert run.code == 0, run.out + run.err
    cells = run.rows["freed"]["cells"]
    assert cells["secretmem"]["word"] == "not tried"
    assert "kernel" in cells["secretmem"]["needs"]
    assert cells["secret-open"]["word"] == "held"
    assert cells["secret-open"]["backing"] == "anonymous"
