"""What a listing of memory comes to: what each region is, what stands out, how much of it there is.

In: rows of ``strongroom.vm.regions``. Out: letters, sums, words. Nothing is asked of the system here. What a row does
not know (``None``) is unknown in every sum, never 0 and never no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from strongroom import vm
from strongroom.report.words import size_text, visible

__all__ = [
    "EVERYBODY",
    "KINDS",
    "MARKS",
    "Account",
    "Amount",
    "Kind",
    "Seen",
    "access_of",
    "amount",
    "base_of",
    "is_users",
    "marks_of",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A letter of the picture: what it stands for, and what that means to who reads it."""

    title: str
    meaning: str = ""


#: What a region is: exactly one of these.
KINDS = {
    "I": Kind("program, library"),
    "F": Kind("mapped file"),
    "M": Kind("shared memory"),
    "A": Kind("private memory"),
    "H": Kind("heap"),
    "S": Kind("stack"),
    "K": Kind("kernel's pages"),
    "-": Kind("inaccessible"),
    "?": Kind("not told what"),
}
#: What stands out, whatever it is: any number of these. The first in this order is the one that the picture shows.
MARKS = {
    "#": Kind("secret", "memfd_secret: in no dump, and no other process reads it"),
    "X": Kind("secured", "cannot be freed or closed through strongroom while the promise lasts"),
    "!": Kind("writable and executable", "code could be put there and run"),
    "L": Kind("locked", "kept in memory; only hibernation writes it out"),
    "D": Kind("droppable", "the system may drop it, and never swaps it out"),
    "W": Kind("swapped", "a copy is in the swap now"),
    "N": Kind("undumpable", "left out of core dumps"),
}

#: What everybody may read of a process (proc_pid_status(5)), and in which order it is told.
EVERYBODY = {
    "VmSize": "mapped",
    "VmRSS": "resident",
    "RssAnon": "of it private memory",
    "RssFile": "of it files, programs",
    "RssShmem": "of it shared memory",
    "VmSwap": "swapped",
    "VmLck": "locked",
}

_HALF = 1 << 63  # from here on it is the kernel's: [vsyscall] of x86 is listed for every process and counted for none
_NAMES_OF_MEMORY = ("/dev/zero", "/memfd:", "/dev/shm/", "/SYSV", "/secretmem", "[anon_shmem")  # noqa: S108
_MODIFIERS = vm.GUARD | vm.NO_CACHE | vm.WRITE_COMBINE
_LETTERS = {
    vm.READ_ONLY: "r--",
    vm.READ_WRITE: "rw-",
    vm.WRITE_COPY: "rw-",
    vm.EXECUTE: "r-x",
    vm.EXECUTE_READ: "r-x",
    vm.EXECUTE_READ_WRITE: "rwx",
    vm.EXECUTE_WRITE_COPY: "rwx",
}


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


@dataclass(frozen=True, slots=True)
class Amount:
    """Bytes, and whether that is all: where a row did not tell, a plus says that it may be more."""

    size: int
    is_complete: bool = True

    def __str__(self) -> str:
        if self.is_complete:
            return size_text(self.size)
        return f"{size_text(self.size)}+" if self.size else "unknown"

    @property
    def or_none(self) -> int | None:
        """The size, or ``None`` where it may be more."""
        return self.size if self.is_complete else None


def amount(sizes: Iterable[int | None]) -> Amount:
    """The sum of what is known."""
    total, is_complete = 0, True
    for size in sizes:
        if size is None:
            is_complete = False
        else:
            total += size
    return Amount(total, is_complete)


def is_users(row: vm.PageInfo) -> bool:
    """Whether a row is of the process's own half of the address space, and mapped."""
    return row.address < _HALF and row.state != "free"


def base_of(row: vm.PageInfo) -> str:
    """The letter of what a region is, one of ``KINDS``."""
    # A file may be called "[heap]": the kernel's own names have no inode. Unless a row knows no inodes, as elsewhere.
    if row.path is not None and row.path.startswith("[") and not row.inode and row.type == "private":
        if row.path == "[heap]":
            return "H"
        if row.path.startswith("[stack"):
            return "S"
        if not row.path.startswith("[anon"):
            return "K"
    if row.state == "reserved" or row.protection & ~_MODIFIERS == vm.NO_ACCESS:
        return "-"
    if row.type == "private":
        return "A"
    if row.type == "image":
        return "I"
    if row.type == "mapped":
        return "M" if not row.path or row.path.startswith(_NAMES_OF_MEMORY) else "F"
    return "?"


def _is_secret(row: vm.PageInfo) -> bool | None:
    if row.path is None:
        return None
    # Anybody may call a file so; nobody locks one and leaves it out of dumps by accident.
    return row.path.startswith("/secretmem") and row.is_locked is not False and row.is_undumpable is not False


def _is_undumpable(row: vm.PageInfo) -> bool | None:
    if not row.is_undumpable:
        return row.is_undumpable
    # The kernel leaves its own pages out by itself; and where nothing is and nothing may be put, nothing is left out.
    base = base_of(row)
    return base != "K" and not (base == "-" and row.resident_size == row.swapped_size == 0)


_TESTS: dict[str, Callable[[vm.PageInfo], bool | int | None]] = {
    "#": _is_secret,
    "X": lambda row: row.secured or 0,  # None: outside strongroom's regions, or another process's, which is said once
    "!": lambda row: row.protection & ~_MODIFIERS in (vm.EXECUTE_READ_WRITE, vm.EXECUTE_WRITE_COPY),
    "L": lambda row: row.is_locked,
    "D": lambda row: row.is_droppable,
    "W": lambda row: row.swapped_size,
    "N": _is_undumpable,
}


def marks_of(row: vm.PageInfo) -> tuple[str, str]:
    """The letters of what stands out about a region, the one that the picture shows first; those nobody told of."""
    marks = unknown = ""
    for letter, test in _TESTS.items():
        told = test(row)
        if told:
            marks += letter
        elif told is None:
            unknown += letter
    return marks, unknown


def access_of(row: vm.PageInfo) -> str:
    """What may be done there, in the letters of Linux' listings; ``?`` for whether it is shared if nobody told."""
    if row.state == "reserved":
        return "reserved"
    letters = "---" if row.protection & vm.GUARD else _LETTERS.get(row.protection & ~_MODIFIERS, "---")
    return letters + {True: "s", False: "p", None: "?"}[row.is_shared]


class Seen(NamedTuple):
    """A region with its letters: what it is, what stands out, and what of that nobody told."""

    row: vm.PageInfo
    base: str
    marks: str
    unknown: str

    @property
    def letter(self) -> str:
        """The letter by which it is known in lists: swapped pages are a matter of places, not of regions."""
        return (self.marks.replace("W", "") + self.base)[0]


@dataclass(frozen=True)
class Account:
    """What is known of one process's memory.

    ``regions`` are whole mappings, for sums; ``places`` the same memory cut by where its pages are, for pictures.
    ``refused`` says why there are neither, and ``everybody`` what may be read all the same, in bytes.
    """

    name: str | None
    pid: int
    user: str | None
    is_self: bool
    regions: Sequence[vm.PageInfo] = ()
    places: Sequence[vm.PageInfo] = ()
    torn: bool = False
    unread: Sequence[str] = ()
    refused: str | None = None
    everybody: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_incomplete(self) -> bool:
        """Whether something could not be read."""
        return bool(self.refused or self.unread)

    @property
    def title(self) -> str:
        """Whose memory it is, in one line that is safe to show."""
        name = f"{visible(self.name)}, " if self.name else ""
        user = f", user {visible(self.user)}" if self.user else ""
        return f"{name}process {self.pid}{user}" + (" (this command itself)" if self.is_self else "")

    @cached_property
    def seen(self) -> list[Seen]:
        """The regions that count, with their letters."""
        return [Seen(row, base_of(row), *marks_of(row)) for row in self.regions if is_users(row)]

    @cached_property
    def totals(self) -> dict[str, Amount]:
        """The first line: what is mapped, and what has become of it."""
        if self.refused is not None:
            names = {"mapped": "VmSize", "resident": "VmRSS", "swapped": "VmSwap", "locked": "VmLck", "secret": ""}
            return {word: Amount(self.everybody.get(name, 0), name in self.everybody) for word, name in names.items()}
        return {
            "mapped": amount(one.row.size for one in self.seen),
            "resident": amount(one.row.resident_size for one in self.seen),
            "swapped": self.marked("W")[1],
            "locked": self.marked("L")[1],
            "secret": self.marked("#")[1],
        }

    @cached_property
    def _marked(self) -> dict[str, tuple[int, Amount]]:
        counts, sizes, unknown = dict.fromkeys(MARKS, 0), dict.fromkeys(MARKS, 0), set[str]()
        for row, _, marks, untold in self.seen:
            for letter in marks:
                counts[letter] += 1
                sizes[letter] += (row.swapped_size or 0) if letter == "W" else row.size
            unknown.update(untold)
        return {letter: (counts[letter], Amount(sizes[letter], letter not in unknown)) for letter in MARKS}

    def marked(self, letter: str) -> tuple[int, Amount]:
        """How many regions have a mark, and how much they are (of swapped ones, how much is swapped)."""
        return self._marked[letter]

    def by_kind(self) -> Iterator[tuple[str, int, Amount, Amount, Amount]]:
        """For each kind that is there: its letter, how many regions, mapped, resident, swapped."""
        found: dict[str, list[vm.PageInfo]] = {}
        for one in self.seen:
            found.setdefault(one.base, []).append(one.row)
        for letter in KINDS:
            if rows := found.get(letter):
                resident = amount(row.resident_size for row in rows)
                swapped = amount(row.swapped_size for row in rows)
                yield letter, len(rows), amount(row.size for row in rows), resident, swapped

    def standing_out(self) -> Iterator[tuple[str, str]]:
        """What stands out, each with its letter and in words; a letter of a blank for what is not known."""
        unknown, nothing = [], []
        for letter, kind in MARKS.items():
            count, size = self.marked(letter)
            if not count and size.is_complete:
                nothing.append(kind.title)
            elif count:
                regions = f"{count:,} region" + "s" * (count != 1)
                yield letter, f"{kind.title}: {size} in {regions}; {kind.meaning}"
            else:
                unknown.append(kind.title)
        if not self.is_self and MARKS["X"].title in nothing:  # a None of its rows does not mean that nobody promised
            nothing.remove(MARKS["X"].title)
            unknown.append(f"{MARKS['X'].title} (only that process knows)")
        if nothing:
            yield " ", f"Nothing is {_or(nothing)}."
        if unknown:
            yield " ", f"Not told: what is {_or(unknown)}."

    def notes(self, *, has_picture: bool = True) -> Iterator[str]:
        """What must be said about the reading itself, and about the picture if there is one."""
        if self.refused is not None:
            yield self.refused
            return
        if not self.regions and not self.unread:
            yield "It has no memory of its own: a thread of the kernel, or a process that has ended."
        if self.torn:
            yield "The mappings changed each time while they were read: this is of no single moment."
        for words in self.unread:
            yield f"What could not be read: {words}"
        places = self.places or self.regions
        # Other things may be unread: rows that are wholly in memory or wholly not are in their places all the same.
        if has_picture and self.unread and any(0 < (row.resident_size or 0) < row.size for row in places):
            yield "So where in a region its pages are is not known: shares are drawn from the left."
