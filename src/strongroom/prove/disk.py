"""A disk of prove's own: an image file with ext4 in it, behind a loop device, mounted in the run's folder.

What a program writes to a file lands in the image, and the image can be read raw, below the file system: free blocks,
journal and all. That makes it a disk whose every byte can be searched, and on which nobody else writes.

In: a folder and the path of mkfs.ext4. Out: a change like any other (announced, journaled, undone by undo.py). Loop
device and mount are made by the system calls themselves, so that nothing but mkfs.ext4 has to be there. The device
clears itself when its last user closes it: killed before the mount, nothing of it stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

from strongroom.prove import mounts, spawn
from strongroom.prove.machine import CAP_SYS_ADMIN, Machine

MIB = 1 << 20
DISK_SIZE = 32 * MIB  # room for ext4 with a journal; larger only takes longer to search. Sparse: see docs/prove.md
IMAGE, POINT = "disk.image", "disk"
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_LOOP_CONTROL = "/dev/loop-control"
_LOOP_SET_FD, _LOOP_SET_STATUS64, _LOOP_CTL_GET_FREE = 0x4C00, 0x4C04, 0x4C82  # loop(4)
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_INFO = "=5Q4I64s64s32s2Q"  # struct loop_info64
_LOOP_TRIES = 8  # another program may take the free device between the question and the answer
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8  # mount(2)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MKFS_SECONDS = 30.0
# Whole blocks of a page, whatever the size of the image makes mkfs think: with blocks of 1 KiB the kernel would not
# even try to write the end of a page behind the end of its file. Nothing is left to do later in the background.
_MKFS_OPTIONS = ("-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0")


def mkfs_path() -> str | None:
    """Where mkfs.ext4 is, also if the folders of root's programs are not on the path."""
    return shutil.which("mkfs.ext4", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def needs(machine: Machine, folder: str, *, no_changes: bool) -> str:
    """Why there can be no such disk in a folder; empty if there can."""
    if not machine.is_root:
        return "needs root"
    if no_changes:
        return "needs changes: a disk image"
    if not machine.has(CAP_SYS_ADMIN):
        return "needs CAP_SYS_ADMIN"
    if mkfs_path() is None:
        return "needs mkfs.ext4"
    if mounts.kind_of(folder, mounts.listed()) in _IN_MEMORY:
        return "needs --folder on a disk"  # what lies in memory can go to a swap of the machine's
    return "" if os.path.exists(_LOOP_CONTROL) else f"needs {_LOOP_CONTROL}"


class Disk:
    """The image, its loop device and its mount."""

    def __init__(self, folder: str, marker: str, size: int = DISK_SIZE) -> None:
        self.path, self.point = os.path.join(folder, IMAGE), os.path.join(folder, POINT)
        self._marker, self.size = marker, size

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {"do": "disk", "path": self.path, "point": self.point}

    def describe(self) -> tuple[str, str]:
        """For the announcement."""
        return "disk image", f"{self.path}, {self.size // MIB} MiB, ext4, through a loop device mounted at {self.point}"

    def apply(self) -> None:
        """Make it."""
        image = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(image, self.size)
            self._make_file_system()
            os.mkdir(self.point, 0o700)
            with _undisturbed():
                loop, device = _attach(image, self.path)
                try:
                    _mount(device, self.point)
                finally:
                    os.close(loop)  # the mount holds the device; without one it is let go of here
        finally:
            os.close(image)

    def _make_file_system(self) -> None:
        program = mkfs_path()
        if program is None:
            raise FileNotFoundError(errno.ENOENT, "mkfs.ext4 is gone")
        process = spawn.start(
            [program, *_MKFS_OPTIONS, self.path], self._marker,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            errors = process.communicate(timeout=_MKFS_SECONDS)[1]
        except subprocess.TimeoutExpired:
            raise OSError(errno.ETIMEDOUT, "mkfs.ext4 did not end") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            last = errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
            raise OSError(errno.EIO, f"mkfs.ext4 ended with {process.returncode}: {last}")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No signal ends us in between: an open device that nobody closes could not be let go of as long as we live."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attach(image: int, path: str) -> tuple[int, str]:
    """Put the image behind a free loop device that clears itself; returns the open device and its path."""
    control = os.open(_LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for attempt in range(_LOOP_TRIES):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_SET_FD, image)
                name = os.fsencode(path)[:63]
                info = struct.pack(_LOOP_INFO, *[0] * 8, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
                fcntl.ioctl(loop, _LOOP_SET_STATUS64, info)
                return loop, device
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY or attempt == _LOOP_TRIES - 1:
                    raise
    finally:
        os.close(control)
    raise AssertionError("the last try returns or raises")


def _mount(device: str, point: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    if libc.mount(os.fsencode(device), os.fsencode(point), b"ext4", flags, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "mount: " + os.strerror(error))
