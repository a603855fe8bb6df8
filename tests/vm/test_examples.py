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
