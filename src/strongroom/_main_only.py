"""Refuse sub-interpreters of Python 3.11 before the native layer is loaded.

It refuses them itself, but there a module that was refused once cannot be loaded into the main interpreter either.
Later versions of Python ask a module first.
"""

from __future__ import annotations

import sys

__all__ = ["REFUSAL"]

REFUSAL = (
    "strongroom works in the main interpreter of a process only: use it there, or in a process of its own, and pass "
    "what was computed to the sub-interpreter"
)

if sys.version_info < (3, 12):
    try:
        import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found]
    except ImportError:  # built without
        pass
    else:
        if _interpreters.get_current() != _interpreters.get_main():
            raise ImportError(REFUSAL)
