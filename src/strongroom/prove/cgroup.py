"""Memory pressure for one group of processes: cgroup v1 `memory.force_empty`, v2 `memory.reclaim`.

In: /proc/self/cgroup and /proc/self/mountinfo. Out: where a group may be made, or None; and a push that evicts
everything the kernel is able to evict from that group, and from nothing else.
"""

from __future__ import annotations

import contextlib
import os
import time

from . import mounts

_SETTLE_SECONDS = 2.0
_PAUSE_SECONDS = 0.01


class Place:
    """A folder in which a group with a memory controller can be made."""

    def __init__(self, version: int, folder: str) -> None:
        self.version, self.folder = version, folder

    def settings(self) -> dict[str, str]:
        """What to set in a new group: swap eagerly, whatever the machine's swappiness (v2 has no such knob)."""
        return {"memory.swappiness": "100"} if self.version == 1 else {}


def _mount_of(mounted: list[mounts.Mount], kind: str, option: str) -> tuple[str, str] | None:
    """(mount point, root within the file system) of a cgroup mount."""
    for mount in mounted:
        if mount.kind == kind and (not option or option in mount.options):
            return mount.point, mount.root
    return None


def locate(cgroup: str, mounted: list[mounts.Mount]) -> tuple[int, str, str] | None:
    """(version, mount point, our own group's folder) of the hierarchy that has the memory controller."""
    groups = {}
    for line in cgroup.splitlines():
        number, controllers, path = line.split(":", 2)
        groups["2" if number == "0" and not controllers else controllers] = path
    v1 = next((p for names, p in groups.items() if "memory" in names.split(",")), None)
    if v1 is not None and (mount := _mount_of(mounted, "cgroup", "memory")):
        return 1, mount[0], mount[0] + _inside(v1, mount[1])
    if "2" in groups and (mount := _mount_of(mounted, "cgroup2", "")):
        return 2, mount[0], mount[0] + _inside(groups["2"], mount[1])
    return None


def _inside(path: str, root: str) -> str:
    """A group's path below its mount, whose root may itself be a group (in containers)."""
    if root != "/" and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return "" if path in ("", "/") or path.startswith("/..") else path


def find_place() -> Place | None:
    """Where our group can go, or None."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            located = locate(file.read(), mounts.listed())
    except OSError:
        return None
    if located is None:
        return None
    version, mount, folder = located
    if version == 1:
        folder = folder if os.path.isdir(folder) else mount
        return Place(1, folder) if os.access(folder, os.W_OK) else None
    # v2 hands a controller down only from groups that hold no processes themselves: go up until one does.
    while folder.startswith(mount):
        try:
            with open(os.path.join(folder, "cgroup.subtree_control"), encoding="utf-8") as file:
                if "memory" in file.read().split() and os.access(folder, os.W_OK):
                    return Place(2, folder)
        except OSError:
            pass
        folder = os.path.dirname(folder)
    return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def evict(version: int, group: str) -> None:
    """Push everything out that can be pushed out, and wait until the kernel has written it."""
    with contextlib.suppress(OSError):  # EAGAIN: reclaimed less than asked for, the rest is locked or in use
        if version == 1:
            with open(os.path.join(group, "memory.force_empty"), "w", encoding="utf-8") as file:
                file.write("0")
        else:
            size = int(_read(os.path.join(group, "memory.current")))
            with open(os.path.join(group, "memory.reclaim"), "w", encoding="utf-8") as file:
                file.write(str(size))
    wait_until_written(os.path.join(group, "memory.stat"))


def wait_until_written(counters: str = "/proc/vmstat") -> None:
    """Wait until nothing is on its way to the disk: a page can be out of the process and not yet in the swap file.

    Not for ever: without a group of our own the counters are the whole machine's, and somebody always writes.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _writing(_read(counters)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _writing(text: str) -> bool:
    """True if memory.stat (v1, v2) or /proc/vmstat counts pages under write-back."""
    counts = (line.partition(" ") for line in text.splitlines())
    return any(int(value) > 0 for name, _, value in counts if name in ("writeback", "file_writeback", "nr_writeback"))
