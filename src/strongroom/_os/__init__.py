"""What differs between operating systems in text and policy. The one place that asks which system this is."""

from __future__ import annotations

import sys

__all__ = ["LOCKS_INACCESSIBLE_PAGES", "PLATFORM"]


def _platform() -> str:
    if sys.platform.startswith("linux"):
        return "linux"
    if sys.platform == "win32":
        return "windows"
    return sys.platform.rstrip("0123456789")  # darwin, freebsd, netbsd, openbsd


#: ``linux``, ``windows``, ``darwin``, ``freebsd``, ``netbsd`` or ``openbsd``.
PLATFORM = _platform()

#: Whether a locked page stays locked when it becomes inaccessible. Windows unlocks it (ERROR_WAS_UNLOCKED), so closed
#: buffers are read-only there instead.
LOCKS_INACCESSIBLE_PAGES = PLATFORM != "windows"
