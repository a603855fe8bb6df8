"""What Windows tells of a process's mappings."""

from __future__ import annotations

from strongroom._os.entries import Entry, unreadable

__all__ = ["CALL", "parse"]

CALL = "VirtualQueryEx"


def parse(raw: bytes) -> list[Entry]:
    """The mappings, in the order in which they were told.

    Raises:
        SystemCallError: It is none of this system's listings.
    """
    raise unreadable(CALL, len(raw[:1]))
