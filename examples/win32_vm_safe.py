"""A page that never goes to the swap, by Windows' own names: John Kane's "win32vmSafe" of 2001, played step by step.

    python win32_vm_safe.py [--directory /media/stick]

It plays one sequence twice (gnupg-devel, 13 June 2001): CreateFile, CreateFileMapping, MapViewOfFile; store and use;
what the system does when memory is short, brought about by FlushViewOfFile; burn; UnmapViewOfFile, CloseHandle. Only
the size that CreateFileMapping is given differs, and with it the promise:

    the whole page  its bytes reach that file and nothing else, the swap included; afterwards they are burned there
    512 bytes       the secret lies in the page behind the file's end: it reaches no file at all, but gets lost, which
                    the sentinels around it tell; then it is stored anew

After each step the file is read back. What a file system shows is not all that its disk holds: tests/examples searches
the disk itself. Exit code 1: the page was kept. A file system in memory does that (and its file may be swapped: name a
directory on a disk), and so does Windows until memory is short.

What it does not do: lock, so a hibernation writes the page; overwrite what a journal or an SSD keeps of the first file;
help at the moment of a write-back, during which a store may still go to the disk. ``VolatileBuffer`` and ``FileBuffer``
are made of such pages, with guards around them, and closed at rest (docs/unlocked.md).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import sys
import tempfile

from strongroom.vm import PAGE_SIZE
from strongroom.vm.win32 import (
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    MEM_MAPPED,
    MEMORY_BASIC_INFORMATION,
    PAGE_READWRITE,
    CloseHandle,
    CreateFileMapping,
    FlushViewOfFile,
    MapViewOfFile,
    UnmapViewOfFile,
    VirtualQuery,
    Win32Error,
)

PARTIAL_SIZE = 512  # bytes of file, a sector: none of the others of the page has a place on the disk
SENTINEL_SIZE = 16  # random bytes before and behind the secret: whatever the system clears takes one of them first
PIECE_SIZE = 8  # bytes of the secret that are looked for in the file: fewer may be there by chance
TRIES = 5


def create_file(directory: str) -> int:
    """CreateFile(CREATE_NEW, FILE_ATTRIBUTE_TEMPORARY, FILE_FLAG_DELETE_ON_CLOSE): a new file, gone when it is closed.

    On Linux it has no name meanwhile either, where the file system can do that (open(2), O_TMPFILE).
    """
    if sys.platform == "win32":
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_BINARY | os.O_NOINHERIT | os.O_SHORT_LIVED | os.O_TEMPORARY
        return os.open(os.path.join(directory, f"win32-vm-safe-{secrets.token_hex(8)}"), flags, 0o600)
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return os.dup(file.fileno())


class VmSafe:
    """The page: the mail's win32vmSafeInit makes it, its win32vmSafeFree ends it."""

    def __init__(self, directory: str, map_size: int) -> None:
        self.file = create_file(directory)
        try:
            os.write(self.file, bytes(map_size))  # else a store into a full disk is a fault, not an error
            self.section = CreateFileMapping(self.file, None, PAGE_READWRITE, 0, map_size, None)
            try:
                self.view = MapViewOfFile(self.section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0)
            except Win32Error:
                CloseHandle(self.section)
                raise
        except BaseException:
            os.close(self.file)
            raise
        # The mail's unsigned char *pagepointer. All of the page is there, whatever of it the file has.
        self.page = memoryview((ctypes.c_ubyte * PAGE_SIZE).from_address(self.view)).cast("B")
        self.start = map_size % PAGE_SIZE  # behind the file's end, if that is within the page
        self.before, self.behind = secrets.token_bytes(SENTINEL_SIZE), secrets.token_bytes(SENTINEL_SIZE)

    def store(self, secret: bytes) -> None:
        """Store a sentinel, the secret, and at the end of the page a sentinel."""
        at = self.start + SENTINEL_SIZE
        self.page[at : at + len(secret)] = secret
        self.page[self.start : at] = self.before
        self.page[-SENTINEL_SIZE:] = self.behind

    def take(self, size: int) -> bytes | None:
        """Read so many bytes of secret; nothing if they are lost. The look comes after the reading, not before."""
        at = self.start + SENTINEL_SIZE
        found = bytes(self.page[at : at + size])
        is_intact = self.page[self.start : at] == self.before and self.page[-SENTINEL_SIZE:] == self.behind
        return found if is_intact else None

    def write_back(self) -> None:
        """Have the system do what it does by itself when memory is short, or after half a minute."""
        FlushViewOfFile(self.view, 0)
        os.fsync(self.file)  # FlushFileBuffers: FlushViewOfFile does not wait for the disk on Windows

    def read_back(self) -> bytes:
        """The file as anybody reads it, past the view."""
        os.lseek(self.file, 0, os.SEEK_SET)
        return os.read(self.file, 2 * PAGE_SIZE)

    def burn(self) -> None:
        """Overwrite the page, and the file with it."""
        self.page[:] = bytes(PAGE_SIZE)
        self.write_back()

    def free(self) -> None:
        """Burn, whatever was done before, and give back the page and the file."""
        try:
            self.burn()
        finally:
            self.page.release()
            UnmapViewOfFile(self.view)
            CloseHandle(self.section)
            os.close(self.file)


def pieces_in(content: bytes, secret: bytes) -> int:
    """Tell how many pieces of the secret lie somewhere in a content."""
    return sum(secret[at : at + PIECE_SIZE] in content for at in range(0, len(secret), PIECE_SIZE))


def use(safe: VmSafe, secret: bytes) -> None:
    """Store and use it, and if it was lost meanwhile start again: the mail's "abort or restart"."""
    for _ in range(TRIES):
        safe.store(secret)
        if safe.take(len(secret)) == secret:
            return
    raise RuntimeError(f"the page was dropped {TRIES} times: this machine has no memory to spare")


def show(step: str, is_there: bool, safe: VmSafe, secret: bytes) -> None:
    """Print what has become of the secret, in the page and in the file."""
    content = safe.read_back()
    found, pieces = pieces_in(content, secret), len(secret) // PIECE_SIZE
    where = "in the page" if is_there else "not in the page"
    print(f"  {step:5}  the secret is {where}; in the file of {len(content):,} bytes {found} of its {pieces} pieces")


def play(directory: str, map_size: int, secret: bytes) -> bool:
    """Play the sequence, and tell whether the secret outlived being written back."""
    safe = VmSafe(directory, map_size)
    try:
        about = MEMORY_BASIC_INFORMATION()
        VirtualQuery(safe.view, about)
        kind = "MEM_MAPPED, the file's" if about.Type == MEM_MAPPED else f"of type {about.Type:#x}"
        print(f"CreateFileMapping of {map_size:,} bytes: the page is {kind}")
        show("init", safe.take(len(secret)) is not None, safe, secret)
        use(safe, secret)
        show("use", True, safe, secret)
        safe.write_back()
        is_kept = safe.take(len(secret)) == secret
        show("flush", is_kept, safe, secret)
        if not is_kept:  # the sentinels told
            use(safe, secret)
            show("anew", True, safe, secret)
        safe.burn()
        show("burn", safe.take(len(secret)) is not None, safe, secret)
    finally:
        safe.free()
    return is_kept


def main() -> int:
    """Play it with the whole page, then with 512 bytes."""
    parser = argparse.ArgumentParser(description="show where a mapped file's page goes, and where it does not")
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where the file is to lie: on a disk")
    directory = parser.parse_args().directory
    secret = secrets.token_bytes(32)
    try:
        play(directory, PAGE_SIZE, secret)
        is_kept = play(directory, PARTIAL_SIZE, secret)
    except (OSError, RuntimeError) as error:
        print(f"win32_vm_safe: {error}", file=sys.stderr)
        return 1
    if is_kept:
        print(f"win32_vm_safe: {directory} kept what lies behind the file's end: is it in memory?", file=sys.stderr)
    return int(is_kept)


if __name__ == "__main__":
    sys.exit(main())
