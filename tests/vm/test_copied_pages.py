"""Copy on write as the system sees it: which pages are this process's own, and who else sees what is written there.

Linux tells it by bit 61 of a page's entry in pagemap (a page of a file, or shared) and by "Anonymous" in smaps;
proc_pid_pagemap(5). Windows by VirtualQuery. Wine's VirtualQuery does not tell; the kernel below it does.
"""

import ctypes
import os
import sys
from pathlib import Path

import pytest

import needs
from children import Live, forked
from strongroom import vm

PAGE = vm.PAGE_SIZE
OF_A_FILE = 1 << 61
READ_WRITE, WRITE_COPY = 0x04, 0x08  # winnt.h


def kernel_pagemap() -> str | None:
    """Where the Linux kernel tells of this process's pages, also from within Wine."""
    if needs.LINUX:
        return "/proc/self/pagemap"
    if sys.platform == "win32":
        import observed_windows

        if observed_windows.HAS_WINE:
            return f"Z:\\proc\\{observed_windows.unix_pid()}\\pagemap"
    return None


def is_of_the_file(address: int) -> bool:
    """Whether the page at an address, which can be read, is still the file's and not this process's own."""
    name = kernel_pagemap()
    if name is not None:
        ctypes.string_at(address, 1)  # where memory is short the system may have taken it out
        with open(name, "rb", buffering=0) as file:
            file.seek(address // PAGE * 8)
            entry = int.from_bytes(file.read(8), "little")
        assert entry >> 63, "the page is not in memory"
        return bool(entry & OF_A_FILE)
    if sys.platform == "win32":
        import observed_windows

        region = observed_windows.region_at(address)
        was_copied = (region.allocation_protection, region.protection) == (WRITE_COPY, READ_WRITE)
        return not was_copied
    pytest.skip("needs Linux or Windows: nothing else tells which page was copied")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mapped"
    file.write_bytes(b"file" * PAGE)
    return file


def test_a_written_page_is_the_processs_own(path: Path) -> None:
    """Before the write each page is the file's; after it the written one is not, its neighbours are. Pages that a
    READ_WRITE view wrote stay the file's."""
    with path.open("r+b") as file:
        copy, shared = vm.map_file(file, protection=vm.WRITE_COPY), vm.map_file(file)
    with copy, shared:
        copy.read()
        shared.write(2 * PAGE, b"theirs")
        pages = [copy.address + number * PAGE for number in range(4)]
        assert [is_of_the_file(page) for page in pages] == [True] * 4
        copy.write(PAGE, b"mine")
        assert [is_of_the_file(page) for page in pages] == [True, False, True, True]
        assert is_of_the_file(shared.address + 2 * PAGE)
        assert copy.read(PAGE, 8) == b"minefile"
        assert shared.read(PAGE, 8) == b"filefile"


def anonymous_size(address: int) -> int:
    """What smaps says of the mapping at an address, in bytes."""
    is_it = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(number, 16) for number in first.split("-"))
            is_it = low <= address < high
        elif is_it and first == "Anonymous:":
            return int(line.split()[1]) * 1024
    raise AssertionError("nothing is mapped there")


@needs.linux
def test_smaps_counts_what_was_copied(path: Path) -> None:
    """Nothing before; a page for each page that was written, and no more for writing it again."""
    with path.open("rb") as file, vm.map_file(file, protection=vm.WRITE_COPY) as copy:
        copy.read()
        assert anonymous_size(copy.address) == 0
        copy.write(PAGE - 1, b"ab")
        copy.write(0, b"again")
        assert anonymous_size(copy.address) == 2 * PAGE


def test_strongroom_says_write_copy_of_both(path: Path) -> None:
    """query() and pages() call a copied page WRITE_COPY as before; on Windows query() says what VirtualQuery does."""
    with path.open("rb") as file, vm.map_file(file, protection=vm.WRITE_COPY) as copy:
        copy.write(0, b"mine")
        assert [run.protection for run in copy.pages()] == [vm.WRITE_COPY]
        if sys.platform == "win32":
            import observed_windows

            told = observed_windows.region_at(copy.address).protection
            assert vm.query(copy.address).protection == told
            assert told == (WRITE_COPY if observed_windows.HAS_WINE else READ_WRITE)
        elif needs.LINUX:
            assert vm.query(copy.address).protection == vm.WRITE_COPY


def test_another_process_sees_nothing_of_it(path: Path) -> None:
    """Neither its view nor the file has what a process wrote into its copy; both have what it wrote past it."""
    code = f"""
        from strongroom import vm
        with open({str(path)!r}, "r+b") as file:
            copy, shared = vm.map_file(file, protection=vm.WRITE_COPY), vm.map_file(file)
        copy.write(0, b"mine")
        shared.write(PAGE, b"ours")
        copy.flush()
        print(copy.read(0, 4), copy.read(PAGE, 4), flush=True)
        sys.stdin.readline()
    """.replace("PAGE", str(PAGE))
    with path.open("rb") as file, vm.map_file(file, protection=vm.READ_ONLY) as view, Live(code) as child:
        assert child.line() == "b'mine' b'ours'"
        assert (view.read(0, 4), view.read(PAGE, 4)) == (b"file", b"ours")
        content = path.read_bytes()
        assert (content[:4], content[PAGE : PAGE + 4]) == (b"file", b"ours")


@needs.fork
def test_a_forked_child_copies_the_copy(path: Path) -> None:
    """A child has what its parent had copied, and neither sees what the other writes after that."""
    with path.open("rb") as file, vm.map_file(file, protection=vm.WRITE_COPY) as copy:
        copy.write(0, b"mine")
        reading, writing = os.pipe()

        def child() -> bytes:
            os.read(reading, 1)
            inherited = copy.read(0, 8)
            copy.write(4, b"kids")
            return inherited + copy.read(0, 8)

        os.write(writing, b".")
        assert forked(child) == repr(b"minefile" + b"minekids")
        assert copy.read(0, 8) == b"minefile"
        os.close(reading)
        os.close(writing)
