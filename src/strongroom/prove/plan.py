"""What this run will change, decided before anything is changed, and why what is not tried cannot be.

In: the machine's facts and the user's options. Out: changes with their exact paths (the announcement prints
them), and for each trial the way it goes or what it needs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from strongroom.prove import changes, disk
from strongroom.prove.cgroup import Place, find_place
from strongroom.prove.machine import (
    CAP_SYS_RESOURCE,
    CORE_PATTERN,
    ZSWAP,
    Machine,
    fits_core_pattern,
    where_cores_go,
    work_folder_parent,
)
from strongroom.prove.undo import WORK_PREFIX

# Trials that use a swap file of our own where there can be one, and a disk of our own.
SWAPPING = ("swapped", "fork", "droppable", "physical", "mapped", "partial")
ON_DISK = ("mapped", "partial")

RAW, OWN = "raw", "own"  # the two ways of the swap trial: scan the raw swap file; look at page tables


@dataclass(slots=True)
class Options:
    """What the user asked for."""

    no_changes: bool = False
    folder: str | None = None
    only: tuple[str, ...] = ()


@dataclass(slots=True)
class Plan:
    """Changes, ways and needs."""

    machine: Machine
    directory: changes.Directory
    swap_way: str | None = None
    swap_needs: str = ""
    raw_needs: str = ""  # why there is no swap file of our own
    disk_needs: str = ""
    drop_needs: str = ""
    core_needs: str = ""
    swap: changes.SwapFile | None = None
    disk: disk.Disk | None = None
    zswap: changes.Setting | None = None
    cgroup: changes.Cgroup | None = None
    cgroup_version: int = 0
    core_pattern: changes.Setting | None = None

    @property
    def shared_changes(self) -> list[changes.Change]:
        """What other programs on this machine could notice."""
        wanted = (self.swap, self.zswap, self.cgroup, self.disk, self.core_pattern)
        return [change for change in wanted if change is not None]


def wants(options: Options, *names: str) -> bool:
    """True if one of these trials is to run."""
    return not options.only or any(name in options.only for name in names)


def make(machine: Machine, options: Options, marker: str) -> Plan:
    """Decide."""
    may_swap = machine.can_make_swap and not options.no_changes and wants(options, *SWAPPING)
    parent, can_swap_there = work_folder_parent(changes.SWAP_SIZE, options.folder, for_swap=may_swap)
    folder = os.path.join(parent, WORK_PREFIX + marker)
    plan = Plan(machine, changes.Directory(folder))
    if wants(options, *SWAPPING):
        _plan_swap(plan, machine, options, can_swap_there, marker)
    if wants(options, *ON_DISK):
        plan.disk_needs = disk.needs(machine, parent, no_changes=options.no_changes)
        plan.disk = None if plan.disk_needs else disk.Disk(folder, marker)
    if wants(options, "core"):
        _plan_core(plan, machine, options)
    return plan


def _plan_swap(plan: Plan, machine: Machine, options: Options, can_swap_there: bool, marker: str) -> None:
    if can_swap_there:
        plan.swap_way = RAW
        plan.drop_needs = "" if machine.has_droppable else "needs Linux 6.11"
        plan.swap = changes.SwapFile(os.path.join(plan.directory.path, "swap"))
        place: Place | None = find_place()
        if place is not None:
            path = os.path.join(place.folder, WORK_PREFIX + marker)
            plan.cgroup, plan.cgroup_version = changes.Cgroup(path, place.settings()), place.version
        if machine.has_zswap:
            plan.zswap = changes.Setting(ZSWAP, "N")
        return
    if not machine.is_root:
        raw_needs = "needs root"
    elif options.no_changes:
        raw_needs = "needs changes: a swap file"
    elif not machine.can_make_swap:
        raw_needs = "needs CAP_SYS_ADMIN"
    else:
        raw_needs = "needs --folder on ext4, xfs or btrfs"
    plan.raw_needs = plan.drop_needs = raw_needs
    if not wants(options, "swapped"):
        return
    if machine.swaps:
        plan.swap_way = OWN
    else:
        plan.swap_needs = raw_needs + ", or a machine with swap"


def _plan_core(plan: Plan, machine: Machine, options: Options) -> None:
    if machine.core_limit == 0 and not machine.has(CAP_SYS_RESOURCE):
        plan.core_needs = "needs a hard core limit above 0"
        return
    if where_cores_go(machine.core_pattern) == "here":
        return
    ours = os.path.join(plan.directory.path, "core")
    if not machine.can_set_core_pattern:
        reason = "are piped to a program" if where_cores_go(machine.core_pattern) == "piped" else "go to a folder"
        plan.core_needs = "needs root: cores " + reason if not machine.is_root else "needs a writable core_pattern"
    elif options.no_changes:
        plan.core_needs = "needs changes: core_pattern"
    elif not fits_core_pattern(ours):
        plan.core_needs = "needs a shorter --folder"
    else:
        plan.core_pattern = changes.Setting(CORE_PATTERN, ours)
