"""What is mapped in a process of 300 mappings: ours beside the kernel's own text, merely read, and psutil."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.helper import Helper
from bench.rows import Contender, Group, SkipError, time_group
from bench.timing import Loop
from strongroom import vm

MAPPINGS = 300
#: Bytes: more than a listing of so many.
_ROOM = 1 << 21

#: A process of that many mappings, a third of them of a file whose path has 60 bytes; the others are written to.
_TARGET = """
import mmap, os, sys, tempfile
def count():
    with open("/proc/self/maps") as file:
        return len(file.read().splitlines())
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "x" * (59 - len(directory)))
    with open(path, "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        kept = [mmap.mmap(file.fileno(), mmap.PAGESIZE) for _ in range(100)]
while count() < MAPPINGS:
    one = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE, prot=1 if len(kept) % 2 else 3)
    if not len(kept) % 2:
        one[0] = 1
    kept.append(one)
print(count(), flush=True)
input()
"""


@contextmanager
def target() -> Iterator[int]:
    """Such a process, for the length of a block."""
    command = [sys.executable, "-S", "-c", _TARGET.replace("MAPPINGS", str(MAPPINGS))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            made = int(process.stdout.readline())
            if made != MAPPINGS:
                raise SkipError(f"needs a process of {MAPPINGS} mappings; this one has {made}")
            yield process.pid
        finally:
            process.kill()


def _repeated(call: Callable[[], Any]) -> Loop:
    def loop(count: int) -> None:
        for _ in range(count):
            call()

    return loop


def _psutil(pid: int) -> Loop:
    try:
        process = importlib.import_module("psutil").Process(pid)
    except ImportError as error:
        raise SkipError("needs psutil") from error
    return _repeated(lambda: process.memory_maps(grouped=False))


def _rows(helper: Callable[[], Helper], pid: int) -> dict[str, list[tuple[str, str, Callable[[], Loop]]]]:
    def raw(name: str) -> Callable[[], Loop]:
        return lambda: helper().read_whole(f"/proc/{pid}/{name}", _ROOM)

    return {
        "maps": [
            ("raw", "/proc/PID/maps, read in C, not looked at", raw("maps")),
            ("strongroom", "strongroom vm.regions, read twice", lambda: _repeated(lambda: vm.regions(pid))),
        ],
        "smaps": [
            ("raw", "/proc/PID/smaps, read in C, not looked at", raw("smaps")),
            ("strongroom", "strongroom vm.regions, smaps", lambda: _repeated(lambda: vm.regions(pid, "smaps"))),
            ("pages", "the same with the page tables", lambda: _repeated(lambda: vm.regions(pid, "pages"))),
            ("psutil", "psutil memory_maps(grouped=False)", lambda: _psutil(pid)),
        ],
    }


def _query() -> list[tuple[str, str, Callable[[], Loop]]]:
    """One address of this process, of memory on the heap."""
    thing = object()
    return [
        ("query", "strongroom vm.query", lambda: _repeated(lambda: vm.query(id(thing)))),
        ("regions", "strongroom vm.regions, for comparison", lambda: _repeated(vm.regions)),
    ]


def _contender(key: str, title: str, make: Callable[[], Loop]) -> Contender:
    try:
        return Contender(key, title, make())
    except SkipError as reason:
        return Contender(key, title, reason)


def measure(helper: Callable[[], Helper], rounds: int) -> list[Group]:
    """Measure the listings of that process, and one address of this one."""
    words = f"list a process of {MAPPINGS} mappings"
    with target() as pid:
        groups = [
            time_group(f"listing-{name}", f"{words} ({name})", [_contender(*row) for row in rows], rounds)
            for name, rows in _rows(helper, pid).items()
        ]
    one = [_contender(*row) for row in _query()]
    return [*groups, time_group("listing-query", "what is at one address of this process", one, rounds)]
