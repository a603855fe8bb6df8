"""What is done to prove's own disk: all is written back, the image searched, and each copy is in somebody's blocks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from proving import TRACER_SIZE, mark
from strongroom.prove import disk, machine, spawn
from strongroom.prove.attackers import disk as attack

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


MAPPER = """
import mmap, os, sys
folder = sys.argv[1]
token, tail, gone = (os.read(0, 48) for _ in range(3))
def mapped(name, size, at, what):
    file = os.open(folder + name, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, size)
    page = mmap.mmap(file, 4096) if size == 4096 else mmap.mmap(file, size)
    page[at : at + 48] = what
    print(os.fstat(file).st_ino, flush=True)
    return page
kept = [mapped("/whole", 4096, 100, token), mapped("/deleted", 4096, 200, gone)]
import ctypes
file = os.open(folder + "/short", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(file, 512)
print(os.fstat(file).st_ino, flush=True)
page = mmap.mmap(file, 512)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
ctypes.memmove(address + 512, tail, 48)  # behind the end of the file, in its page
os.unlink(folder + "/deleted")
print("ready", flush=True)
os.read(0, 1)
"""


def attacked(own_disk: disk.Disk, pid: int, tracers: tuple[bytes, ...], **parameters: Any) -> dict[str, Any]:
    """Run the attack in its own process."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(tracers))
    os.close(writing)
    try:
        return spawn.attack(
            "disk", "test", reading, path=own_disk.path, point=own_disk.point, pid=pid, count=len(tracers),
            size=TRACER_SIZE, **parameters,
        )  # fmt: skip
    finally:
        os.close(reading)


def test_the_disk_is_read_below_its_file_system(own_disk: disk.Disk) -> None:
    """Copies are found, and in whose blocks, nameless files too; what lies behind a short file's end is nowhere."""
    tracers = tuple(mark(random.SystemRandom().randrange(1 << 60)) for _ in range(3))
    process = subprocess.Popen(
        [sys.executable, "-c", MAPPER, own_disk.point], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(b"".join(tracers))
        process.stdin.flush()
        inodes = [int(process.stdout.readline()) for _ in range(3)]
        files = dict(zip(("whole", "nameless", "short"), inodes, strict=True))
        assert process.stdout.readline() == b"ready\n"
        told = attacked(own_disk, process.pid, tracers, files=files)
        unknown = attacked(own_disk, process.pid, tracers, files={**files, "no such file": 1 << 30})
        process.kill()
    assert told["is_complete"] is True
    assert told["scanned_size"] == disk.DISK_SIZE
    whole, tail, nameless = told["needles"]
    assert whole == {"whole": 1, "half": 0, "where": {"whole": 1}}
    assert nameless == {"whole": 1, "half": 0, "where": {"nameless": 1}}
    assert tail == {"whole": 0, "half": 0, "where": {}}
    assert unknown["is_complete"] is False
    after = attacked(own_disk, os.getpid(), tracers, files=files, blocks=told["blocks"])
    assert [found["whole"] for found in after["needles"]] == [1, 0, 1]  # its process is gone, its file too
    lost = attacked(own_disk, os.getpid(), tracers, files=files, blocks={"short": told["blocks"]["short"]})
    assert lost["needles"][0]["where"] == {attack.ELSEWHERE: 1}
    assert lost["is_complete"] is False


FRESH = """
import ctypes, mmap, os
from strongroom.prove.attackers import pageout

processors = sorted(os.sched_getaffinity(0))
dropped = 0
for number in range(60):
    (here, there), (seen, told) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {processors[number % len(processors)]})
        page = mmap.mmap(-1, 4096, flags=8 | mmap.MAP_ANONYMOUS)
        page[0] = 1
        os.write(told, b"x")
        os.read(here, 1)
        os.write(told, page[:1])
        os._exit(0)
    os.read(seen, 1)
    pageout.run({"pids": [child]})
    os.write(there, b"x")
    dropped += os.read(seen, 1) == b"\\0"
    os.waitpid(child, 0)
    for descriptor in (here, there, seen, told):
        os.close(descriptor)
print(dropped)
"""


def test_a_page_that_was_touched_just_now_is_pushed_out() -> None:
    """Also on another processor, in whose batch it waits: what the kernel may drop it drops, every time."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests with sudo")
    if not machine.Machine().has_droppable:
        pytest.skip("needs Linux 6.11: memory that the kernel may drop")
    told = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=300, check=True)
    assert told.stdout == "60\n"
