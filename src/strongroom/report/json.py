"""JSON for programs: one object on one stream, always with the version of its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

SCHEMA = 1


def write(content: Mapping[str, Any], stream: TextIO) -> None:
    """Write one object, `"schema": 1` first; keys keep their order."""
    json.dump({"schema": SCHEMA, **content}, stream, indent=2, ensure_ascii=False)
    stream.write("\n")
