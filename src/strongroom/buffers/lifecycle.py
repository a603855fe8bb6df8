"""Everything at once: how much there is, and its end."""

from __future__ import annotations

import warnings

from strongroom import _native
from strongroom.buffers import counting  # now: who asks may have no file descriptor left to read it with
from strongroom.exceptions import StrongroomWarning, SystemCallError

__all__ = ["purge", "stats"]


def stats() -> counting.Stats:
    """Say how much protected memory this process holds, in which backings, and how full it is.

    Returns:
        A named tuple: ``isolated``, ``slots``, ``arenas``, ``idle_rooms``, ``locked_size``, ``secretmem_size``,
        ``unlocked_size``, ``volatile_size``, ``file_size``, ``locked_now``, ``lock_limit`` and ``engine``; ``str()`` of
        it is a table.

    Raises:
        MemoryError: There is no ordinary memory for the answer.

    Platform notes: ``locked_now`` is Linux's VmLck; elsewhere it is ``None``. In a forked child only what the child
    made counts.

    Does not protect against: change. Other threads make and destroy buffers while it is put together, so its numbers
    may be of slightly different moments.

    Source: proc_pid_status(5), getrlimit(2).

    Version added: 0.1.
    """
    return counting.collect()


def purge() -> None:
    """Wipe every buffer, every opened secret and the sealing key of this process, now.

    What was made before cannot be opened any more: it raises ``PurgedError``, also at the end of blocks that are open
    at this moment in other threads, so that results computed from wiped memory are discarded. What is made afterwards
    works as usual, under a new key. Memory stays mapped until its owners go, so no thread faults.

    What private files hold is overwritten too, last, which waits for their disks while other threads run.

    It raises nothing: a buffer that the system refuses to make writable stays as it is, and the others are wiped. Where
    a private file could not be overwritten it warns in the end (``StrongroomWarning``): its device may have the bytes.

    Platform notes: the same everywhere. A forked child wipes what it made itself; its parent's is not touched.

    Does not protect against: copies in ordinary memory (what ``reveal()`` returned, what another library kept); what a
    block that is still open writes afterwards, which is wiped when that block ends.

    Source: mprotect(2); VirtualProtect on Windows.

    Version added: 0.1.
    """
    refused = _native.purge()
    if refused is not None:
        error = SystemCallError(*refused)
        warnings.warn(
            f"purge() wiped all memory, but could not overwrite what a private file holds: {error}. "
            "Its device may have the bytes: treat it as if it had",
            StrongroomWarning,
            stacklevel=2,
        )
