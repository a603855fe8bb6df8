"""Where an attacker process begins: `name parameters-as-JSON`, tracers on standard input, JSON out."""

from __future__ import annotations

import json
import sys
from typing import Any

from . import core, disk, image, memory, pageout

ATTACKS = {
    "memory": memory.run, "image": image.run, "disk": disk.run, "core": core.run, "pageout": pageout.run,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run one attack; a failure is told as {"error": ...}, never as a traceback full of variables."""
    name, parameters = arguments[0], json.loads(arguments[1])
    result: dict[str, Any]
    try:
        result = ATTACKS[name](parameters)
    except (OSError, EOFError, ValueError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    return 0 if "error" not in result else 1
