"""Attack: read a swap file raw, from the disk, and say whose page each copy is.

Parameters: path; count, size (of the tracers on standard input); owners: [[name, pid], ...].

Swap I/O goes around the page cache, so the file is read with O_DIRECT: through the cache one would see the
zeros written when the file was made. The kernel tells root (pagemap, bits 0-54) which slot each swapped page
has; a copy at page k of the file, in slot k of the victim, is the victim's page and nobody else's.
"""

from __future__ import annotations

import os
from typing import Any

from . import pages
from .needles import FileReader, Needles, Sightings, Sweep, haystack_area, open_raw

_MIB = 1 << 20


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Scan the whole file and match what is found against the owners' swapped pages."""
    needles = Needles(0, int(parameters["count"]), int(parameters["size"]))
    area = haystack_area()
    slots = {str(name): _slots(int(pid)) for name, pid in parameters.get("owners", [])}
    descriptor, is_direct = open_raw(str(parameters["path"]))
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        sightings = Sightings(needles)
        sweep = Sweep(sightings, area)
        sweep.run(FileReader(descriptor), 0, size)
    finally:
        os.close(descriptor)
    found = [sightings.copies(i) for i in range(needles.count)]
    ours = _our_area(found, slots)
    return {
        "needles": [_copies(copies, slots, ours) for copies in found],
        "scanned_size": sweep.scanned_size,
        "unreadable": [{"where": "swap file", "size": e - s, "explained": False} for s, e, _ in sweep.unreadable],
        "is_complete": sweep.scanned_size == size,
        "is_direct": is_direct,
        "is_locked": needles.area.is_locked and area.is_locked,
        "swapped_pages": {name: sum(len(s) for s in areas.values()) for name, areas in slots.items()},
        # Swapped pages of the owners that went to another swap area than this file: they were not searched.
        "pages_elsewhere": sum(len(s) for areas in slots.values() for area, s in areas.items() if area != ours),
    }


def _slots(pid: int) -> dict[int, set[int]]:
    """The pages of a process that are in swap: {swap area: {page in it}}."""
    result: dict[int, set[int]] = {}
    pagemap = pages.open_pagemap(pid)
    try:
        for mapping in pages.mappings(pid):
            if mapping.path == "[vsyscall]":
                continue
            for entry in pages.entries(pagemap, mapping.start, mapping.end):
                slot = pages.swap_slot(entry)
                # Guard pages and migrating pages set bit 62 too; slot 0 is the header of a swap area.
                if slot is not None and slot[1]:
                    result.setdefault(slot[0], set()).add(slot[1])
    finally:
        os.close(pagemap)
    return result


def _our_area(found: list[list[tuple[int, bool]]], slots: dict[str, dict[int, set[int]]]) -> int | None:
    """Which swap area the scanned file is: the one whose slots name the pages where copies really are."""
    at = {position // pages.PAGE for copies in found for position, _ in copies}
    scores = {area: len(at & taken) for areas in slots.values() for area, taken in areas.items() if at & taken}
    return max(scores, key=lambda area: scores[area]) if scores else None


def _copies(copies: list[tuple[int, bool]], slots: dict[str, dict[int, set[int]]], ours: int | None) -> dict[str, Any]:
    where: dict[str, int] = {}
    owners: dict[str, int] = {}
    for position, _ in copies:
        label = f"swap file, MiB {position // _MIB}"
        where[label] = where.get(label, 0) + 1
        page = position // pages.PAGE
        holding = [name for name, areas in slots.items() if ours is not None and page in areas.get(ours, ())]
        # "child" alone is a copy of the child's own; "child+victim" a page that the two still share.
        owner = "+".join(sorted(holding)) or "nobody"
        owners[owner] = owners.get(owner, 0) + 1
    whole = sum(is_whole for _, is_whole in copies)
    return {"whole": whole, "half": len(copies) - whole, "where": where, "owners": owners}
