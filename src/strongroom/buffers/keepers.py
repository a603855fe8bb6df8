"""Who still refers to a piece of memory: the words for the error when a buffer outlives its block.

Runs on that error path only. Running frames tell the local variables; the garbage collector tells the rest. NumPy
arrays are not tracked by it, so what each tracked object refers to is looked at, not only the objects themselves.
Names and types are told, contents never.
"""

from __future__ import annotations

import gc
import sys

from strongroom import _native

__all__ = ["keepers"]

#: Enough to recognise the mistake; a list of thousands would hide it.
_MOST_NAMED = 3

#: Where the types come from whose buffers are asked for their address: asking runs none of the user's own code.
_BUFFER_MODULES = {"_ctypes", "array", "mmap", "numpy"}


def _is_inside(thing: object, start: int, end: int) -> bool:
    kind = type(thing)
    if kind is not memoryview and not any(base.__module__ in _BUFFER_MODULES for base in kind.__mro__):
        return False
    address = _native.buffer_start(thing)
    return address is not None and start <= address < end


def _words_for_local(name: str, value: object, where: str, start: int, end: int) -> str | None:
    if _is_inside(value, start, end):
        return f"{type(value).__name__} in the local variable {name!r} of {where}"
    if isinstance(value, list | tuple | set | dict):
        for thing in gc.get_referents(value):
            if _is_inside(thing, start, end):
                kind = type(value).__name__
                return f"{type(thing).__name__} in a {kind}, the local variable {name!r} of {where}"
    return None


def _in_frames(start: int, end: int) -> list[str]:
    found: list[str] = []
    frame = value = None
    try:
        for top in sys._current_frames().values():
            frame = top
            while frame is not None:
                code = frame.f_code
                if code.co_filename != __file__ and frame.f_locals is not frame.f_globals:
                    where = f"{code.co_qualname}, {code.co_filename}:{frame.f_lineno}"
                    for name, value in list(frame.f_locals.items()):
                        words = _words_for_local(name, value, where, start, end)
                        if words is not None:
                            found.append(words)
                frame = frame.f_back
    finally:
        # One of the frames is this function's own: kept in its variables it would keep every caller's locals, and
        # with them the very buffers in question, alive until the next collection.
        del top, frame, value
    return found


def _place(holder: object, thing: object) -> str:
    """Words for where in ``holder`` the thing is."""
    if isinstance(holder, dict):
        name = next((key for key, value in list(holder.items()) if value is thing), None)
        for owner in gc.get_referrers(holder):
            if getattr(owner, "__dict__", None) is holder:
                if isinstance(owner, type(sys)):
                    return f"the global variable {name!r} of module {owner.__name__}"
                return f"the attribute {name!r} of a {type(owner).__name__} object"
        return f"a dict under {name!r}" if isinstance(name, str) else "a dict"
    attributes = getattr(holder, "__dict__", None)
    if isinstance(attributes, dict):
        for name, value in attributes.items():
            if value is thing:
                return f"the attribute {name!r} of a {type(holder).__name__} object"
    return f"a {type(holder).__name__}"


def _in_objects(start: int, end: int) -> list[str]:
    return [
        f"{type(thing).__name__} in {_place(holder, thing)}"
        for holder in gc.get_objects()
        if type(holder).__name__ != "frame"  # told with the variable's name, or about to go
        for thing in gc.get_referents(holder)
        if _is_inside(thing, start, end)
    ]


def keepers(start: int, end: int) -> str:
    """Return words for what still refers to the memory from ``start`` up to ``end``."""
    found = list(dict.fromkeys(_in_frames(start, end) or _in_objects(start, end)))
    if not found:
        return "an object that the garbage collector does not track"
    more = len(found) - _MOST_NAMED
    return "; ".join(found[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
