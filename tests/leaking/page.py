"""The tables of docs/libraries.md: written from what was found, and read again by the tests."""

import platform
import re
import ssl
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from leaking import ciphers, others, standard, tls
from leaking.measuring import STAGES, Findings, Found, missing
from leaking.operation import Operation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "libraries.md"
BEGIN, END = "<!-- written by python tests/leaking --save -->", "<!-- and no further -->"
NONE = "none"
_WIDTH = 120
_HEAD = ["| call | looked for | while the result lives | after it is gone | instead |", "|---|---|---|---|---|"]

GROUPS: dict[str, Sequence[Operation]] = {
    "strongroom itself": standard.OURS,
    "The language": standard.LANGUAGE,
    "The standard library": standard.STANDARD,
    "TLS (`ssl`)": tls.TLS,
    "`cryptography`": ciphers.CIPHERS,
    "Other libraries": others.OTHERS,
}
ALL = [operation for operations in GROUPS.values() for operation in operations]


def distributions() -> list[str]:
    """Return every distribution that some row needs, once."""
    return list(dict.fromkeys(name for operation in ALL for name in operation.needs))


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}-{high}"


def _part(counts: Sequence[dict[str, int]]) -> str:
    """Return how many there were in all runs, and in which kinds of memory."""
    places = sorted({place for each in counts for place in each})
    return f"{_span([sum(each.values()) for each in counts])} ({', '.join(places)})"


def cell(runs: Sequence[Found]) -> str:
    """Return what was found in some runs, in words."""
    parts = []
    if any(run.copies for run in runs):
        parts.append(_part([run.copies for run in runs]))
    if any(run.pieces for run in runs):
        parts.append("pieces " + _part([run.pieces for run in runs]))
    return "; ".join(parts) or NONE


def verdict(text: str) -> bool | None:
    """Return whether a cell says that something is always (True), never (False) or sometimes (None) left."""
    if text == NONE:
        return False
    return True if any(not part.removeprefix("pieces ").startswith("0") for part in text.split("; ")) else None


def _rows(operation: Operation, runs: Sequence[Findings]) -> Iterator[str]:
    for name in runs[0]:
        cells = [cell([run[name][stage] for run in runs]) for stage in STAGES]
        instead = "" if set(cells) == {NONE} else operation.instead
        yield f"| `{operation.call}` | {name} | {' | '.join(cells)} | {instead} |".replace("|  |", "| |")


def _versions() -> str:
    others_here = [f"{name} {metadata.version(name)}" for name in distributions() if not lacks(name)]
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    kernel = ".".join(platform.release().split(".")[:2])
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{platform.system()} {kernel} {platform.machine()}, {python} with {openssl}, " + ", ".join(others_here)


def lacks(name: str) -> bool:
    """Whether a distribution is not installed here."""
    return bool(missing(Operation("", needs=(name,))))


def render(found: dict[str, list[Findings]], rounds: int, runs: int) -> str:
    """Return the tables as Markdown, with what they were measured on."""
    measured_on = f"Measured {datetime.now(UTC):%Y-%m-%d} on {_versions()}."
    lines = [*textwrap.wrap(measured_on, _WIDTH), f"Processes for each row: {runs}; repetitions in each: {rounds}."]
    left_out = [f"`{each.call}` (needs {', '.join(lacking)})" for each in ALL if (lacking := missing(each))]
    if left_out:
        lines += ["", *textwrap.wrap(f"Not measured, for want of a library: {'; '.join(left_out)}.", _WIDTH)]
    for title, operations in GROUPS.items():
        measured = [operation for operation in operations if operation.call in found]
        if measured:
            lines += [
                "",
                f"### {title}",
                "",
                "| call | looked for | while the result lives | after it is gone | instead |",
            ]
            lines += ["|---|---|---|---|---|"]
            lines += [row for operation in measured for row in _rows(operation, found[operation.call])]
    return "\n".join(lines)


def save(text: str) -> None:
    """Put the tables into the page, in place of those there."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


class Line(NamedTuple):
    """What the page says of one thing looked for after one call."""

    lives: str
    gone: str
    instead: str


def read() -> dict[tuple[str, str], Line]:
    """Return the page's rows by the call and what was looked for."""
    tables = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    found = re.findall(r"^\| `(.+?)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| (.*?) ?\|$", tables, re.MULTILINE)
    return {(call, name): Line(*rest) for call, name, *rest in found}
