"""Putting changes back: one function per kind of change, each harmless when there is nothing to undo.

In: a journal's record. Out: None when the machine is as it was, or a sentence that says what is left. Called by
prove itself at the end of each change, by the janitor when prove died, and by `prove --restore` when both did.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import stat
import time
from typing import Any

from . import journal, mounts

WORK_PREFIX = "strongroom-prove-"
_BURN_SIZE = 1 << 20
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_BLOCK_DEVICES = "/sys/block"
_LOOP_CLR_FD = 0x4C01  # loop(4)
_UMOUNT_NOFOLLOW = 8  # umount2(2)


def undo(record: dict[str, Any]) -> str | None:
    """Undo one change."""
    try:
        return _HOW[record["do"]](record)
    except OSError as error:
        return f"{record['do']}: {error.strerror or error} ({record.get('path', '')})"


def kill_marked(marker: str) -> str | None:
    """End every process that carries this run's marker in its environment.

    By pidfd, opened before the environment is read: the process looked at is the one that gets the signal, even
    if its pid has been given to another in between. Repeated until none is left and none is just being started,
    whose environment cannot be known yet.
    """
    wanted = b"STRONGROOM_PROVE=" + marker.encode()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = 0
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                found += _kill_if_marked(int(name), wanted)
        if not found:
            return None
        if time.monotonic() > deadline:
            return f"{found} processes of run {marker} do not end"
        time.sleep(_PAUSE_SECONDS)


def _kill_if_marked(pid: int, wanted: bytes) -> bool:
    """Whether this process has to be looked at again: it was marked, or may yet turn out to be."""
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return False
        handle = -1  # Linux before 5.3, or a sandbox: then the start time has to say who it is
    try:
        started = journal.start_time(pid)
        environment = _environment(pid)
        if not environment:
            if journal.is_starting(pid):
                return True
            environment = _environment(pid)  # it may have come there between the two questions
        if wanted not in environment.split(b"\0"):
            return False
        if handle >= 0:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        elif started is not None and started == journal.start_time(pid):
            os.kill(pid, signal.SIGKILL)
        return True
    except OSError:
        return False  # not ours to read, or gone
    finally:
        if handle >= 0:
            os.close(handle)


def _environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def _undo_directory(record: dict[str, Any]) -> str | None:
    path = record["path"]
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or WORK_PREFIX not in path:
        return f"{path} is not a folder of ours: left alone"
    shutil.rmtree(path)  # does not follow symbolic links (shutil.rmtree.avoids_symlink_attacks)
    return None


def _is_swap(path: str) -> bool:
    with open("/proc/swaps", encoding="utf-8", errors="replace") as file:
        return any(line.startswith(path.replace(" ", "\\040") + " ") for line in file)


def _undo_swap(record: dict[str, Any]) -> str | None:
    path = record["path"]
    libc = ctypes.CDLL(None, use_errno=True)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while libc.swapoff(os.fsencode(path)) != 0:
        error = ctypes.get_errno()
        # EPERM comes before the kernel looks: without privilege nothing can have been switched on by us either.
        if error in (errno.EINVAL, errno.ENOENT) or (error == errno.EPERM and not _is_swap(path)):
            break  # never switched on, or off already
        if time.monotonic() > deadline:
            return f"swapoff {path}: {os.strerror(error)}"
        time.sleep(_PAUSE_SECONDS)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    # Burn it: swapoff leaves what was swapped on the disk, and under pressure that may have been anybody's.
    try:
        zeros = bytes(_BURN_SIZE)
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= os.write(descriptor, zeros[: min(left, _BURN_SIZE)])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.unlink(path)
    return None


def _undo_setting(record: dict[str, Any]) -> str | None:
    path = record["path"]
    with open(path, encoding="utf-8") as file:
        now = file.read().rstrip("\n")
    if now != record["ours"]:
        return None  # never set, put back already, or somebody else has set it since: theirs to keep
    with open(path, "w", encoding="utf-8") as file:
        file.write(record["original"] + "\n")
    return None


def _kill_group(path: str) -> None:
    """End what is in a control group: only victims are ever put in."""
    try:
        descriptor = os.open(os.path.join(path, "cgroup.kill"), os.O_WRONLY | os.O_CLOEXEC)  # v2, Linux 5.14
    except OSError:
        descriptor = -1
    if descriptor >= 0:
        try:
            os.write(descriptor, b"1")
        finally:
            os.close(descriptor)
        return
    with open(os.path.join(path, "cgroup.procs"), encoding="utf-8") as file:
        for line in file:
            # Processes of other pid namespaces are listed as 0, which to kill(2) means our own process group.
            if (pid := int(line)) > 0:
                os.kill(pid, signal.SIGKILL)


def _undo_cgroup(record: dict[str, Any]) -> str | None:
    path = record["path"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            _kill_group(path)
            os.rmdir(path)
            return None
        except FileNotFoundError:
            return None
        except ProcessLookupError:
            pass
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{path}: {error.strerror}"
        time.sleep(_PAUSE_SECONDS)  # the kernel lets the last page and process go a moment after the kill


def loops_of(image: str) -> list[str]:
    """The loop devices behind which an image is, by the kernel's own account; also if it is deleted by now."""
    found = []
    for name in os.listdir(_BLOCK_DEVICES):
        if name.startswith("loop"):
            with contextlib.suppress(OSError):  # no file behind it
                path = os.path.join(_BLOCK_DEVICES, name, "loop", "backing_file")
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    if file.read().rstrip("\n").removesuffix(" (deleted)") == image:
                        found.append("/dev/" + name)
    return found


def _undo_disk(record: dict[str, Any]) -> str | None:
    image, point = record["path"], record["point"]
    if WORK_PREFIX not in image or WORK_PREFIX not in point:
        return f"{image} is not an image of ours: left alone"
    libc = ctypes.CDLL(None, use_errno=True)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        is_mounted, error = any(mount.point == point for mount in mounts.listed()), 0
        if is_mounted and libc.umount2(os.fsencode(point), _UMOUNT_NOFOLLOW) != 0:
            error = ctypes.get_errno()  # EBUSY: a victim that was killed is not quite gone
        # A mount lets go of its loop device by itself; one that never got that far is let go of here.
        loops = loops_of(image) if os.path.isdir(_BLOCK_DEVICES) else []
        for loop in () if is_mounted else loops:
            with contextlib.suppress(OSError):
                descriptor = os.open(loop, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(descriptor, _LOOP_CLR_FD)
                finally:
                    os.close(descriptor)
        if not is_mounted and not loops:
            break
        if time.monotonic() > deadline:
            return f"{point} is still mounted: {os.strerror(error)}" if is_mounted else f"{loops[0]} is still in use"
        time.sleep(_PAUSE_SECONDS if error or not is_mounted else 0)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(image)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(point)
    return None


_HOW = {
    "directory": _undo_directory,
    "swap": _undo_swap,
    "setting": _undo_setting,
    "cgroup": _undo_cgroup,
    "disk": _undo_disk,
}


def settle(path: str) -> list[str]:
    """Undo everything a journal still holds, then remove it; returns what could not be undone.

    Locked, so that a janitor and a `--restore` that meet do not trip over each other.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink == 0:
            return []  # the other one was faster
        story = journal.Story(path)
        marker = story.run.get("run", "")
        problems = [kill_marked(marker)] if marker and story.run.get("boot") == journal.boot_id() else []
        problems += [undo(record) for record in reversed(story.pending)]
        left = [problem for problem in problems if problem]
        if not left:
            os.unlink(path)
            with contextlib.suppress(OSError):  # not empty: another run's journal, or the lock, is in it
                os.rmdir(os.path.dirname(path))
        return left
    finally:
        os.close(descriptor)
