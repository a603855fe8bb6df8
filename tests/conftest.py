"""What all tests share: the backings this system has, and where a test can run at all."""

import contextlib
import gc
import py_compile
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from strongroom import LockedBuffer, UnsupportedError, VolatileBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import vanishing
    import win32world
    from strongroom.prove.disk import Disk

#: About Unix processes from their first line on; the rest of tests/vm skips by name what it cannot observe elsewhere.
_UNIX_ONLY = [
    "vm/test_lock_limits.py",
    "vm/test_permanent.py",
    "vm/test_races.py",
    "vm/test_refusals.py",
    "unlocked/test_file_devices.py",
    "unlocked/test_file_raw.py",
]
collect_ignore = [] if sys.platform.startswith("linux") else _UNIX_ONLY


# How long an example takes, and how long it takes to draw ten of them, depends on who else wants the processor. And no
# examples of earlier runs: a run says the same wherever it is, also where nothing can be written, of which Hypothesis
# would warn; and a warning is an error here.
hypothesis.settings.register_profile(
    "strongroom", deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("strongroom")


if sys.platform == "win32":
    import _winapi

    _create_process = _winapi.CreateProcess

    def _create_process_patiently(*arguments: Any) -> Any:
        """Under Wine one start of a process in thousands is refused with ERROR_INTERNAL_ERROR; ask once more."""
        try:
            return _create_process(*arguments)
        except OSError as error:
            if error.winerror != 1359:
                raise
            return _create_process(*arguments)

    _winapi.CreateProcess = _create_process_patiently


def pytest_configure() -> None:
    """Compile what tests' children import, once for all of them: they write nothing themselves.

    And undo what started us: a shell's background jobs, and nohup's, ignore signals, and children inherit that.
    """
    for name in ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    for name in ("inside", "observed", "observed_linux", "observed_windows", "faultinject"):
        with contextlib.suppress(OSError):  # a folder that cannot be written to
            py_compile.compile(str(Path(__file__).with_name(f"{name}.py")))


def pytest_collection_finish() -> None:
    """Leave what pytest and the test modules are made of out of every later ``gc.collect()``: that takes long."""
    gc.collect()
    gc.freeze()


def _has_secretmem() -> bool:
    try:
        LockedBuffer(1, backing="secretmem").destroy()
    except UnsupportedError:
        return False
    return True


@pytest.fixture(scope="session")
def has_secretmem() -> bool:
    """Whether this kernel gives secret memory."""
    return _has_secretmem()


@pytest.fixture(params=["locked", "secretmem"])
def backing(request: pytest.FixtureRequest, has_secretmem: bool) -> str:
    """Each backing in turn."""
    name: str = request.param
    if name == "secretmem" and not has_secretmem:
        pytest.skip(
            "no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1, outside a sandbox "
            "that forbids memfd_secret(2)"
        )
    return name


@pytest.fixture(params=["droppable", "partial"])
def vanishing_backing(request: pytest.FixtureRequest) -> "vanishing.Kind":
    """Each kind of memory that may vanish, which this system has."""
    import vanishing

    name: vanishing.Kind = request.param
    vanishing.require(name)
    return name


@pytest.fixture
def volatile(vanishing_backing: "vanishing.Kind") -> VolatileBuffer:
    """A buffer that may vanish, with something in it."""
    import vanishing

    made = VolatileBuffer(vanishing.MARK_SIZE, backing=vanishing_backing)
    made.copy_from(vanishing.MARK)
    return made


@pytest.fixture
def filler() -> "vanishing.Filler":
    """What fills a buffer: another one for each test."""
    import vanishing

    return vanishing.Filler()


@pytest.fixture
def filled(vanishing_backing: "vanishing.Kind", filler: "vanishing.Filler") -> VolatileBuffer:
    """A new buffer that may vanish, which that fills."""
    import vanishing

    return VolatileBuffer(vanishing.FILLER_SIZE, backing=vanishing_backing, rebuild=filler)


@pytest.fixture
def work_folder() -> "Iterator[str]":
    """A work folder of prove's, for a disk of its own."""
    import proving

    with proving.work_folder() as made:
        yield made


@pytest.fixture
def own_disk(work_folder: str) -> "Iterator[Disk]":
    """A disk of prove's own, mounted."""
    import proving

    with proving.mounted_disk(work_folder) as made:
        yield made


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to start it without a window and without a trace."""
    import shutil

    import needs

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return [
        "env",
        f"TMPDIR={needs.short_directory()}",  # where it has its socket
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is the same everywhere, for ``strongroom map``."""
    import memoryrows
    from strongroom import vm

    monkeypatch.setattr(vm, "regions", memoryrows.listing(memoryrows.service()))


@pytest.fixture
def world() -> "Iterator[win32world.World]":
    """Something of everything that ``vm.win32`` makes."""
    import win32world

    made = win32world.World()
    yield made
    made.end()


_TRIES = 4


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Do a test of memory that may vanish again if it failed while somebody had the whole disk written back.

    ``sync``, or a disk that many write to, drops every partial page there is: a witness beside the test tells. What
    fails while the witness stays has failed. Outside of tests/unlocked such tests import ``vanishing``.
    """
    if item.path.parent.name != "unlocked" and not hasattr(getattr(item, "module", None), "vanishing"):
        return None
    from _pytest.runner import runtestprotocol

    import vanishing

    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(_TRIES):
        with vanishing.Witness() as witness:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if witness.is_there() or not any(report.failed for report in reports):
                break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


# A background job of a shell ignores SIGINT and so would every child of the tests: Ctrl-C could not be tested there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
