"""The targets: the one table of what ``--check`` holds the figures to.

They are judged on minima: those are the code's own cost, where medians are the machine's (timing.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.rows import Group


@dataclass(frozen=True)
class Target:
    """A limit that one row's figure must not exceed."""

    row: str
    measure: str
    limit: float
    text: str
    #: Whether a machine that cannot measure it leaves the check incomplete. Not every kernel has every backing.
    is_required: bool = True


TARGETS = (
    Target(
        "isolated-locked/strongroom",
        "ratio_of_minima",
        1.8,
        "Isolated open + one read + close takes at most 1.8 times the bare mprotect pair "
        "(same process, backing, mode and touch, one thread).",
    ),
    Target(
        "isolated-secretmem/strongroom",
        "ratio_of_minima",
        2.0,
        "The same where the kernel has secret memory, against the pair on secret memory.",
        is_required=False,
    ),
    Target("slots/strongroom", "minimum", 0.2, "Making a buffer of 32 bytes and destroying it takes at most 0.2 us."),
    Target(
        "slots-live/strongroom",
        "minimum",
        0.3,
        "Destroying a random one of 100,000 live buffers of 32 bytes and making another takes at most 0.3 us.",
    ),
    Target("slots-open/strongroom", "minimum", 0.35, "Opening and closing such a buffer takes at most 0.35 us."),
    Target(
        "pool/all",
        "ratio_of_minima",
        1 / 0.7,
        "With a thread on each CPU the pool does at least 0.7 times as much as that many times one thread.",
    ),
    Target("sealed/strongroom", "minimum", 0.6, "Opening and closing a secret of 32 bytes takes at most 0.6 us."),
    Target("sealed-page/strongroom", "minimum", 2.0, "Opening and closing one of 4 KiB takes at most 2 us."),
    Target(
        "shielded/strongroom", "minimum", 25.0, "Opening and closing a shielded one of 32 bytes takes at most 25 us."
    ),
    Target("sealing/strongroom-copy", "minimum", 0.8, "Sealing 32 bytes takes at most 0.8 us."),
    Target(
        "second-open/strongroom", "minimum", 2.5, "With the second engine (cryptography) opening takes at most 2.5 us."
    ),
    Target("second-seal/strongroom", "minimum", 2.5, "With the second engine sealing takes at most 2.5 us."),
    Target(
        "allocate/strongroom-locked",
        "ratio_of_minima",
        1.0,
        "Making an isolated locked buffer of 32 bytes and destroying it takes no longer than libsodium through ctypes.",
    ),
    Target(
        "regions/strongroom",
        "ratio_of_minima",
        1.5,
        "Reserving, committing and releasing takes at most 1.5 times the same raw calls in C.",
    ),
    Target(
        "listing-maps/strongroom",
        "minimum",
        1000.0,
        "Listing a process of 300 mappings takes at most a millisecond.",
    ),
    Target(
        "listing-smaps/strongroom",
        "ratio_of_minima",
        1.5,
        "With their sizes and flags it takes at most 1.5 times merely reading the kernel's text.",
    ),
    Target(
        "startup/strongroom",
        "difference_of_minima",
        10.0,
        "Importing strongroom takes at most 10 ms on top of starting bare Python.",
    ),
    Target("footprint/strongroom", "minimum", 120, "A secret of 32 bytes at rest keeps at most 120 bytes resident."),
    Target("footprint/buffer", "minimum", 200, "A live buffer of 32 bytes keeps at most 200 bytes resident, all told."),
    Target("footprint/locked", "minimum", 56, "A live buffer of 32 bytes takes at most 56 bytes of the lock limit."),
)


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured; None where it could not be."""

    target: Target
    measured: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met, or None if nobody can say."""
        return None if self.measured is None else self.measured <= self.target.limit


def judge(groups: Sequence[Group], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """Return a verdict for each target; a target that names no row at all is a mistake of ours and raises KeyError."""
    rows = {row.key: row for group in groups for row in group.rows}
    return [Verdict(target, rows[target.row].measure(target.measure)) for target in targets]


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """Return 0 when all targets are met, 1 when one is missed, 3 when a required one could not be measured."""
    if any(verdict.is_met is False for verdict in verdicts):
        return 1
    return 3 if any(verdict.is_met is None and verdict.target.is_required for verdict in verdicts) else 0
