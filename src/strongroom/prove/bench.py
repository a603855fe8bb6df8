"""What a trial has at hand: victims, attackers, the swap area, and the plan.

Trials get one of these and nothing else; it is where marker, folder and changes are known.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from strongroom.prove import cgroup, spawn
from strongroom.prove.changes import Changes
from strongroom.prove.handle import Victim
from strongroom.prove.model import STORES, Finding
from strongroom.prove.plan import Plan
from strongroom.prove.tracer import Tracers

ERRORS = "victim-errors"
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENXIO, errno.ENODEV)


class Bench:
    """The bench on which trials are done."""

    def __init__(self, plan: Plan, changes: Changes, marker: str) -> None:
        self.machine, self.plan, self.changes, self.marker = plan.machine, plan, changes, marker
        self.folder = plan.directory.path
        self.swap_problem: str | None = None
        self.disk_problem: str | None = None
        self.is_disk_refused = False  # by the system, which is no fault: containers may not mount

    @property
    def has_raw_swap(self) -> bool:
        """Whether there is a swap file of our own, with the group that is pushed out to it."""
        return self.plan.swap is not None and self.swap_problem is None

    @contextlib.contextmanager
    def victim(
        self, tracers: Tracers, *, drop: bool = False, pressed: bool = False, disk: str | None = None
    ) -> Iterator[Victim]:
        """A victim that holds every kind that there is a tracer for.

        `pressed`: in the group that gets memory pressure. `disk`: where its files go.
        """
        procs = None
        if pressed and self.plan.cgroup is not None:
            procs = os.path.join(self.plan.cgroup.path, "cgroup.procs")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        errors = os.open(os.path.join(self.folder, ERRORS), flags, 0o600)
        try:
            victim = Victim(self.marker, errors, os.path.join(self.folder, ERRORS), procs)
        finally:
            os.close(errors)
        with victim:
            has_stores = any(kind in STORES for kind in tracers.kinds)
            victim.ask("prepare", folder=self.folder, drop=drop, disk=disk, stores=has_stores)
            victim.hold_all(tracers)
            yield victim

    def attack(self, name: str, tracers: Tracers, **parameters: Any) -> dict[str, Any]:
        """Run one attacker with all tracers."""
        source = tracers.all_in_a_pipe()
        try:
            return spawn.attack(
                name, self.marker, source, count=len(tracers.kinds), size=tracers.total_size // len(tracers.kinds),
                **parameters,
            )  # fmt: skip
        finally:
            os.close(source)

    def findings(self, told: dict[str, Any], tracers: Tracers) -> dict[str, Finding]:
        """An attacker's words, by kind."""
        return {kind: Finding.of(told["needles"][index]) for index, kind in enumerate(tracers.kinds)}

    @contextlib.contextmanager
    def swap_area(self) -> Iterator[None]:
        """The temporary swap file and the group, for the trials inside; a refusal is kept for them to tell."""
        if self.plan.swap is None:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                for change in (self.plan.cgroup, self.plan.zswap, self.plan.swap):
                    if change is not None:
                        stack.enter_context(self.changes.made(change))
            except OSError as error:
                self.swap_problem = f"needs a swap file, which failed: {error.strerror or error}"
            yield

    @contextlib.contextmanager
    def disk_area(self) -> Iterator[None]:
        """The disk of our own, for the trials inside; a refusal is kept for them to tell."""
        with contextlib.ExitStack() as stack:
            try:
                if self.plan.disk is not None:
                    stack.enter_context(self.changes.made(self.plan.disk))
            except OSError as error:
                self.disk_problem = f"needs a disk image, which failed: {error.strerror or error}"
                self.is_disk_refused = error.errno in _REFUSALS
            yield

    def push_out(self, pids: list[int], *, again: bool) -> None:
        """Force the victims' memory out: the whole group, or (no group, or a second try) process by process."""
        if self.plan.cgroup is not None:
            cgroup.evict(self.plan.cgroup_version, self.plan.cgroup.path)
        if again or self.plan.cgroup is None:
            spawn.attack("pageout", self.marker, pids=pids)
            cgroup.wait_until_written()
