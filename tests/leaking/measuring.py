"""Run a call in a process of its own and search that process's whole memory from this one."""

import json
import textwrap
from collections import Counter
from collections.abc import Mapping as Dictionary
from importlib import metadata

from children import Live
from leaking.operation import Material, Operation, fresh
from observed_linux import Mapping, Memory

ROUNDS = 50
STAGES = ("lives", "gone")
#: Of what is not whole, pieces of this size and alignment are looked for: halves, when the secret has 32 bytes.
PIECE_SIZE = 16

_CHILD = """
secret = Secret.build({size}, take) if {size} else None
control = os.read(0, {control})
public = {public!r}
{setup}

def work():
{body}
    return result

def tell(word):
    os.write(1, word)
    os.read(0, 1)

kept, others = None, []
for i in range({rounds}):
    kept = work()
    others.append(bytes(37 * i % 500))  # as in a program that does other things: not always the same block again
tell(b"lives\\n")
kept = None
gc.collect()
tell(b"gone\\n")
"""


class MeasuringError(Exception):
    """What was seen proves nothing: the text says why."""


class Found:
    """Copies of one thing at one moment: how many in each kind of memory, and pieces that belong to no copy."""

    def __init__(self, copies: Dictionary[str, int], pieces: Dictionary[str, int]) -> None:
        self.copies = dict(copies)
        self.pieces = dict(pieces)

    @property
    def is_none(self) -> bool:
        """Whether nothing was found."""
        return not self.copies and not self.pieces


#: What was found of each thing looked for, at each stage.
Findings = dict[str, dict[str, Found]]


def missing(operation: Operation) -> list[str]:
    """Return which distributions the operation lacks here."""
    lacking = []
    for name in operation.needs:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(name)
    return lacking


def _place(mapping: Mapping) -> str:
    if mapping.path.startswith("[stack"):
        return "stack"
    return "heap" if mapping.path in ("[heap]", "") else "other"


def search(memory: Memory, needle: bytes) -> Found:
    """Return the copies of ``needle``, and how often a piece of it lies outside every copy."""
    copies, pieces = Counter[str](), Counter[str]()
    inside: set[int] = set()
    parts = Counter(needle[start : start + PIECE_SIZE] for start in range(0, len(needle) - PIECE_SIZE + 1, PIECE_SIZE))
    places: dict[bytes, list[tuple[int, Mapping]]] = {part: [] for part in (needle, *parts)}
    for address, part, mapping in memory.find_all(places):
        places[part].append((address, mapping))
    for address, mapping in places[needle]:
        copies[_place(mapping)] += 1
        inside.update(range(address, address + len(needle), PIECE_SIZE))
    for part, times in parts.items():
        for address, mapping in places[part]:
            pieces[_place(mapping)] += times * (address not in inside)
    return Found(copies, +pieces)


def _program(operation: Operation, material: Material, control: bytes) -> str:
    body = operation.code or f"result = {operation.call}"
    if operation.is_opened:
        body = f"with secret.open() as view:\n{textwrap.indent(textwrap.dedent(body), '    ')}"
    return _CHILD.format(
        size=len(material.secret),
        control=len(control),
        public=material.public,
        setup=textwrap.dedent(operation.setup),
        body=textwrap.indent(textwrap.dedent(body), "    "),
        rounds=operation.rounds or ROUNDS,
    )


def measure(operation: Operation) -> Findings:
    """Run the operation with a fresh secret in a fresh process, and return what was found of it there.

    Raises MeasuringError when the process fails, or when the search does not find an ordinary bytes object in it.
    """
    material, control = operation.make(), fresh()
    for name, needle in material.hunted.items():
        if len(needle) < 2 * PIECE_SIZE:
            raise MeasuringError(f"{operation.call}: {name} is too short to look for")
    environment = {**operation.environment, **material.environment}
    findings: Findings = {name: {} for name in material.hunted}
    with Live(_program(operation, material, control), env=environment) as live:
        live.send(material.secret + control)
        for stage in STAGES:
            try:
                said = live.line()
            except AssertionError as error:
                raise MeasuringError(f"{operation.call}: its process failed") from error
            if said != stage:
                raise MeasuringError(f"{operation.call}: its process said {said!r}")
            with Memory(live.pid) as memory:
                if search(memory, control).is_none:
                    raise MeasuringError(f"{operation.call}: the search does not find what is there")
                for name, needle in material.hunted.items():
                    findings[name][stage] = search(memory, needle)
            live.go()
    return findings


def as_json(found: dict[str, list[Findings]]) -> str:
    """Return what each run of each call found as one JSON object."""
    return json.dumps(found, indent=2, default=vars)
