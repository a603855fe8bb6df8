"""The end of everything at once."""

from __future__ import annotations

from strongroom import _native

__all__ = ["purge"]


def purge() -> None:
    """Wipe every buffer, every opened secret and the sealing key of this process, now.

    What was made before cannot be opened any more: it raises ``PurgedError``, also at the end of blocks that are open
    at this moment in other threads, so that results computed from wiped memory are discarded. What is made afterwards
    works as usual, under a new key. Memory stays mapped until its owners go, so no thread faults.

    It raises nothing: a buffer that the system refuses to make writable stays as it is, and the others are wiped.

    Platform notes: the same everywhere. A forked child wipes what it made itself; its parent's is not touched.

    Does not protect against: copies in ordinary memory (what ``reveal()`` returned, what another library kept); what a
    block that is still open writes afterwards, which is wiped when that block ends.

    Source: mprotect(2); VirtualProtect on Windows.

    Version added: 0.1.
    """
    _native.purge()
