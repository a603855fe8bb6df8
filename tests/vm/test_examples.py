"""The programs in ``examples/`` that show vm do what they say."""

import re
import subprocess
import sys
from pathlib import Path

from strongroom import vm
from strongroom.vm import win32

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def lines_of(name: str) -> list[str]:
    """What an example prints, with addresses made alike."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [re.sub(r"(at 0x|is: )[0-9a-f]+", r"\g<1>ADDRESS", line) for line in done.stdout.splitlines()]


def test_reserve_commit_write_read() -> None:
    """vm_allocate.py: each step and what it became."""
    page = f"{vm.PAGE_SIZE:,}"
    assert lines_of("vm_allocate.py") == [
        "reserved: <Region 1,073,741,824 bytes at 0xADDRESS>",
        f"committed: {page} bytes from offset 0, all zeros: {bytes(8)!r}",
        "the data which is stored in the memory is 1337",
        "protection: READ_WRITE, now READ_ONLY",
        "AccessError: write: the page at offset 0x0 is READ_ONLY, which forbids that: protect() it first",
        "decommitted: the pages are reserved",
        "released: <Region 1,073,741,824 bytes at 0xADDRESS, released>",
    ]


def test_virtual_alloc_and_free() -> None:
    """win32_allocate.py: the two programs of a Windows textbook, line by line."""
    assert lines_of("win32_allocate.py") == [
        "The base address of allocated memory is: ADDRESS",
        "The base address of allocated memory is: ADDRESS",
        "The data which is stored in the memory is 1337",
        f"Decommitted: {vm.PAGE_SIZE:,} bytes in state {win32.MEM_RESERVE:#x}",
        f"Released: state {win32.MEM_FREE:#x}",
    ]


def test_three_processes_and_two_sections() -> None:
    """shared_section.py: what is shared, what stays private, what is gone and what stays, also after a kill."""
    call = "OpenFileMapping" if sys.platform == "win32" else "shm_open"
    assert lines_of("shared_section.py") == [
        f"first:  made the memory, {vm.GRANULARITY:,} bytes, which read: nothing",
        "first:  wrote into the memory: a question; into the file: from the first",
        "second: found the memory by its name; it reads: a question",
        "second: its copy-on-write view of the file reads: from the first",
        "second: wrote into that view, which reads: only the second sees this; "
        "the other view of the file reads: from the first",
        "second: wrote into the memory: an answer; into the file: from the second; and flushed nothing",
        "first:  the memory reads: an answer",
        "first:  the file reads: from the first, and further on: from the second",
        "first:  has unmapped everything, and ends",
        "second: the first has ended, and the memory still reads: an answer",
        "second: was killed",
        f"third:  the memory is gone: {call} finds no such name",
        "third:  the file reads: from the first, and further on: from the second",
    ]
