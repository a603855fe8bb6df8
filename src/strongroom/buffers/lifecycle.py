"""The end of everything at once."""

from __future__ import annotations

from strongroom import _native

__all__ = ["purge"]


def purge() -> None:
    """Wipe every buffer, every opened secret and the sealing key of this process, now.

    What was made before cannot be opened any more: it raises ``PurgedError``, also at the end of blocks that are open
    at this moment in other threads, so that results computed from wiped memory are discarded. What is made afterwards
    works as usual, under a new key. Memory stays mapped until its owners go, so no thread faults.

    Platform notes: the same everywhere.

    Does not protect against: copies in ordinary memory (what ``reveal()`` returned, what another library kept).

    Version added: 0.1.
    """
    _native.purge()
