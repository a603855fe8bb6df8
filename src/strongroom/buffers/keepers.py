"""Who still refers to a piece of memory: the words for the error when a buffer outlives its block.

Runs on that error path only. Running frames tell the local variables; the garbage collector tells the rest. NumPy
arrays are not tracked by it, so what each tracked object refers to is looked at, not only the objects themselves.
Names and types are told, contents never.
"""

from __future__ import annotations

import gc
import sys

from strongroom import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["keepers"]

#: Enough to recognise the mistake; a list of thousands would hide it, and take seconds to write.
_MOST_NAMED = 3

#: Where the types come from whose buffers are asked for their address: asking runs none of the user's own code.
_BUFFER_MODULES = frozenset({"_ctypes", "array", "mmap", "numpy"})

#: What ``type.__module__`` and ``object.__dict__`` mean, past anything a class may have put in their place.
_module_of = type.__dict__["__module__"].__get__

#: A code object's flag for function bodies, whose locals are no dictionary; inspect.CO_OPTIMIZED.
_IS_FUNCTION = 0x1

#: To a frame's copy of its locals: the frame's, our variable's, and the argument of sys.getrefcount.
_OWN_REFERENCES = 3


def _is_buffer_type(kind: type) -> bool:
    module = _module_of(kind)
    return type(module) is str and module in _BUFFER_MODULES


def _attributes_of(thing: object) -> dict[str, object] | None:
    """An object's own dictionary, if it has one that is no property of its class."""
    for base in type.mro(type(thing)):
        descriptor = base.__dict__.get("__dict__")
        if descriptor is not None:
            if type(descriptor).__name__ not in ("getset_descriptor", "member_descriptor"):  # modules have the second
                return None
            found = descriptor.__get__(thing)
            return found if type(found) is dict else None
    return None


def _is_inside(thing: object, start: int, end: int) -> bool:
    kind = type(thing)
    if kind is not memoryview and not any(_is_buffer_type(base) for base in type.mro(kind)):
        return False
    address = _native.buffer_start(thing)
    return address is not None and start <= address < end


def _in_local(name: str, value: object, where: str, start: int, end: int) -> str | None:
    if _is_inside(value, start, end):
        return f"{type(value).__name__} in the local variable {name!r} of {where}"
    if isinstance(value, list | tuple | set | dict):
        for thing in gc.get_referents(value):
            if _is_inside(thing, start, end):
                kind = type(value).__name__
                return f"{type(thing).__name__} in a {kind}, the local variable {name!r} of {where}"
    return None


def _in_frame(frame: FrameType, start: int, end: int) -> list[str]:
    code = frame.f_code
    local_variables = frame.f_locals
    if code.co_filename == __file__ or local_variables is frame.f_globals:
        return []
    found: list[str] = []
    for name, value in list(local_variables.items()):
        words = _in_local(name, value, f"{code.co_qualname}, {code.co_filename}:{frame.f_lineno}", start, end)
        if words is not None:
            found.append(words)
    # Up to Python 3.12 a function's f_locals is a copy that lives as long as the frame. Left as it is, dropping a
    # variable would no longer drop the buffer. Not if somebody else has it too: then locals() was called there.
    is_copy = type(local_variables) is dict and code.co_flags & _IS_FUNCTION
    if is_copy and sys.getrefcount(local_variables) <= _OWN_REFERENCES:
        local_variables.clear()
    return found


def _in_frames(start: int, end: int) -> list[str]:
    found: list[str] = []
    frame: FrameType | None = None
    try:
        for top in sys._current_frames().values():
            frame = top
            while frame is not None:
                found += _in_frame(frame, start, end)
                frame = frame.f_back
    finally:
        # One of the frames is this function's own: kept in its variables it would keep every caller's locals, and
        # with them the very buffers in question, alive until the next collection.
        del top, frame
    return found


def _place(holder: object, thing: object) -> str:
    """Words for where in ``holder`` the thing is."""
    if isinstance(holder, dict):
        name = next((key for key, value in list(holder.items()) if value is thing), None)
        for owner in gc.get_referrers(holder):
            if _attributes_of(owner) is holder:
                if isinstance(owner, type(sys)):
                    return f"the global variable {name!r} of module {owner.__name__}"
                return f"the attribute {name!r} of a {type(owner).__name__} object"
        return f"a dict under {name!r}" if isinstance(name, str) else "a dict"
    for name, value in (_attributes_of(holder) or {}).items():
        if value is thing:
            return f"the attribute {name!r} of a {type(holder).__name__} object"
    return f"a {type(holder).__name__}"


def _in_objects(start: int, end: int) -> list[str]:
    found: list[str] = []
    for holder in gc.get_objects():
        if type(holder).__name__ == "frame":  # told with the variable's name, or about to go
            continue
        for thing in gc.get_referents(holder):
            if _is_inside(thing, start, end):
                kind = type(thing).__name__
                found.append(f"{kind} in {_place(holder, thing)}" if len(found) < _MOST_NAMED else kind)
    return found


def keepers(start: int, end: int) -> str:
    """Return words for what still refers to the memory from ``start`` up to ``end``."""
    found = _in_frames(start, end) or _in_objects(start, end)
    if not found:
        return "an object that the garbage collector does not track"
    more = len(found) - _MOST_NAMED
    named = list(dict.fromkeys(found[:_MOST_NAMED]))
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")
