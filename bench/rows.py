"""What the bench produces: groups of rows, each row a contender with its figures or the reason why it has none."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.timing import Figures, Loop, interleave


class SkipError(Exception):
    """A contender cannot run here; the text says what it needs."""


@dataclass(frozen=True)
class Contender:
    """One way to do a group's work: a key, words for it, and its loop or the reason why it cannot run here."""

    key: str
    title: str
    loop: Loop | SkipError


@dataclass
class Row:
    """One contender's figures, and how they compare with the group's first row (the base)."""

    key: str
    title: str
    figures: Figures | None = None
    skipped: str | None = None
    ratio_of_minima: float | None = None
    ratio_of_medians: float | None = None
    #: Only where the group compares by subtraction.
    difference_of_minima: float | None = None
    median_of_differences: float | None = None

    def measure(self, name: str) -> float | None:
        """Return the figure that a target names, or None where it was not taken."""
        if name in ("minimum", "median"):
            return None if self.figures is None else float(getattr(self.figures, name))
        value: float | None = getattr(self, name)
        return value


@dataclass
class Group:
    """Rows measured together, interleaved, in one unit. The first row is the base of every ratio."""

    key: str
    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)

    def compare(self) -> None:
        """Fill in each row's ratios to the base."""
        base = self.rows[0].figures
        for row in self.rows:
            if base is not None and row.figures is not None:
                row.ratio_of_minima = row.figures.minimum / base.minimum
                row.ratio_of_medians = row.figures.median / base.median


def time_group(key: str, title: str, contenders: Sequence[Contender], rounds: int) -> Group:
    """Measure the contenders that can run, interleaved, and return all of them as rows."""
    rows, loops, timed = [], [], []
    for contender in contenders:
        row = Row(f"{key}/{contender.key}", contender.title)
        rows.append(row)
        if isinstance(contender.loop, SkipError):
            row.skipped = str(contender.loop)
        else:
            loops.append(contender.loop)
            timed.append(row)
    for row, figures in zip(timed, interleave(loops, rounds), strict=True):
        row.figures = figures
    group = Group(key, title, "us", rows)
    group.compare()
    return group
