"""Where secrets come from, each source as a size and a function that fills a View."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom._os import PLATFORM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Fill = Callable[[_native.View], int | None]

__all__ = ["from_env", "from_prompt"]


def from_env(name: str) -> tuple[int, Fill]:
    """Return the size of an environment variable's value and what copies it from where it lies."""
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise ValueError("the name of an environment variable is a non-empty str without '=' and NUL")
    raw = name.encode() if PLATFORM == "windows" else os.fsencode(name)
    size = _native.environment_size(raw)
    if size is None:
        raise KeyError(f"there is no environment variable {name!r}: set it for this process, or check its spelling")
    if size == 0:
        raise ValueError(f"the environment variable {name!r} is empty")
    return size, lambda view: _native.environment_read(raw, view)


def scrub_env(name: str) -> None:
    """Overwrite a variable in the C environment and in ``os.environ``, and remove it from both."""
    raw = name.encode() if PLATFORM == "windows" else os.fsencode(name)
    # os.environ keeps a bytes object of its own, under a private name on every version so far (Lib/os.py).
    data = getattr(os.environ, "_data", None)
    if isinstance(data, dict):
        _native.wipe_only_bytes(data, raw)
    _native.environment_wipe(raw)
    if name in os.environ:
        del os.environ[name]


def from_prompt(prompt: str) -> tuple[int, Fill]:
    """Return the longest line's size and what asks for one."""

    from strongroom._os import terminal

    if not isinstance(prompt, str):
        raise TypeError(f"the question must be a str, not {type(prompt).__name__}")

    def fill(view: _native.View) -> int:
        size = terminal.ask(prompt, view)
        if size == 0:
            raise ValueError("nothing was typed")
        return size

    return terminal.LINE_MAX_SIZE, fill
