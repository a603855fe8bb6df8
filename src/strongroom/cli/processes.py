"""What everybody may read of a process: its name, its user, its totals. Linux' text, and nothing where there is none.

Source: proc_pid_status(5), man-pages 6.10.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from strongroom.report.memory import EVERYBODY

__all__ = ["Process", "parse", "read"]


@dataclass(frozen=True, slots=True)
class Process:
    """A name as the process chose it, a user's number, and sizes in bytes by the names that ``status`` has for them."""

    name: str | None = None
    user: str | None = None
    totals: dict[str, int] = field(default_factory=dict)


def parse(text: str) -> Process:
    """Read a ``status``. A line that is not as expected says nothing."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name, value.strip())
    totals = {}
    for name in EVERYBODY:
        size, _, unit = fields.get(name, "").partition(" ")
        if unit == "kB" and size.isascii() and size.isdigit():
            totals[name] = int(size) * 1024
    users = fields.get("Uid", "").split()
    return Process(fields.get("Name") or None, users[1] if len(users) > 1 else None, totals)


def read(pid: int) -> Process:
    """Read a process's ``status``; nothing if there is none."""
    if not hasattr(os, "fork"):  # Wine shows Windows programs the files of another world, with other numbers in it
        return Process()
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return parse(file.read())
    except OSError:
        return Process()
