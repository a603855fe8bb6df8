"""What can be tried on this machine, read from the machine; and the plan of changes that follows from it.

In: /proc and /sys. Out: facts, and for each thing that cannot be done a reason in the words of a table cell
("needs …"). Changes nothing.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import resource
import tempfile

from . import mounts

CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 19, 21, 24  # capabilities(7)
CORE_PATTERN = "/proc/sys/kernel/core_pattern"
ZSWAP = "/sys/module/zswap/parameters/enabled"
_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_MAP_DROPPABLE = 8  # mmap(2), Linux 6.11; a type of mapping of its own, beside private and shared
_CORE_PATTERN_MAX = 127  # core(5)
# File systems on which swapon(2) works with a plain file.
_SWAPPABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
# Only folders are chosen here: what is put into them has a random name and is made exclusively.
SWAP_FOLDERS = ("/var/tmp", "/var/lib", "/tmp", "/")  # noqa: S108


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def effective_capabilities(status: str) -> int:
    """The CapEff set of a /proc/PID/status text."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def swap_areas(text: str) -> list[str]:
    """The swap areas in a /proc/swaps text."""
    return [line.split()[0] for line in text.splitlines()[1:] if line.split()]


def where_cores_go(pattern: str) -> str:
    """Return `here` (the process's own folder), `elsewhere` (another folder) or `piped` (to a program, a socket)."""
    if pattern.startswith(("|", "@")):  # @: a socket, since Linux 6.16
        return "piped"
    return "elsewhere" if "/" in pattern else "here"


def _has_droppable() -> bool:
    """Whether the kernel knows pages that it may drop: it refuses the flag where it does not."""
    with contextlib.suppress(OSError, ValueError):
        mmap.mmap(-1, mmap.PAGESIZE, flags=_MAP_DROPPABLE | mmap.MAP_ANONYMOUS).close()
        return True
    return False


class Machine:
    """The facts, read once at the start of a run."""

    def __init__(self) -> None:
        self.system, _, self.release, _, self.architecture, _ = platform.uname()  # to be shown, not to decide by
        self.is_root = os.geteuid() == 0
        self.capabilities = effective_capabilities(_text("/proc/self/status") or "")
        self.swaps = swap_areas(_text("/proc/swaps") or "")
        self.core_pattern = (_text(CORE_PATTERN) or "").rstrip("\n")
        self.core_limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
        yama = _text(_YAMA)
        self.ptrace_scope = int(yama) if yama is not None else 0
        self.has_droppable = _has_droppable()
        self.has_zswap = (_text(ZSWAP) or "").strip() == "Y"

    def has(self, capability: int) -> bool:
        """True if this process has the capability."""
        return bool(self.capabilities >> capability & 1)

    @property
    def can_make_swap(self) -> bool:
        """True if swapon(2) is ours to call."""
        return self.is_root and self.has(CAP_SYS_ADMIN)

    @property
    def can_set_core_pattern(self) -> bool:
        """True if the file can really be written: in many containers /proc/sys is read-only even to root."""
        return self.is_root and os.access(CORE_PATTERN, os.W_OK)


def work_folder_parent(size: int, wanted: str | None, *, for_swap: bool) -> tuple[str, bool]:
    """(folder for the run's own folder, can a swap file of `size` bytes lie there)."""
    if not for_swap:
        return wanted or tempfile.gettempdir(), False
    mounted: list[mounts.Mount] = []
    with contextlib.suppress(OSError):  # no /proc: nothing is known to be fit for it
        mounted = mounts.listed()
    for folder in (wanted,) if wanted else SWAP_FOLDERS:
        if not os.access(folder, os.W_OK) or mounts.kind_of(folder, mounted) not in _SWAPPABLE:
            continue
        space = os.statvfs(folder)
        if space.f_bavail * space.f_frsize > 2 * size:
            return folder, True
    return wanted or tempfile.gettempdir(), False


def fits_core_pattern(path: str) -> bool:
    """core(5) cuts longer patterns off."""
    return len(os.fsencode(path)) <= _CORE_PATTERN_MAX and "%" not in path
