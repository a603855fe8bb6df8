"""Attack: read everything another process has, by process_vm_readv(2) and by /proc/PID/mem.

Parameters: pid; count, size (of the tracers on standard input); drop (give all capabilities up first);
look_in_swap (note beforehand which pages are in swap, so that each copy can say where it lay).
"""

from __future__ import annotations

import errno
import os
from typing import Any

from . import libc, pages
from .needles import FileReader, LockedArea, Needles, ProcessReader, Reader, Sightings, Sweep, haystack_area


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Read the victim by both roads, search, and tell."""
    pid = int(parameters["pid"])
    needles = Needles(0, int(parameters["count"]), int(parameters["size"]))
    area = haystack_area()
    if parameters.get("drop"):
        libc.drop_capabilities()
    before = pages.mappings(pid)
    pagemap = _pagemap_or_none(pid)
    swapped = _swapped_pages(pagemap, before) if parameters.get("look_in_swap") and pagemap is not None else None
    ranges, untouched = _ranges(pagemap, before)
    sightings = Sightings(needles)
    roads: dict[str, Any] = {}
    missing: list[list[tuple[int, int, int]]] = []
    for name, reader in _roads(pid):
        if isinstance(reader, int):
            roads[name] = {"refused": errno.errorcode.get(reader, str(reader))}
            continue
        sweep = _sweep(reader, ranges, sightings, area)
        if sweep.scanned_size == 0 and sweep.unreadable:
            roads[name] = {"refused": errno.errorcode.get(sweep.unreadable[0][2], "?")}
            continue
        roads[name] = {"scanned_size": sweep.scanned_size}
        missing.append(sweep.unreadable)
    after = pages.mappings(pid)
    unread, is_complete = _unread(missing, before, pagemap) if missing else ([], False)
    return {
        "refused": not missing,
        "roads": roads,
        "needles": [_copies(sightings, i, before, swapped) for i in range(needles.count)],
        "scanned_size": max((r.get("scanned_size", 0) for r in roads.values()), default=0),
        "untouched_size": untouched,
        "unreadable": unread,
        "is_complete": is_complete and _same(before, after),
        "is_torn": not _same(before, after),
        "is_locked": needles.area.is_locked and area.is_locked,
        "swap_was_visible": swapped is not None,
        # Secret memory is read by no road, and its page table entries say nothing: its accounting has to.
        "swapped_secretmem": pages.swapped_secretmem(pid) if parameters.get("look_in_swap") else None,
    }


def _roads(pid: int) -> list[tuple[str, Reader | int]]:
    """Both roads; an errno in place of a road that is closed."""
    try:
        memory: Reader | int = FileReader(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        memory = error.errno or errno.EIO
    return [("process_vm_readv", ProcessReader(pid)), ("/proc/PID/mem", memory)]


def _pagemap_or_none(pid: int) -> int | None:
    try:
        return pages.open_pagemap(pid)
    except OSError:
        return None


def _ranges(pagemap: int | None, maps: list[pages.Mapping]) -> tuple[list[tuple[int, int]], int]:
    """What to read, and how many bytes were left out because nothing was ever put there."""
    ranges: list[tuple[int, int]] = []
    untouched = 0
    for mapping in maps:
        if mapping.path == "[vsyscall]":
            continue
        # Only private anonymous memory: an absent page of a file or of shared memory may still have contents.
        if pagemap is None or mapping.inode or mapping.permissions[3] != "p":
            ranges.append((mapping.start, mapping.end))
            continue
        runs = pages.populated(pagemap, mapping)
        ranges += runs
        untouched += mapping.end - mapping.start - sum(end - start for start, end in runs)
    return ranges, untouched


def _sweep(reader: Reader, ranges: list[tuple[int, int]], sightings: Sightings, area: LockedArea) -> Sweep:
    sweep = Sweep(sightings, area)
    for start, end in ranges:
        sweep.run(reader, start, end)
    return sweep


def _swapped_pages(pagemap: int, maps: list[pages.Mapping]) -> set[int]:
    swapped: set[int] = set()
    for mapping in maps:
        if mapping.path == "[vsyscall]":
            continue
        for index, entry in enumerate(pages.entries(pagemap, mapping.start, mapping.end)):
            if entry & pages.SWAPPED and not entry & pages.PRESENT:
                swapped.add(mapping.start + index * pages.PAGE)
    return swapped


def _mapping_at(maps: list[pages.Mapping], address: int) -> pages.Mapping | None:
    return next((m for m in maps if m.start <= address < m.end), None)


def _copies(sightings: Sightings, index: int, maps: list[pages.Mapping], swapped: set[int] | None) -> dict[str, Any]:
    where: dict[str, int] = {}
    whole = half = in_swap = 0
    for address, is_whole in sightings.copies(index):
        whole, half = whole + is_whole, half + (not is_whole)
        mapping = _mapping_at(maps, address)
        label = mapping.label if mapping else "?"
        where[label] = where.get(label, 0) + 1
        in_swap += swapped is not None and address // pages.PAGE * pages.PAGE in swapped
    return {"whole": whole, "half": half, "in_swap": in_swap, "where": where}


def _is_guard(pagemap: int, address: int) -> bool:
    return bool(pages.entries(pagemap, address, address + pages.PAGE)[0] & pages.GUARD)


def _unread(
    missing: list[list[tuple[int, int, int]]], maps: list[pages.Mapping], pagemap: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """What no road could read, by label; complete only if each byte of it is explained."""
    refused = [{p for start, end, _ in ranges for p in range(start, end, pages.PAGE)} for ranges in missing]
    nowhere = set.intersection(*refused)
    sizes: dict[tuple[str, bool], int] = {}
    for address in nowhere:
        mapping = _mapping_at(maps, address)
        if mapping is None:
            key = ("?", False)
        elif mapping.is_secretmem or mapping.path in pages.KERNEL_PAGES:
            key = (mapping.path if mapping.path in pages.KERNEL_PAGES else mapping.label, True)
        else:
            key = (mapping.label, pagemap is not None and _is_guard(pagemap, address))
        sizes[key] = sizes.get(key, 0) + pages.PAGE
    told = [{"where": label, "size": size, "explained": ok} for (label, ok), size in sorted(sizes.items())]
    return told, all(ok for _, ok in sizes)


def _same(before: list[pages.Mapping], after: list[pages.Mapping]) -> bool:
    return [(m.start, m.end, m.permissions) for m in before] == [(m.start, m.end, m.permissions) for m in after]
