"""What is known of memory that nothing locks: evidence for droppable pages, partial pages and private files, and for
ordinary pages whose lock was refused.

Two promises are never confused here. Kept *in* memory: none of these is, LOCKED says so for each. Never copied *out*:
that is NEVER_WRITTEN, and here it is what they are for, or what they are not.
"""

from __future__ import annotations

import os

from strongroom import guarantees as words
from strongroom._os import PLATFORM, filesystems, limits, memorydisks, power
from strongroom.guarantees import Evidence, Guarantees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom._os import procfs

__all__ = ["SERVES", "judge_ordinary", "judge_stand_in", "judge_unlocked", "place_of"]

#: What each of them is, for who asked for locked memory.
SERVES = {
    "droppable": "droppable pages, which vanish when memory is short",
    "partial": "a partial page, which vanishes about 30 seconds after it is stored and when memory is short",
    "file": "a private file",
}

_GOES_WITHOUT = "The policy lets it go without: ordinary pages (on_shortfall='raise' and LOCKED required forbid that)"

_SMAPS = "/proc/self/smaps, proc_pid_smaps(5)"
_DELETED = " (deleted)"

_NOT_LOCKED = {
    "droppable": "droppable pages cannot be locked: mlock(2) says yes and locks nothing. They go when memory is short",
    "partial": "not asked for (lock='try' asks): the page goes when memory is short, and when it is written back",
    "file": "not asked for: the pages go to their own file when memory is short, and come back from there",
}
_READERS = {
    "linux": "root, and where ptrace(2) allows it the same user, reads them: proc_pid_mem(5)",
    "windows": "whoever may open this process with PROCESS_VM_READ reads them: ReadProcessMemory (memoryapi.h)",
}
_ANY_READERS = "a debugger, and who the system lets act as one, reads them"
_MOVES = {"linux": "the kernel may move a page and leave the old copy in free RAM: admin-guide/sysctl/vm.rst"}
_ANY_MOVES = "nothing keeps a page in its place in RAM"
_SWAPPED = (
    "these pages are not locked: when memory is short they go to the swap like any other, and a hibernation writes them"
)
_HIBERNATES = "a hibernation, which this machine may be able to, would write all of memory"
_PARTIAL = {
    "linux": "what lies behind the end of a file is cleared when its page is written back (fs/ext4/page-io.c, "
    "fs/iomap/buffered-io.c); tried out when it was made. What is stored at that very moment may reach the disk (seen "
    "on Linux 6.18 with ext4)",
    "windows": "what lies behind the end of a file is not written with its page, and is zeros when that is read again: "
    "tried out when it was made (CreateFileMapping, FlushViewOfFile; memoryapi.h)",
}
_ANY_PARTIAL = "what lies behind the end of a file is cleared when its page is written back: tried out when it was made"


def place_of(path: str, device: tuple[int, int]) -> str:
    """What is known of the file system where a nameless file was made.

    Args:
        path: What the listing calls it. What is there now may be something else: of a file system that was unmounted,
            but for who is still in it, the listing gives the path within.
        device: The number of the file system, in the listing too.
    """
    try:
        directory = os.path.dirname(path.removesuffix(_DELETED))
        found = filesystems.find(directory.replace("\\012", "\n")) if directory else None
    except OSError:  # the directory was removed, or its device is gone
        found = None
    if found is None or device not in (found.device, None if found.below is None else found.below.device):
        return filesystems.UNKNOWN
    return "; ".join((found.describe(), *found.caveats))


def _never_written(backing: str, pages: list[procfs.Mapping], now: float) -> Evidence:
    if backing == "file":
        where = place_of(pages[0].path, pages[0].device) if pages else filesystems.UNKNOWN
        where += f"; {memorydisks.UNTOLD[PLATFORM]}" if PLATFORM in memorydisks.UNTOLD else ""
        return Evidence(words.UNAVAILABLE, f"written to a private file, which is burned at the end: {where}", now)
    if backing == "partial":
        return Evidence(words.REQUESTED, _PARTIAL.get(PLATFORM, _ANY_PARTIAL), now)
    if not pages or not all(m.flags for m in pages):
        return Evidence(words.REQUESTED, "mmap(2) MAP_DROPPABLE: succeeded, not read back", now)
    if not all("dp" in m.flags for m in pages):
        return Evidence(words.REFUSED, f"{_SMAPS}: the call succeeded, but VmFlags lacks dp", now)
    if PLATFORM == "linux" and power.can_hibernate():
        return Evidence(words.REQUESTED, f"{_SMAPS}: VmFlags has dp, never swapped; but {_HIBERNATES}", now)
    return Evidence(words.VERIFIED, f"{_SMAPS}: VmFlags has dp: dropped when memory is short, never swapped", now)


def judge_unlocked(found: Guarantees, backing: str, pages: list[procfs.Mapping], now: float) -> None:
    """Change what was judged of locked pages to what is true of these.

    Args:
        found: Is changed.
        backing: ``"droppable"``, ``"partial"`` or ``"file"``.
        pages: What the kernel's listing says of them; none where there is no such listing.
        now: Seconds since the epoch.
    """
    if found[words.LOCKED].state == words.UNAVAILABLE:
        found[words.LOCKED] = Evidence(words.UNAVAILABLE, _NOT_LOCKED[backing], now)
    _judge_unlike_locked(found, _never_written(backing, pages, now), now)


def judge_ordinary(found: Guarantees, now: float) -> None:
    """Change what was judged of locked pages to what is true of pages that were to be locked, and are not.

    Args:
        found: Is changed, unless the pages turned out to be locked all the same, or nothing says that they are not.
        now: Seconds since the epoch.
    """
    if found[words.LOCKED].state in (words.REFUSED, words.UNAVAILABLE):
        _judge_unlike_locked(found, Evidence(words.UNAVAILABLE, _SWAPPED, now), now)


def _judge_unlike_locked(found: Guarantees, never_written: Evidence, now: float) -> None:
    found[words.UNREADABLE_BY_OTHERS] = Evidence(words.UNAVAILABLE, _READERS.get(PLATFORM, _ANY_READERS), now)
    found[words.NO_MIGRATION] = Evidence(words.UNAVAILABLE, _MOVES.get(PLATFORM, _ANY_MOVES), now)
    found[words.NEVER_WRITTEN] = never_written


def judge_stand_in(found: Guarantees, backing: str) -> None:
    """Say of what is there instead of locked memory what it is, why, and what would have it locked.

    Args:
        found: Is changed. That it was refused is there already, with the call and its error; unless the pages turned
            out to be locked all the same (mlockall(2) of the program).
        backing: ``"droppable"``, ``"partial"`` or ``"file"`` for what stands in; else ordinary pages, unlocked.
    """
    lock = found[words.LOCKED]
    if lock.state == words.REFUSED:
        serves = SERVES.get(backing)
        instead = f"The fallback of the policy serves instead: {serves}" if serves else _GOES_WITHOUT
        source = f"{lock.source}. {instead}. To have it locked, raise the lock limit. {limits.remedies()}"
        found[words.LOCKED] = Evidence(words.REFUSED, source, lock.time)
