"""A short run of what measures the moment of use: the machinery works, and what must not be seen is not."""

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: stops a process with ptrace", allow_module_level=True)

from pieces import KEY, KEY_PAGE, PLAIN, ROOM

_spec = importlib.util.spec_from_file_location("stopped_at_random", Path(__file__).with_name("stopped_at_random.py"))
assert _spec is not None
assert _spec.loader is not None
stopping_at = importlib.util.module_from_spec(_spec)
sys.modules["stopped_at_random"] = stopping_at
_spec.loader.exec_module(stopping_at)

MOMENTS = 12
NAMES = {"open 32 B", "open 45 B", "open 4 KiB, 4 threads", "open 32 B, secret memory", "seal 45 B", "rest after 45 B"}
LOOPS = [loop for loop in stopping_at.LOOPS if loop.name in NAMES]


def watch(loop: Any, moments: int = MOMENTS) -> Any:
    """What is seen of a loop, or a named skip."""
    try:
        return stopping_at.watch(loop, moments, random.Random())
    except PermissionError:
        pytest.skip("tracing a child is forbidden here: needs yama's ptrace_scope at most 1, and a container "
                    "profile that allows ptrace")  # fmt: skip


def test_the_control_is_caught() -> None:
    """A loop that leaks on purpose is seen in registers, on a stack and in the heap, key and plaintext."""
    assert stopping_at.is_caught(watch(stopping_at.CONTROL))


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name.replace(" ", "-"))
def test_nothing_is_where_it_must_not_be(loop: Any, has_secretmem: bool) -> None:
    """No piece of either outside registers and stacks, and at rest none at all (1,000 moments: run the program)."""
    if loop.backing == "secretmem" and not has_secretmem:
        pytest.skip("no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1")
    seen = watch(loop)
    assert stopping_at.is_kept(loop, seen), stopping_at.row(loop, seen)
    if loop.backing == "locked":
        assert seen.unread_size == 0
        assert seen.pieces[KEY, KEY_PAGE] == MOMENTS
    if loop.name.startswith("seal"):
        assert seen.pieces[PLAIN, ROOM] == MOMENTS
