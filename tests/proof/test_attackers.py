"""The attackers find what is there, count it rightly, and say what they could not read."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from proving import TRACER_SIZE, mark
from strongroom.prove import spawn
from strongroom.prove.attackers import core, pages

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


VICTIM = """
import mmap, os, sys
token = os.read(0, 48)
kept = [token, b"x" + token, token[:24] + b"-" * 40]
hidden = mmap.mmap(-1, 4096 * 4)
print("ready", flush=True)
os.read(0, 1)
"""


@pytest.fixture
def ordinary_process() -> Iterator[tuple[subprocess.Popen[bytes], bytes]]:
    """A process without strongroom that holds a tracer twice and a half of it once."""
    tracer = mark(random.SystemRandom().randrange(1 << 60))
    process = subprocess.Popen([sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(tracer)
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    yield process, tracer
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_reader_finds_a_strangers_copies(ordinary_process: tuple[subprocess.Popen[bytes], bytes]) -> None:
    """Another process's copies are found and counted, by both roads, and a tracer it never had is not."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("needs kernel.yama.ptrace_scope=0, or root")
    process, tracer = ordinary_process
    reading, writing = os.pipe()
    os.write(writing, tracer + mark(5))
    os.close(writing)
    told = spawn.attack("memory", "test", reading, pid=process.pid, count=2, size=TRACER_SIZE)
    os.close(reading)
    assert told["refused"] is False
    assert told["is_complete"] is True
    assert set(told["roads"]) == {"process_vm_readv", "/proc/PID/mem"}
    mine, never = told["needles"]
    assert mine["whole"] == 2
    assert mine["half"] >= 1
    assert never == {"whole": 0, "half": 0, "in_swap": 0, "where": {}}
    assert told["scanned_size"] > 1 << 20


BEYOND = """
import mmap, os, sys, tempfile
file = tempfile.TemporaryFile()
file.write(bytes(4096)); file.flush()
kept = mmap.mmap(file.fileno(), 4096)
file.truncate(0)  # the page behind the mapping is gone: nobody can read it
token = os.read(0, 48)
print("ready", flush=True)
os.read(0, 1)
"""


def test_memory_that_cannot_be_read_makes_a_search_incomplete() -> None:
    """A page that neither road can read, and that no known reason explains, is told and spoils completeness."""
    process = subprocess.Popen([sys.executable, "-c", BEYOND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(mark(8))
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    reading, writing = os.pipe()
    os.write(writing, mark(8))
    os.close(writing)
    told = spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=TRACER_SIZE)
    for descriptor in (process.stdin, process.stdout):
        descriptor.close()
    os.close(reading)
    process.kill()
    process.wait()
    if told["refused"]:
        pytest.skip("needs kernel.yama.ptrace_scope=0, or root")
    assert told["is_complete"] is False
    assert [part["size"] for part in told["unreadable"] if not part["explained"]] == [4096]
    assert told["needles"][0]["whole"] == 1


GUARDED = """
import ctypes, mmap, os, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
area = mmap.mmap(-1, 4 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area[:] = b"x" * len(area)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
if libc.madvise(address + 4096, 4096, 102) != 0:  # MADV_GUARD_INSTALL
    sys.exit("none")
token = os.read(0, 48)
print("ready", flush=True)
os.read(0, 1)
"""


def test_guard_pages_are_explained_page_by_page() -> None:
    """A guard page is known by its own page table entry, not by a flag of the mapping it once was put into."""
    process = subprocess.Popen(
        [sys.executable, "-c", GUARDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(mark(9))
    process.stdin.flush()
    is_ready = process.stdout.readline() == b"ready\n"
    reading, writing = os.pipe()
    os.write(writing, mark(9))
    os.close(writing)
    try:
        if not is_ready or tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 15):
            pytest.skip("needs Linux 6.15, whose page table tells guard pages")
        told = spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=TRACER_SIZE)
    finally:
        for descriptor in (process.stdin, process.stdout):
            descriptor.close()
        os.close(reading)
        process.kill()
        process.wait()
    if told["refused"]:
        pytest.skip("needs kernel.yama.ptrace_scope=0, or root")
    assert told["is_complete"] is True
    assert {"where": "anonymous memory (rw-p)", "size": 4096, "explained": True} in told["unreadable"]


SMAPS = """7f00-7f01 rw-p 00000000 00:00 0
Size: 4 kB
Swap: 8 kB
7f02-7f03 rw-s 00000000 00:0f 12 /secretmem (deleted)
Size: 4 kB
{0}VmFlags: rd wr
7f04-7f05 rw-p 00000000 00:00 0
Swap: 8 kB
"""


@pytest.mark.parametrize(("line", "expected"), [("Swap: 0 kB\n", 0), ("Swap: 4 kB\n", 4096), ("", None)])
def test_swapped_secret_memory_is_counted_by_the_kernel(
    monkeypatch: pytest.MonkeyPatch, line: str, expected: int | None
) -> None:
    """Only secret memory counts, and a kernel that does not tell is no zero."""
    import io

    monkeypatch.setattr(pages, "open", lambda *_, **__: io.StringIO(SMAPS.format(line)), raising=False)
    assert pages.swapped_secretmem("self") == expected


def test_a_process_that_is_gone_is_a_failure_not_an_absence() -> None:
    """An attack that could not look says so: nothing is concluded from it."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    reading, writing = os.pipe()
    os.write(writing, mark(6))
    os.close(writing)
    with pytest.raises(spawn.AttackError, match="memory"):
        spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=TRACER_SIZE)
    os.close(reading)


def core_file(segments: list[tuple[bytes, int]]) -> bytes:
    """A small 64-bit core: (contents in the file, size in memory) of each loadable segment."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, len(segments))
    offset, table, body = 64 + 56 * len(segments), b"", b""
    for content, memory_size in segments:
        table += struct.pack("<IIQQQQQQ", 1, 6, offset + len(body), 0x1000, 0, len(content), memory_size, 4096)
        body += content
    return bytes(header) + table + body


def test_a_core_that_was_cut_off_is_incomplete(tmp_path: Path) -> None:
    """A core is believed only if every segment it names is in the file to its end."""
    tracer = mark(7)
    whole = core_file([(b"a" * 500, 500), (b"b" * 100 + tracer + b"c" * 3000, 8192)])
    for name, content, is_complete, copies in (
        ("whole", whole, True, 1), ("cut", whole[:-10], False, 1), ("stub", whole[:700], False, 0),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        reading, writing = os.pipe()
        os.write(writing, tracer)
        os.close(writing)
        told = spawn.attack("core", "test", reading, path=str(tmp_path / name), count=1, size=TRACER_SIZE)
        os.close(reading)
        assert (told["is_complete"], told["needles"][0]["whole"]) == (is_complete, copies), name
    segments = core.parse(whole[:64], lambda size, at: whole[at : at + size])
    assert [s.memory_size - s.file_size for s in segments] == [0, 8192 - 3148]
    with pytest.raises(ValueError, match="not an ELF file"):
        core.parse(b"#!/bin/sh" + bytes(64), lambda *_: b"")


def test_page_table_entries() -> None:
    """Swap slots are read as pagemap.rst describes them."""
    assert pages.swap_slot(pages.PRESENT | 0x1234) is None
    assert pages.swap_slot(pages.SWAPPED | 3 | 77 << 5) == (3, 77)


def test_labels_hold_no_address() -> None:
    """What a person sees of a mapping: its name and rights."""
    line = "7f12c0a00000-7f12c0a01000 rw-s 00000000 00:0f 12                         /secretmem (deleted)\n"
    assert pages.Mapping(line).label == "secretmem"
    assert pages.Mapping("55d0-55f0 r--p 0 08:01 99  /usr/lib/libc.so.6\n").label == "libc.so.6 (r--p)"
    assert pages.Mapping("55d0-55f0 rw-p 0 00:00 0 \n").label == "anonymous memory (rw-p)"
