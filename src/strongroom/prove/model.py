"""The words of a result, and how findings become a verdict. Pure: no system calls, no processes.

In: what an attack found for each kind. Out: a cell for each kind. Two rules decide everything: a strongroom
tracer that was found is a leak even if the control failed; one that was not found counts only if the control
was found by the same attack and the attack could look everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HELD = "held"
LEAKED = "LEAKED"
EXPOSED = "exposed"
OWN_FILE = "own file"  # for file-backed kinds: contents reach their own private file, by design
UNNOTICED = "UNNOTICED"  # the system dropped the contents, as it may, and the library did not say so
NOT_TRIED = "not tried"
NO_CONTROL = "no control"

#: What a row says where the system locks too little.
NEEDS_LOCKS = "needs a larger memory lock limit"

ORDINARY, SECRET_OPEN, SECRET_AT_REST = "ordinary", "secret-open", "secret-at-rest"
LOCKED, SECRETMEM = "locked", "secretmem"
FILE, PARTIAL, DROPPABLE = "file", "partial", "droppable"
STORES = STORE_SECRETMEM, STORE_LOCKED = "store-secretmem", "store-locked"
KINDS = (ORDINARY, SECRET_OPEN, SECRET_AT_REST, LOCKED, SECRETMEM)
SECRET_KINDS = (SECRET_OPEN, SECRET_AT_REST)

TITLES = {
    ORDINARY: "ordinary",
    SECRET_OPEN: "Secret, open",
    SECRET_AT_REST: "Secret, at rest",
    LOCKED: "LockedBuffer, locked",
    SECRETMEM: "LockedBuffer, secretmem",
    FILE: "FileBuffer",
    PARTIAL: "VolatileBuffer, partial",
    DROPPABLE: "VolatileBuffer, droppable",
    STORE_SECRETMEM: "vm.physical, secretmem",
    STORE_LOCKED: "vm.physical, locked",
}

# Every row there is, in the order of the table.
ROW_TITLES = {
    "swapped": "swapped out",
    "core": "core file",
    "reader-user": "another process, same user",
    "reader-root": "another process, root",
    "fork-child": "fork: child's memory",
    "fork-swap": "fork: child's copy in swap",
    "freed": "freed memory",
    "mapped-file": "mapped file",
    "mapped-file-deleted": "mapped file, deleted",
    "partial-page": "partial page",
    "droppable": "droppable page",
    "physical-secretmem": "physical pages, secret",
    "physical-locked": "physical pages, locked",
}

# The rows about memory that is not kept in RAM, and about stores of pages, are about one kind each, beside ordinary
# memory.
ROW_KINDS = {
    "mapped-file": (ORDINARY, FILE),
    "mapped-file-deleted": (ORDINARY, FILE),
    "partial-page": (ORDINARY, PARTIAL),
    "droppable": (ORDINARY, DROPPABLE),
    "physical-secretmem": (ORDINARY, STORE_SECRETMEM),
    "physical-locked": (ORDINARY, STORE_LOCKED),
}

# name (and module) -> the rows it gives. Those that swap stand side by side, because they share one swap file, and so
# do those that share one disk.
TRIALS = {
    "swapped": ("swapped",),
    "fork": ("fork-child", "fork-swap"),
    "droppable": ("droppable",),
    "physical": ("physical-secretmem", "physical-locked"),
    "mapped": ("mapped-file", "mapped-file-deleted"),
    "partial": ("partial-page",),
    "core": ("core",),
    "readers": ("reader-user", "reader-root"),
    "freed": ("freed",),
}

# The worst first: a column that stands for several kinds shows the worst of them.
_SEVERITY = (LEAKED, UNNOTICED, NO_CONTROL, EXPOSED, OWN_FILE, NOT_TRIED, HELD)

NOTES = {
    "readers": "memory with backing `locked` is like any other to a process that may read this one (same user, "
    "or root): locking keeps it out of swap, dumps and children. Backing `secretmem` is what readers cannot "
    "open.",
    "key": "no copy was found, but the key that opens it lies in memory that this reader can read.",
    "inject": "root can also run code inside a process (ptrace), which sees what the process sees. No backing "
    "stops that.",
    "own-file": "FileBuffer's pages are pages of a file of its own, in the folder you chose: they are written "
    "there and nowhere else, and burned at the end. It is for where nothing can be locked.",
    "partial": "shown for a buffer at rest. What is stored while the system is just writing the page can reach the "
    "file, so VolatileBuffer calls this `requested`, not `verified`. Droppable pages have no such moment.",
}


def kinds_of(row_id: str) -> tuple[str, ...]:
    """Which kinds a row is about, ordinary memory first."""
    return ROW_KINDS.get(row_id, KINDS)


def shown_kinds(row_id: str) -> tuple[str, ...]:
    """Which of them stand in the table's column `strongroom`."""
    return ROW_KINDS[row_id][1:] if row_id in ROW_KINDS else SECRET_KINDS


@dataclass(slots=True)
class Finding:
    """What an attack found of one tracer."""

    whole: int = 0
    half: int = 0
    where: dict[str, int] = field(default_factory=dict)

    @property
    def copies(self) -> int:
        """Whole copies and lone halves: both are leaks."""
        return self.whole + self.half

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Finding:
        """From an attacker's words."""
        return cls(int(told["whole"]), int(told["half"]), dict(told["where"]))

    def plus(self, other: Finding) -> Finding:
        """Both findings together."""
        where = dict(self.where)
        for label, copies in other.where.items():
            where[label] = where.get(label, 0) + copies
        return Finding(self.whole + other.whole, self.half + other.half, where)


@dataclass(frozen=True, slots=True)
class Backing:
    """What a kind's memory is made of."""

    seen: str  # by the kernel, where the tracer lies: "heap", "anonymous", "secretmem"; or "ciphertext"
    claimed: str  # by the library

    @property
    def is_exposed_to_readers(self) -> bool:
        """True if readers can read it *and* the library says so: what it claims to hide and does not is a leak."""
        return self.seen == "anonymous" and self.claimed == "locked"


@dataclass(slots=True)
class Cell:
    """One kind in one row."""

    word: str
    needs: str | None = None
    note: str | None = None
    finding: Finding = field(default_factory=Finding)

    @property
    def text(self) -> str:
        """The word as shown."""
        return f"{self.word} ({self.needs})" if self.needs else self.word


@dataclass(slots=True)
class Row:
    """One line of the table: a trial, or one of its attackers."""

    id: str
    cells: dict[str, Cell] = field(default_factory=dict)
    evidence: str = ""  # short, for the narrow table
    more: str = ""  # the rest of it, for the wide one
    details: dict[str, Any] = field(default_factory=dict)
    backings: dict[str, Backing] = field(default_factory=dict)
    needs: str | None = None  # set if the whole row was not tried
    note: str | None = None  # about the whole row
    is_incomplete: bool = False  # it should have been possible here, and was not
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """What the table calls it."""
        return ROW_TITLES[self.id]

    @property
    def strongroom(self) -> Cell:
        """What `Secret` gives (the worse of open and at rest), or the one kind that the row is about."""
        return worst([self.cells[kind] for kind in shown_kinds(self.id)])


def worst(cells: list[Cell]) -> Cell:
    """The cell to show where only one can be shown."""
    return min(cells, key=lambda cell: _SEVERITY.index(cell.word))


def not_tried(row_id: str, needs: str, *, is_incomplete: bool = False) -> Row:
    """A row that says what it would need."""
    needs = needs if needs.startswith("needs ") else "needs " + needs
    cells = {kind: Cell(NOT_TRIED, needs) for kind in kinds_of(row_id)}
    return Row(row_id, cells, needs=needs, is_incomplete=is_incomplete)


def count(copies: int) -> str:
    """Return `1 copy`, `2 copies`."""
    return f"{copies} {'copy' if copies == 1 else 'copies'}"


def exposures(row_id: str, backings: Mapping[str, Backing]) -> dict[str, str]:
    """Which kinds cannot hold in this row by what they are made of: {kind: note}.

    Only readers from outside, and only memory that the kernel itself maps.
    """
    if row_id not in ("reader-user", "reader-root"):
        return {}
    kinds = [kind for kind in (SECRET_OPEN, LOCKED) if kind in backings]
    found = {kind: "readers" for kind in kinds if backings[kind].is_exposed_to_readers}
    if SECRET_OPEN in found:
        found[SECRET_AT_REST] = "key"
    return found


def judge(
    findings: Mapping[str, Finding],
    *,
    missing: Mapping[str, str],
    is_complete: bool,
    exposed: Mapping[str, str],
    hole: str = "needs a complete scan",
    kinds: tuple[str, ...] = KINDS,
    has_control: bool | None = None,
    own: Mapping[str, int] | None = None,
) -> dict[str, Cell]:
    """Turn findings into cells.

    `missing` says why a kind could not be set up, `hole` why a search has holes. `has_control`: the trial's own
    answer, where one ordinary copy somewhere is not enough. `own`: how many of a kind's copies lay in its own file.
    """
    if has_control is None:
        has_control = findings[ORDINARY].copies > 0
    cells = {}
    for kind in kinds:
        is_own = own is not None and kind in own and findings[kind].copies == own[kind] > 0
        finding = findings.get(kind, Finding())
        if kind in missing:
            cells[kind] = Cell(NOT_TRIED, missing[kind])
        elif finding.copies and kind == ORDINARY:
            cells[kind] = Cell(LEAKED, finding=finding)
        elif finding.copies and kind in exposed and kind != SECRET_AT_REST:
            cells[kind] = Cell(EXPOSED, note=exposed[kind], finding=finding)
        elif finding.copies and not is_own:
            cells[kind] = Cell(LEAKED, finding=finding)
        elif not has_control:
            cells[kind] = Cell(NO_CONTROL, finding=finding)
        elif not is_complete:
            cells[kind] = Cell(NOT_TRIED, hole, finding=finding)
        elif is_own:
            cells[kind] = Cell(OWN_FILE, note="own-file", finding=finding)
        elif kind == SECRET_AT_REST and kind in exposed:
            cells[kind] = Cell(EXPOSED, note=exposed[kind])
        else:
            cells[kind] = Cell(HELD)
    return cells


def demand_loss(cell: Cell, *, is_gone: bool, is_noticed: bool) -> Cell:
    """What a cell of memory that may vanish becomes, by whether the contents went and whether the library said so.

    A loss that nobody notices is a fault whatever else was found: the program goes on with zeros for its key. Without
    a loss the trial has shown nothing.
    """
    if cell.word == LEAKED:
        return cell
    if is_gone and not is_noticed:
        return Cell(UNNOTICED, finding=cell.finding)
    if cell.word == HELD and not is_gone:
        return Cell(NOT_TRIED, "needs a system that drops the page", finding=cell.finding)
    return cell


def exit_code(rows: list[Row]) -> int:
    """0 fine, 1 leaked (or lost without a word), 3 incomplete.

    Incomplete: a control that was not found, a scan with holes, an attack that should have worked here and did
    not, or no trial at all. What lacks a privilege, an option or a feature of the machine is shown and no fault.
    """
    cells = [cell for row in rows for kind, cell in row.cells.items() if kind != ORDINARY]
    if any(cell.word in (LEAKED, UNNOTICED) for cell in cells):
        return 1
    if any(row.is_incomplete for row in rows) or any(cell.word == NO_CONTROL for cell in cells):
        return 3
    return 0 if any(row.strongroom.word in (HELD, EXPOSED, OWN_FILE) for row in rows) else 3
