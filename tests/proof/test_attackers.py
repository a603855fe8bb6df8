"""The attackers find what is there, count it rightly, say what they could not read, and share nothing with us."""

from __future__ import annotations

import ast
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")
pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

from strongroom.prove import spawn  # noqa: E402
from strongroom.prove.attackers import core, needles, pages  # noqa: E402

SIZE = 48
ATTACKERS = Path(needles.__file__).parent


def needles_of(*tracers: bytes) -> needles.Needles:
    """Needles that came through a pipe."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(tracers))
    os.close(writing)
    try:
        return needles.Needles(reading, len(tracers), SIZE)
    finally:
        os.close(reading)


def mark(seed: int) -> bytes:
    """A tracer."""
    return random.Random(seed).randbytes(SIZE)


class Bytes(needles.Reader):
    """A road to bytes in this test, with holes, and reads as short as one likes."""

    def __init__(self, content: bytes, most: int, holes: tuple[range, ...] = ()) -> None:
        self.content, self.most, self.holes = content, most, holes

    def __call__(self, position: int, size: int, area: needles.LockedArea, offset: int) -> int:
        size = min(size, self.most)
        for hole in self.holes:
            if position in hole:
                return -5
            if position < hole.start:
                size = min(size, hole.start - position)
        piece = self.content[position : position + size]
        area.view[offset : offset + len(piece)] = piece
        return len(piece)


def found_in(
    content: bytes, tracer: bytes, most: int = 1 << 20, holes: tuple[range, ...] = ()
) -> list[tuple[int, bool]]:
    """What a sweep over bytes sees of one tracer."""
    sightings = needles.Sightings(needles_of(tracer))
    sweep = needles.Sweep(sightings, needles.haystack_area())
    sweep.run(Bytes(content, most, holes), 0, len(content))
    return sightings.copies(0)


@pytest.mark.parametrize("most", [1, 7, 23, 24, 25, 47, 48, 49, 4096, 1 << 20])
def test_no_copy_is_lost_between_two_reads(most: int) -> None:
    """However short the reads, whole copies are found where they are, each once."""
    tracer = mark(1)
    content = bytearray(random.Random(2).randbytes(20_000 if most > 23 else 600))
    places = [0, 100, 300, len(content) - SIZE]
    for place in places:
        content[place : place + SIZE] = tracer
    assert found_in(bytes(content), tracer, most) == [(place, True) for place in places]


def test_halves_are_counted_apart() -> None:
    """A half is a copy, but not a second one where the whole is."""
    tracer = mark(3)
    content = b"x" * 50 + tracer[:24] + b"y" * 50 + tracer[24:] + b"z" * 50 + tracer
    assert found_in(content, tracer) == [(50, False), (124, False), (198, True)]
    assert found_in(b"x" * 1000, tracer) == []


def test_holes_are_told_and_do_not_join_what_they_part() -> None:
    """An unreadable page is counted; the bytes before and after it do not make a copy together."""
    tracer = mark(4)
    content = bytearray(4 * needles.PAGE)
    content[needles.PAGE - 24 : needles.PAGE] = tracer[:24]
    content[2 * needles.PAGE : 2 * needles.PAGE + 24] = tracer[24:]
    hole = range(needles.PAGE, 2 * needles.PAGE)
    sightings = needles.Sightings(needles_of(tracer))
    sweep = needles.Sweep(sightings, needles.haystack_area())
    sweep.run(Bytes(bytes(content), 1 << 20, (hole,)), 0, len(content))
    assert sweep.unreadable == [(hole.start, hole.stop, 5)]
    assert sweep.scanned_size == 3 * needles.PAGE
    assert [is_whole for _, is_whole in sightings.copies(0)] == [False, False]


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
    told = spawn.attack("memory", "test", reading, pid=process.pid, count=2, size=SIZE)
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
    told = spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=SIZE)
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
        if not is_ready or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
            pytest.skip("needs Linux 6.15, whose page table tells guard pages")
        told = spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=SIZE)
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
        spawn.attack("memory", "test", reading, pid=process.pid, count=1, size=SIZE)
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
        told = spawn.attack("core", "test", reading, path=str(tmp_path / name), count=1, size=SIZE)
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


def imports_of(path: Path, package: str) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{name.name}" for name in node.names if node.module is None}
    return names


ALLOWED = {
    "__future__",
    "ast",
    "contextlib",
    "ctypes",
    "errno",
    "fcntl",
    "json",
    "mmap",
    "os",
    "struct",
    "sys",
    "typing",
}


@pytest.mark.parametrize("path", sorted(ATTACKERS.glob("*.py")), ids=lambda path: path.name)
def test_attackers_import_only_the_standard_library_and_each_other(path: Path) -> None:
    """Evidence by a different road: nothing of strongroom is behind an attacker, by whatever spelling."""
    inside = "strongroom.prove.attackers"
    for name in imports_of(path, inside):
        assert name in ALLOWED or name == inside or name.startswith(inside + "."), f"{path.name} imports {name}"
    assert "importlib" not in path.read_text()


def test_a_forbidden_import_would_be_noticed(tmp_path: Path) -> None:
    """The rule can fail, also for relative spellings."""
    (tmp_path / "x.py").write_text("from ... import _native\nfrom ...scan import engine\nimport strongroom\n")
    assert imports_of(tmp_path / "x.py", "strongroom.prove.attackers") == {
        "strongroom", "strongroom._native", "strongroom.scan",
    }  # fmt: skip


@pytest.mark.parametrize("module", ["attackers.entry", "janitor"])
def test_attackers_and_janitor_run_without_strongroom(module: str) -> None:
    """In their own bare process no module of strongroom is loaded at all."""
    command = spawn.bare_command(module)
    code = command[4].split("; sys.exit")[0] + "; print(sorted(sys.modules))"
    told = subprocess.run([*command[:4], code, command[5]], capture_output=True, text=True, check=True).stdout
    assert f"'prove.{module}'" in told
    assert "strongroom" not in told
    assert "_native" not in told
