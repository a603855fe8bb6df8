"""What prove alters on the machine. Each change can describe itself, is journaled, then made, then undone.

In: paths and values chosen beforehand, so that the announcement names exactly what will be done. A change is
used as `with changes.made(SwapFile(...)):`; the block's end undoes it by the very code the janitor uses.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

from strongroom.prove.journal import Journal, open_private
from strongroom.prove.undo import undo

MIB = 1 << 20
SWAP_SIZE = 48 * MIB  # a victim is 10-20 MiB; larger only takes longer to write and to search
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SWAP_FLAG_PREFER = 0x8000  # swapon(2)
_HIGHEST_PRIORITY = 0x7FFF
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_NOCOW_FL = 0x80086601, 0x40086602, 0x00800000  # ioctl_iflags(2)


class Change(Protocol):
    """Anything prove alters."""

    def record(self) -> dict[str, Any]:
        """What the journal needs to undo it."""

    def describe(self) -> tuple[str, str]:
        """(what, details) for the announcement."""

    def apply(self) -> None:
        """Make it."""


class Directory:
    """A private folder for cores and the swap file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {"do": "directory", "path": self.path}

    def describe(self) -> tuple[str, str]:
        """For the announcement."""
        return "folder", self.path

    def apply(self) -> None:
        """Make it."""
        os.mkdir(self.path, 0o700)
        os.chmod(self.path, 0o700)


class SwapFile:
    """A swap file that the kernel prefers to any other swap of the machine."""

    def __init__(self, path: str, size: int = SWAP_SIZE) -> None:
        self.path, self.size = path, size

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {"do": "swap", "path": self.path}

    def describe(self) -> tuple[str, str]:
        """For the announcement."""
        return "swap file", f"{self.path}, {self.size // MIB} MiB, highest priority; overwritten at the end"

    def apply(self) -> None:
        """Make it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            _no_copy_on_write(descriptor)
            # Really written, not fallocated: ext4 reads unwritten extents as zeros even after the kernel
            # has swapped to the blocks beneath, and the raw scan would find nothing.
            zeros = memoryview(bytes(MIB))
            os.write(descriptor, swap_header(self.size // _PAGE))
            left = self.size - _PAGE
            while left:
                left -= os.write(descriptor, zeros[: min(left, MIB)])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.swapon(os.fsencode(self.path), _SWAP_FLAG_PREFER | _HIGHEST_PRIORITY) != 0:
            error = ctypes.get_errno()
            raise OSError(error, "swapon: " + os.strerror(error))


def swap_header(page_count: int) -> bytes:
    """The first page of a swap area: what mkswap(8) writes (include/linux/swap.h, union swap_header)."""
    page = bytearray(_PAGE)
    struct.pack_into("=III16s", page, 1024, 1, page_count - 1, 0, uuid.uuid4().bytes)
    page[-10:] = b"SWAPSPACE2"
    return bytes(page)


def _no_copy_on_write(descriptor: int) -> None:
    """btrfs refuses swap files that it may relocate; elsewhere the flag is unknown and harmless."""
    try:
        flags = bytearray(8)
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        value = int.from_bytes(flags[:4], sys.byteorder) | _FS_NOCOW_FL
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, value.to_bytes(4, sys.byteorder) + bytes(4))
    except OSError:
        pass


class Setting:
    """A value under /proc/sys or /sys."""

    def __init__(self, path: str, ours: str) -> None:
        self.path, self.ours = path, ours
        with open(path, encoding="utf-8") as file:
            self.original = file.read().rstrip("\n")

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {"do": "setting", "path": self.path, "original": self.original, "ours": self.ours}

    def describe(self) -> tuple[str, str]:
        """For the announcement."""
        return "setting", f"{self.path}: {self.original!r} becomes {self.ours!r} for the length of one trial"

    def apply(self) -> None:
        """Make it."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(self.ours + "\n")


class Cgroup:
    """A control group for victims only, so that nothing else on the machine comes under pressure."""

    def __init__(self, path: str, settings: dict[str, str]) -> None:
        self.path, self.settings = path, settings

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {"do": "cgroup", "path": self.path}

    def describe(self) -> tuple[str, str]:
        """For the announcement."""
        return "control group", f"{self.path}, for the victims only"

    def apply(self) -> None:
        """Make it."""
        os.mkdir(self.path, 0o755)
        for name, value in self.settings.items():
            with contextlib.suppress(OSError), open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
                file.write(value)


class Changes:
    """Makes changes, journal first, and takes them back at the end of their block."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @contextlib.contextmanager
    def made(self, change: Change) -> Iterator[None]:
        """Make a change for the length of a block."""
        # The record is built once: undoing must use what was journaled, not what the system says by then.
        record = change.record()
        number = self._journal.record(record)
        try:
            change.apply()
            yield
        finally:
            # What cannot be undone here stays in the journal: the janitor tries again, and reports.
            if undo(record) is None:
                self._journal.undone(number)


class MachineLock:
    """One prove at a time may change what the whole machine shares.

    flock belongs to the open file, not to the process: the janitor inherits the descriptor, so the lock
    outlives a killed prove until everything is restored. Otherwise a second prove could read the first one's
    core_pattern, take it for the machine's own and "restore" it.
    """

    def __init__(self, path: str) -> None:
        self.descriptor = open_private(path, os.O_RDWR)

    def __enter__(self) -> MachineLock:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the next one in (the janitor has ended by now, or lets go when it does)."""
        os.close(self.descriptor)

    def take(self, wait_seconds: float) -> bool:
        """Wait for our turn; False if it did not come."""
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
