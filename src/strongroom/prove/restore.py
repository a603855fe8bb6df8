"""`strongroom prove --restore`: put back what a run left when both it and its janitor were killed.

In: the journals of dead runs; as root also work folders that no journal knows (the machine went down in the middle
of a run, and /run was emptied). Out: what was put back, and what could not be. A living run is left alone.
"""

from __future__ import annotations

import contextlib
import os

from strongroom.prove import disk, journal, undo
from strongroom.prove.machine import SWAP_FOLDERS


def stale() -> tuple[list[str], list[str]]:
    """Settle every dead run; returns (what was settled, what could not be)."""
    settled: list[str] = []
    problems: list[str] = []
    for path in journal.all_journals():
        try:
            if journal.Story(path).is_alive:
                continue
            left = undo.settle(path)
        except FileNotFoundError:
            continue  # its janitor was faster
        except (OSError, journal.JournalError) as error:
            left = [f"{path}: {error}"]
        problems += left
        settled += [] if left else [path]
    for folder in orphans(SWAP_FOLDERS) if os.geteuid() == 0 else ():
        records = (
            {"do": "disk", "path": os.path.join(folder, disk.IMAGE), "point": os.path.join(folder, disk.POINT)},
            {"do": "swap", "path": os.path.join(folder, "swap")},
            {"do": "directory", "path": folder},
        )
        left = [problem for record in records if (problem := undo.undo(record))]
        problems += left
        settled += [] if left else [folder]
    return settled, problems


def orphans(parents: tuple[str, ...]) -> list[str]:
    """Work folders of ours whose run has no journal any more.

    Only asked as root: root's journals are always in the same places, so no journal means no run (a run writes its
    journal before it makes its folder). Other users may have journals where this process does not look.
    """
    seen = []
    for parent in parents:
        with contextlib.suppress(OSError):
            seen += [
                os.path.join(parent, name) for name in sorted(os.listdir(parent)) if name.startswith(undo.WORK_PREFIX)
            ]
    # Folders first, journals second: a run that begins in between has its journal before its folder is seen.
    known = {os.path.basename(path) for path in journal.all_journals()}
    return [
        path
        for path in seen
        if journal.private_folder(path, create=False)
        and journal.NAME.format(os.path.basename(path).removeprefix(undo.WORK_PREFIX)) not in known
    ]
