"""The story of one page with a swap file: each line of it true, by the page file's own bytes and another reader."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving
from children import succeed
from strongroom import vm

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "one_page.py"
HUGE = Path("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled")


class Swap:
    """A swap file of its own, the kernel's first choice."""

    def __init__(self, name: str) -> None:
        from strongroom.prove import changes

        self.folder = changes.Directory(f"/var/tmp/strongroom-prove-story-{os.getpid()}-{name}")
        self.file = changes.SwapFile(self.folder.path + "/swap", 16 << 20)

    def __enter__(self) -> str:
        """Make it, and tell its path."""
        try:
            self.folder.apply()
            self.file.apply()
        except BaseException:
            self.__exit__()
            raise
        return self.file.path

    def __exit__(self, *_: object) -> None:
        """Take it away, whatever has become of it."""
        from strongroom.prove import undo

        assert undo.undo(self.file.record()) is None
        assert undo.undo(self.folder.record()) is None


@pytest.fixture
def swap() -> Iterator[str]:
    """The path of the machine's only swap file."""
    proving.swap_or_skip()
    if vm.page_files():
        pytest.skip("needs a machine without page files of its own: swapoff -a")
    if HUGE.exists() and "[never]" not in HUGE.read_text() and "[inherit]" not in HUGE.read_text():
        pytest.skip("needs pages that come one by one: echo never > .../hugepages-64kB/enabled")
    with Swap("one") as path:
        yield path


def told(unprivileged: bool = False) -> list[tuple[str, str]]:
    """The lines of the story, on one processor: a page that was just touched on another would not leave."""
    one = {min(os.sched_getaffinity(0))}
    user = {"user": proving.NOBODY, "group": proving.NOBODY, "extra_groups": []} if unprivileged else {}
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE.read_text()],
        capture_output=True,
        text=True,
        check=False,
        timeout=proving.DEADLINE_SECONDS,
        cwd="/",
        preexec_fn=lambda: os.sched_setaffinity(0, one),
        **user,  # type: ignore[call-overload, unused-ignore]
    )
    assert done.returncode == 0, done.stderr
    return [(line.partition(":")[0], line.partition(":")[2].strip()) for line in done.stdout.splitlines()]


def page_of(path: str, position: int) -> bytes:
    """A page of a file, past the page cache."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as page:
            os.preadv(file, [page], position)
            return bytes(page)
    finally:
        os.close(file)


def test_as_root_each_line_is_true(swap: str) -> None:
    """State, slot, bytes and faults; after its end the page file has still what the page held."""
    wrong = list(LINES)
    for _ in range(5):  # Python's own heap may grow between two counts, and that is a fault, too
        lines = told()
        story = dict(lines)
        assert [name for name, _ in lines] == list(LINES)
        patterns = {name: pattern.replace("SWAP", re.escape(swap)) for name, pattern in LINES.items()}
        wrong = [f"{name}: {story[name]}" for name in LINES if re.fullmatch(patterns[name], story[name]) is None]
        if not wrong:
            break
    assert wrong == []
    process = re.findall(r"process (\d+)", story["there"])[0]
    assert f"process {process}'" in story["read again"]
    slot = int(re.findall(r"slot (\d+)", story["paged out"])[0])
    position = int(re.findall(r"byte ([\d,]+) ", story["there"])[0].replace(",", ""))
    assert position == slot * mmap.PAGESIZE
    assert page_of(swap, position).rstrip(b"\0") == f"1337, written by process {process}".encode()
    assert f"brings {vm.clustering().swap_pages} at" in story["read on"]


#: What each line must be, to the letter but for the numbers.
LINES = {
    "reserved": "reserved; nowhere",
    "committed": "committed; nowhere",
    "read": r"1 minor, 0 major; zeros; in the zero page \d+",
    "written": r"1 minor, 0 major; in the frame \d+",
    "paged out": r"all 16 of them; in the page file SWAP, slot \d+",
    "there": r"at byte [\d,]+ of SWAP: b'1337, written by process \d+'",
    "read again": r"0 minor, 1 major; b'1337, written by process \d+'; in the frame \d+",
    "read on": r"\d minor, [1-9] major, for the 10 pages behind it; the system brings \d+ at a time, at most",
    "decommitted": "reserved; nowhere",
    "released": "free; nowhere",
}


def test_the_page_about_it_has_these_lines() -> None:
    """docs/vm/story.md shows what the program prints."""
    block = (ROOT / "docs" / "vm" / "story.md").read_text().partition("one_page.py\n")[2].partition("```")[0]
    shown = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in block.splitlines()]
    assert [name for name, _ in shown] == list(LINES)
    for name, text in shown:
        assert re.fullmatch(LINES[name].replace("SWAP", "/var/tmp/swap"), text), (name, text)


@pytest.mark.usefixtures("swap")
def test_without_root_the_rest_is_true() -> None:
    """States and faults are told; frames, slot and bytes are not, and a last line says why."""
    proving.unprivileged_or_skip()
    lines = told(unprivileged=True)
    story = dict(lines)
    assert [name for name, _ in lines] == [*(name for name in LINES if name != "there"), "not shown"]
    assert re.fullmatch("[1-9] minor, 0 major; in the frame", story["written"])
    assert re.fullmatch("all 16 of them; in the page file .*/swap", story["paged out"])
    assert re.match("[0-9] minor, 1 major; b'1337, ", story["read again"])
    assert "CAP_SYS_ADMIN" in story["not shown"]


def test_without_a_page_file_it_says_so() -> None:
    """The page stays, the program says why, and reading it again is no fault."""
    if vm.page_files():
        pytest.skip("needs a machine without page files of its own: swapoff -a")
    story = dict(told())
    assert story["paged out"] == "0 of 16: there is no page file with room for private memory"
    assert re.match("[0-9] minor, 0 major; b'1337, ", story["read again"])
    assert "there" not in story
    assert "read on" not in story


@pytest.mark.usefixtures("swap")
def test_where_a_page_is_by_another_reader() -> None:
    """The slot is the one in the page table, the counts are mincore's, and a prefetch brings all back."""
    succeed("""
        from strongroom import vm
        from strongroom.prove.attackers import pages
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        P = vm.PAGE_SIZE
        region = vm.allocate(32 * P)
        for page in range(32):
            region.write(page * P, b"page %d" % page)
        present = vm.translate(region.address)
        table = pages.open_pagemap("self")
        def entries():
            return pages.entries(table, region.address, region.address + region.size)
        assert present.frame == entries()[0] & (1 << 55) - 1 and present.share_count == 1, present
        moved = region.page_out(0, 24 * P)
        assert moved == (24, 24, 0, None), moved
        for page in range(32):
            told = vm.translate(region.address + page * P + 17)
            area = pages.swap_slot(entries()[page])
            assert (told.where == "page file") == (page < 24) == (area is not None), told
            if area is not None:
                assert (0, told.slot) == area and told.position == told.slot * P, (told, area)
                file = os.open(told.page_file, os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)
        found = ctypes.create_string_buffer(32)
        def in_memory():
            assert libc.mincore(ctypes.c_void_p(region.address), ctypes.c_size_t(region.size), found) == 0
            return [byte & 1 for byte in found.raw]
        assert in_memory() == [0] * 24 + [1] * 8
        assert region.prefetch(0, 8 * P, wait=False)[:2] == (8, 0)
        before = vm.faults(thread=True)
        moved = region.prefetch()
        assert (moved.asked, moved.after) == (32, 32) and moved.before < 32, moved
        assert vm.faults(thread=True).major > before.major
        assert in_memory() == [1] * 32
        assert all(region.read(page * P, 7).startswith(b"page %d" % page) for page in range(32))
        region.page_out()
        region.reset(0, P)  # what is in a page file is forgotten at once
        assert region.read(0, 6) == bytes(6) and region.undo_reset(P, 8 * P) is True
    """)


@pytest.mark.usefixtures("swap")
def test_private_pages_come_back_by_windows_name() -> None:
    """PrefetchVirtualMemory of two ranges: soon these pages are in memory and no other; touching one reads nothing."""
    succeed("""
        from strongroom import vm
        from strongroom.vm.win32 import *
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        P = vm.PAGE_SIZE
        place = VirtualAlloc(None, 64 * P, MEM_COMMIT, PAGE_READWRITE)
        for page in range(64):
            RtlMoveMemory(place + page * P, b"page %02d" % page, 7)
        found, one = ctypes.create_string_buffer(64), bytearray(7)
        def in_memory():
            assert libc.mincore(ctypes.c_void_p(place), ctypes.c_size_t(64 * P), found) == 0
            return [page for page, byte in enumerate(found.raw) if byte & 1]
        def read_and_count(page):
            before = vm.faults(thread=True)
            RtlMoveMemory(one, place + page * P, 7)
            assert one == b"page %02d" % page
            return vm.faults(thread=True).major - before.major
        end = time.monotonic() + 20  # for each of two things that nobody here waits for on purpose
        while (moved := vm.page_out(place, 0, 64 * P)).after and time.monotonic() < end:
            time.sleep(0.01)
        assert in_memory() == [], moved
        ranges = [WIN32_MEMORY_RANGE_ENTRY(place + 8 * P, 8 * P), WIN32_MEMORY_RANGE_ENTRY(place + 41 * P - 1, 2)]
        assert PrefetchVirtualMemory(-1, 2, ranges, 0) is True
        wanted, end = [*range(8, 16), 40, 41], time.monotonic() + 20
        while in_memory() != wanted and time.monotonic() < end:
            time.sleep(0.001)
        assert in_memory() == wanted
        assert [read_and_count(page) for page in wanted] == [0] * 10
        assert read_and_count(60) == 1
        VirtualFree(place, 0, MEM_RELEASE)
    """)


def test_a_second_page_file_whose_first_is_gone() -> None:
    """The kernel's numbers have a gap then, and its list has not; one path is told, and the bytes are there."""
    proving.swap_or_skip()
    if vm.page_files():
        pytest.skip("needs a machine without page files of its own: swapoff -a")
    with ExitStack() as both:
        first = both.enter_context(Swap("one"))
        second = both.enter_context(Swap("two"))
        assert [file.path for file in vm.page_files()] == [first, second]
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.swapoff(os.fsencode(first)) == 0
        told = succeed(f"""
            from strongroom import vm
            os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})
            region = vm.allocate(vm.PAGE_SIZE)
            region.write(0, b"1337, in the second")
            moved = region.page_out()
            assert moved.after == 0, (moved, vm.page_files(), vm.translate(region.address))
            told = vm.translate(region.address)
            assert told.reason is None and told.candidates == (told.page_file,), told
            print(told.page_file, told.position)
        """)
        path, position = told.split()
        assert path == second
        assert page_of(path, int(position)).startswith(b"1337, in the second")
