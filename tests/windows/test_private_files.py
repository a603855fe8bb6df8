"""Buffers in pages of private files on Windows; under Wine a Linux file system has them and drops tails."""

import ctypes
import mmap
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from observed import address_of
from strongroom import (
    ContentsLostError,
    FileBuffer,
    LockedBuffer,
    SystemCallError,
    UnsupportedError,
    VolatileBuffer,
    _native,
)

PAGE, GRANULE = mmap.PAGESIZE, mmap.ALLOCATIONGRANULARITY
READ_ONLY, READ_WRITE, NO_ACCESS = 2, 4, 1
MEM_MAPPED = 0x40000
MEMORY = Path("Z:\\dev\\shm")
SHARING_VIOLATION, PATH_NOT_FOUND = 32, 3
GENERIC_READ, SHARE_ALL, OPEN_EXISTING, INVALID_HANDLE = 0x80000000, 7, 3, -1
Buffer = VolatileBuffer | FileBuffer

under_wine = pytest.mark.skipif(not windows.HAS_WINE, reason="needs Wine: Windows clears a tail when memory is short")
KINDS: list[Callable[[Path], Buffer]] = [
    lambda path: VolatileBuffer(100, backing="partial", directory=path),
    lambda path: FileBuffer(100, path),
    lambda path: FileBuffer(GRANULE + 1, path),
]
kinds = pytest.mark.parametrize("make", KINDS, ids=["partial", "file", "large file"])


def pages_of(buffer: Buffer | LockedBuffer) -> tuple[int, int]:
    """Return where the pages of a buffer begin and end."""
    with buffer.open() as view:
        start = (address_of(view) - 16) // PAGE * PAGE
        return start, -(-(address_of(view) + len(buffer)) // PAGE) * PAGE


def sync_to_disk(address: int, size: int) -> None:
    """msync(2) with MS_SYNC, past Wine, whose FlushViewOfFile does not wait: the kernel does it by itself later."""
    code = bytes.fromhex("57 56 4889cf 4889d6 ba04000000 b81a000000 0f05 5e 5f c3")
    call = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_size_t, ctypes.c_size_t)(windows.executable(code))
    assert call(address, size) == 0


@kinds
def test_pages_of_a_view_between_guards(make: Callable[[Path], Buffer], tmp_path: Path) -> None:
    """Mapped pages, read-only at rest, between a part of the view that nobody can touch and a reservation."""
    with make(tmp_path) as buffer:
        start, end = pages_of(buffer)
        below, pages, above = (windows.region_at(address) for address in (start - PAGE, start, end))
        assert (pages.base, pages.base + pages.size, pages.kind) == (start, end, MEM_MAPPED)
        assert (pages.state, pages.protection) == (windows.MEM_COMMIT, READ_ONLY)
        assert (below.state, below.protection) == (windows.MEM_COMMIT, NO_ACCESS)
        assert (above.base, above.state) == (end, windows.MEM_RESERVE)
        with buffer.open("rw"):
            assert windows.region_at(start).protection == READ_WRITE
        assert windows.region_at(start).protection == READ_ONLY
        assert buffer.guarantees()["GUARDED"].state == "verified"
    assert {windows.region_at(address).state for address in (start - PAGE, start, end)} == {windows.MEM_FREE}


@kinds
def test_nobody_else_opens_the_file_and_it_goes_with_the_buffer(make: Callable[[Path], Buffer], tmp_path: Path) -> None:
    """The one file that there is cannot be opened, nor its directory removed; both can when the buffer is destroyed."""
    place = tmp_path / "caf\u00e9"
    place.mkdir()
    with make(place) as buffer:
        (file,) = place.iterdir()
        handle = windows.kernel32.CreateFileW(str(file), GENERIC_READ, SHARE_ALL, None, OPEN_EXISTING, 0, None)
        assert (handle, ctypes.get_last_error()) == (INVALID_HANDLE, SHARING_VIOLATION)
        buffer.copy_from(bytes(len(buffer)))
    assert list(place.iterdir()) == []
    place.rmdir()


def test_the_words_for_what_they_are(tmp_path: Path) -> None:
    """A partial page is asked never to be written, a file is; neither is locked; each says why in Windows' words."""
    with VolatileBuffer(100, directory=tmp_path) as volatile, FileBuffer(100, tmp_path) as file:
        assert (volatile.backing, file.backing) == ("partial", "file")
        for buffer in (volatile, file):
            found = buffer.guarantees()
            assert found["LOCKED"].state == "unavailable"
            assert "ReadProcessMemory" in found["UNREADABLE_BY_OTHERS"].source
            assert not any("/proc" in one.source or "fs/" in one.source for one in found.values())
        assert volatile.guarantees()["NEVER_WRITTEN"].state == "requested"
        assert file.guarantees()["NEVER_WRITTEN"].state == "unavailable"


def test_there_are_no_droppable_pages() -> None:
    """Windows has none that are real under Wine: unsupported, and says so."""
    with pytest.raises(UnsupportedError, match="MAP_DROPPABLE"):
        VolatileBuffer(100, backing="droppable")


@kinds
def test_a_directory_that_is_not_there(make: Callable[[Path], Buffer], tmp_path: Path) -> None:
    """The call and Windows' code, and what to do."""
    with pytest.raises(SystemCallError, match="Name a directory that exists") as caught:
        make(tmp_path / "not" / "there")
    assert (caught.value.call, caught.value.winerror) == ("CreateFile(private file)", PATH_NOT_FOUND)


@under_wine
def test_a_lost_tail_is_noticed(tmp_path: Path) -> None:
    """Written back by the kernel below Wine the contents are gone, which open() says; stored anew they are there."""
    with VolatileBuffer(100, backing="partial", directory=tmp_path) as buffer:
        buffer.copy_from(b"s" * 100)
        assert buffer.intact
        start, end = pages_of(buffer)
        sync_to_disk(start, end - start)
        assert not buffer.intact
        with pytest.raises(ContentsLostError):
            buffer.open().__enter__()
        buffer.copy_from(b"t" * 100)
        with buffer.open() as view:
            assert bytes(view) == b"t" * 100


@under_wine
def test_contents_of_a_whole_page_come_back(tmp_path: Path) -> None:
    """Control: the same of a FileBuffer loses nothing."""
    with FileBuffer(100, tmp_path) as buffer:
        buffer.copy_from(b"s" * 100)
        start, end = pages_of(buffer)
        sync_to_disk(start, end - start)
        assert buffer.intact
        with buffer.open() as view:
            assert bytes(view) == b"s" * 100


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a directory in memory: Windows has none, this Linux no /dev/shm")
def test_files_in_memory_keep_their_tails_and_are_refused() -> None:
    """A partial page there would go to the swap with the rest of that file system; nothing is left of the trial."""
    before = {path for path in MEMORY.iterdir() if path.name.startswith(".strongroom-")}
    with pytest.raises(UnsupportedError, match="keeps what lies behind a file's end"):
        VolatileBuffer(100, backing="partial", directory=MEMORY)
    assert {path for path in MEMORY.iterdir() if path.name.startswith(".strongroom-")} == before


def test_where_files_lie_in_the_words_of_windows(tmp_path: Path) -> None:
    """The volume and its file system; a drive that calls itself a RAM disk is refused, and what is not told is said."""
    room = 1024
    volume, kind = ctypes.create_unicode_buffer(room), ctypes.create_unicode_buffer(room)
    kernel = ctypes.WinDLL("kernel32")
    assert kernel.GetVolumePathNameW(str(tmp_path), volume, room)
    assert kernel.GetVolumeInformationW(volume, None, 0, None, None, None, kind, room)
    assert _native.filesystem_of(str(tmp_path).encode()) == (kind.value, volume.value)
    with FileBuffer(8, tmp_path) as buffer:
        assert "calls it a fixed one" in buffer.guarantees()["NEVER_WRITTEN"].source
    with pytest.raises(SystemCallError) as nowhere:
        FileBuffer(8, tmp_path / "no" / "such")
    assert nowhere.value.call == "CreateFile(private file)"
