"""What the tests of prove share: running it, as root and not; a disk of its own; named skips. Needs a Unix."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from strongroom.prove.disk import Disk

HERE = Path(__file__).resolve().with_name("proof")
NOBODY = 65534
#: Of a prove, which takes seconds: longer than any machine needs for it.
DEADLINE_SECONDS = 300
#: The kinds that are in the victim of the trials of memory that is kept.
STRONGROOM = ("secret-open", "secret-at-rest", "locked", "secretmem")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: run the tests with sudo")


def load(name: str) -> ModuleType:
    """Import a script of tests/proof by its path."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


killing = load("kill_at_random")


#: Bytes of a tracer.
TRACER_SIZE = 48


def mark(seed: int) -> bytes:
    """A tracer."""
    return random.Random(seed).randbytes(TRACER_SIZE)


class Run:
    """One finished prove."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.cpu_seconds = 0.0

    @property
    def content(self) -> dict[str, Any]:
        """The object of --json."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed

    @property
    def rows(self) -> dict[str, Any]:
        """The rows of --json by id."""
        return {row["id"]: row for row in self.content["trials"]}


_PR_CAPBSET_DROP, _CAP_IPC_LOCK = 24, 14  # prctl(2), capabilities(7)


def _may_lock(size: int) -> None:
    """Let this process, and whatever it executes, lock so many bytes, root's programs too."""
    if IS_ROOT and ctypes.CDLL(None, use_errno=True).prctl(_PR_CAPBSET_DROP, _CAP_IPC_LOCK, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, size))


def prove(
    *arguments: str,
    unprivileged: bool = False,
    environment: dict[str, str] | None = None,
    lock_limit: int | None = None,
) -> Run:
    """Run prove to its end, as we are or (`unprivileged`) as nobody with a folder of its own.

    `lock_limit` is how many bytes it and its children may lock.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        identity: dict[str, Any] = {}
        environ = {**os.environ, **(environment or {})}
        if unprivileged and IS_ROOT:
            os.chown(folder, NOBODY, NOBODY)
            environ |= {"HOME": folder, "TMPDIR": folder}
            environ.pop("XDG_RUNTIME_DIR", None)
            identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        if lock_limit is not None:
            identity["preexec_fn"] = functools.partial(_may_lock, lock_limit)
        before = _cpu_seconds()
        process = subprocess.run(
            killing.command(*arguments), capture_output=True, text=True, timeout=DEADLINE_SECONDS, env=environ,
            cwd="/", check=False, **identity,
        )  # fmt: skip
    run = Run(process)
    run.cpu_seconds = _cpu_seconds() - before
    return run


def _cpu_seconds() -> float:
    """Of all children that were waited for, and theirs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@functools.cache
def as_we_are() -> Any:
    """One --json run for several tests."""
    return prove("--json")


@functools.cache
def as_nobody() -> Any:
    """The same without privilege."""
    return prove("--json", unprivileged=True)


def assert_nothing_leaked(row: dict[str, Any]) -> None:
    """The control was found; strongroom's kinds were not, but for what their backing cannot hold."""
    cells = row["cells"]
    assert cells["ordinary"]["word"] == "LEAKED"
    assert cells["ordinary"]["copies"] + cells["ordinary"]["half_copies"] > 0
    is_reader = row["id"].startswith("reader-")
    for kind in list(cells)[1:]:
        cell = cells[kind]
        may_be_read = is_reader and (cell["backing"] == "anonymous" or kind == "secret-at-rest")
        allowed = {"held", "exposed"} if may_be_read else {"own file"} if row["id"] == "mapped-file" else {"held"}
        if cell["word"] == "not tried":
            assert re.search("lock limit|kernel", cell["needs"]), (row["id"], kind, cell)
        else:
            assert cell["word"] in allowed, (row["id"], kind, cell)
        if cell["word"] == "held":
            assert cell["copies"] == cell["half_copies"] == 0


def unprivileged_or_skip() -> None:
    """Skip unless strongroom can be imported as nobody (or we are nobody much already)."""
    if not IS_ROOT:
        return
    try:
        probe = subprocess.run(
            [sys.executable, "-P", "-c", "import strongroom"], user=NOBODY, group=NOBODY, extra_groups=[],
            capture_output=True, cwd="/", check=False,
        )  # fmt: skip
        is_readable = probe.returncode == 0
    except PermissionError:  # not even the interpreter
        is_readable = False
    if not is_readable:
        pytest.skip("needs a virtual environment that other users can read: make it outside a private home")


def swap_or_skip() -> None:
    """Skip unless this root may make swap files (in most containers it may not)."""
    from strongroom.prove import changes, machine

    if not IS_ROOT:
        pytest.skip("needs root: run the tests with sudo")
    facts = machine.Machine()
    _, is_possible = machine.work_folder_parent(changes.SWAP_SIZE, None, for_swap=facts.can_make_swap)
    if not is_possible:
        pytest.skip("needs CAP_SYS_ADMIN and a folder on ext4, xfs or btrfs for a swap file: run outside a container")


def disk_or_skip() -> None:
    """Skip unless this root may make, attach and mount a disk image (in most containers it may not)."""
    from strongroom.prove import disk, machine

    if needs := disk.needs(machine.Machine(), "/var/tmp", no_changes=False):
        pytest.skip(f"{needs}: a disk image of prove's own, as root outside a container, with e2fsprogs installed")


@contextlib.contextmanager
def work_folder() -> Iterator[str]:
    """A work folder of prove's on a real disk, put back afterwards; skips where no disk image can be made."""
    disk_or_skip()
    from strongroom.prove import changes, undo

    made = changes.Directory(f"/var/tmp/strongroom-prove-disk-test-{os.getpid()}")
    try:
        made.apply()
        yield made.path
    finally:
        assert undo.undo(made.record()) is None


@contextlib.contextmanager
def mounted_disk(folder: str) -> Iterator[Disk]:
    """prove's disk, mounted in such a folder."""
    from strongroom.prove import disk, undo

    made = disk.Disk(folder, "test")
    try:
        made.apply()
        yield made
    finally:
        assert undo.undo(made.record()) is None


def looks_like_a_tracer(text: str) -> list[str]:
    """Every run of 24 or more characters of the tracers' alphabet with both cases and a digit in it."""
    runs = re.findall(r"[A-Za-z0-9_-]{24,}", text)
    return [run for run in runs if re.search(r"[A-Z]", run) and re.search(r"[a-z]", run) and re.search(r"\d", run)]
