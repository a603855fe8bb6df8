"""Attack: push another process's memory out with process_madvise(MADV_PAGEOUT). No tracers needed.

Parameters: pids. The kernel skips pages that are locked, and pages that two processes share after a fork.
"""

from __future__ import annotations

import errno
from typing import Any

from . import libc, pages


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Advise every private mapping that can be written; one that refuses does not spoil the others."""
    advised = 0
    refused: dict[str, int] = {}
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
