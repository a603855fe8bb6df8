"""JSON for programs: one object on one stream, always with the version of its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

SCHEMA = 1


def write(content: Mapping[str, Any], stream: TextIO) -> None:
    """Write one object, `"schema": 1` first; keys keep their order."""
    json.dump({"schema": SCHEMA, **content}, stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def write_rows(content: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write one object whose last member is a list, a line for each of its rows: there may be a hundred thousand.

    All of it is ASCII, since text that others chose is in it: a terminal would obey some of what is not.
    """
    head = json.dumps({"schema": SCHEMA, **content}, indent=2)
    stream.write(f"{head[:-2]},\n  {json.dumps(name)}: [")
    separator = "\n"
    for row in rows:
        stream.write(f"{separator}    {json.dumps(row)}")
        separator = ",\n"
    stream.write("\n  ]\n}\n")
