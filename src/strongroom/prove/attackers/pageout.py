"""Attack: push another process's memory out with process_madvise(MADV_PAGEOUT). No tracers needed.

Parameters: pids. The kernel skips pages that are locked, and pages that two processes share after a fork. It also
skips a page that was touched for the first time only just now: that waits in a batch of the processor on which it was
touched, and only a call on that processor takes it out of there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
from typing import Any

from . import libc, pages


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Advise every private mapping that can be written; one that refuses does not spoil the others."""
    advised = 0
    refused: dict[str, int] = {}
    _empty_batches()
    for pid in parameters["pids"]:
        for mapping in pages.mappings(int(pid)):
            if mapping.permissions[1] != "w":
                continue
            done = libc.process_pageout(int(pid), [(mapping.start, mapping.end)])
            if done < 0:
                name = errno.errorcode.get(-done, str(-done))
                refused[name] = refused.get(name, 0) + 1
            else:
                advised += done
    return {"advised_size": advised, "refused": refused}


def _empty_batches() -> None:
    """Go to every processor that we may use and have it empty its batches: any MADV_PAGEOUT does that first."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    allowed = os.sched_getaffinity(0)
    for processor in allowed:
        with contextlib.suppress(OSError):  # switched off meanwhile
            os.sched_setaffinity(0, {processor})
            libc.madvise(address, mmap.PAGESIZE, libc.MADV_PAGEOUT)
    os.sched_setaffinity(0, allowed)
