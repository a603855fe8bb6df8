"""examples/win32_vm_safe.py: what it prints, and what the disk below its file really has."""

import gc
import os
import runpy
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import loopmounted
import needs
import vanishing
from loopmounted import as_root
from programs import EXAMPLES, failure_of
from strongroom import vm

NAME = "win32_vm_safe.py"
SECTOR_SIZE = 512


@pytest.fixture
def example() -> dict[str, Any]:
    """The program's functions."""
    return runpy.run_path(str(EXAMPLES / NAME))


def line(step: str, where: str, size: int, pieces: int) -> str:
    """What it prints of a step."""
    return f"  {step:5}  the secret is {where}; in the file of {size:,} bytes {pieces} of its 4 pieces"


def test_the_sequence_twice() -> None:
    """The whole page: in the file, and burned there. 512 bytes: never in the file; lost, noticed, and stored anew."""
    command = [sys.executable, str(EXAMPLES / NAME), "--directory", vanishing.disk_directory()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    there, gone, page, sector = "in the page", "not in the page", vm.PAGE_SIZE, SECTOR_SIZE
    assert done.stdout.splitlines() == [
        f"CreateFileMapping of {page:,} bytes: the page is MEM_MAPPED, the file's",
        line("init", gone, page, 0),
        line("use", there, page, 4),
        line("flush", there, page, 4),
        line("burn", gone, page, 0),
        "CreateFileMapping of 512 bytes: the page is MEM_MAPPED, the file's",
        line("init", gone, sector, 0),
        line("use", there, sector, 0),
        line("flush", gone, sector, 0),
        line("anew", there, sector, 0),
        line("burn", gone, sector, 0),
    ]


@as_root
def test_what_is_on_the_disk(example: dict[str, Any], tmp_path: Path) -> None:
    """The raw image. A whole page: the secret once, and not once after burning. 512 bytes: what lies before the file's
    end arrived, which is the control, and no piece of the secret did, neither at once nor at the end.
    """
    secret, mark = secrets.token_bytes(32), secrets.token_bytes(16)
    pieces = [secret[at : at + 8] for at in range(0, 32, 8)]
    with loopmounted.image(tmp_path) as disk:
        whole = example["VmSafe"](str(disk.at), vm.PAGE_SIZE)
        example["use"](whole, secret)
        whole.write_back()
        assert (disk.count(secret), disk.is_empty()) == (1, True)
        whole.free()
        assert [disk.count(piece) for piece in pieces] == [0] * 4

        partial = example["VmSafe"](str(disk.at), SECTOR_SIZE)
        for _ in range(2):  # lost, and stored anew
            partial.page[:16] = mark
            example["use"](partial, secret)
            assert partial.take(32) == secret
            partial.write_back()
            assert partial.take(32) is None
            assert (disk.count(mark), disk.is_empty()) == (1, True)
            assert [disk.count(piece) for piece in pieces] == [0] * 4
        partial.free()
        assert [disk.count(piece) for piece in (mark, *pieces)] == [0] * 5


@pytest.mark.parametrize(
    "cleared", [lambda page: slice(SECTOR_SIZE, SECTOR_SIZE + 1), lambda page: slice(page - 1, page)]
)
def test_a_loss_that_began_at_either_end(example: dict[str, Any], cleared: Callable[[int], slice]) -> None:
    """One other byte at the outer end of either sentinel, as a page half cleared has it: nothing is returned."""
    safe = example["VmSafe"](vanishing.disk_directory(), SECTOR_SIZE)
    try:
        example["use"](safe, b"s" * 32)
        where = cleared(vm.PAGE_SIZE)
        safe.page[where] = bytes([safe.page[where][0] ^ 1])
        assert safe.take(32) is None
        example["use"](safe, b"s" * 32)
    finally:
        safe.free()


def test_a_page_that_is_dropped_each_time(example: dict[str, Any]) -> None:
    """Written back as soon as it is stored: an error after five times, not the zeros that are there."""
    safe = example["VmSafe"](vanishing.disk_directory(), SECTOR_SIZE)
    store = safe.store
    safe.store = lambda secret: (store(secret), safe.write_back())
    try:
        with pytest.raises(RuntimeError, match="dropped 5 times"):
            example["use"](safe, b"s" * 32)
    finally:
        safe.free()


def left_of(place: Path) -> tuple[int, int, list[str]]:
    """How many descriptors and views of nameless files this process has, and which files a directory."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as listing:
        views = sum(" rw-s " in one and str(place) in one for one in listing)
    return len(os.listdir("/proc/self/fd")), views, os.listdir(place)


@needs.linux
def test_it_leaves_nothing(example: dict[str, Any], tmp_path: Path) -> None:
    """Descriptors, views and files are what they were, also where there was no such directory. Control: one that lives
    is counted, and its file has no name.
    """
    gc.collect()  # what other tests left would give descriptors back in the middle of this one
    before = left_of(tmp_path)
    safe = example["VmSafe"](str(tmp_path), SECTOR_SIZE)
    descriptors, views, names = left_of(tmp_path)
    assert descriptors > before[0]
    assert (views, names) == (1, [])
    safe.free()
    for size in (vm.PAGE_SIZE, SECTOR_SIZE):
        example["play"](str(tmp_path), size, secrets.token_bytes(32))
    with pytest.raises(FileNotFoundError):
        example["play"](str(tmp_path / "nowhere"), SECTOR_SIZE, secrets.token_bytes(32))
    assert left_of(tmp_path) == before == (before[0], 0, [])


def test_where_files_lie_in_memory() -> None:
    """It does not claim what it did not see: one line, exit code 1."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs a tmpfs at /dev/shm")
    assert "kept what lies behind the file's end: is it in memory?" in failure_of(NAME, "--directory", "/dev/shm")
