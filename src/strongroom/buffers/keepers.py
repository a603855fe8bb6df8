"""Who still refers to a piece of memory: the words for the error when a buffer outlives its block.

Runs on that error path only. Running frames tell the local variables; the garbage collector tells the rest. NumPy
arrays are not tracked by it, so what each tracked object refers to is looked at, not only the objects themselves.
Names and types are told, contents never.
"""

from __future__ import annotations

import gc
import sys
import time

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

#: How long to search among all objects; they may be millions.
_SEARCH_SECONDS = 3.0

#: How many objects to look at between two looks at the clock.
_OBJECTS_AT_A_TIME = 1000


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


def _may_lie_anywhere(kind: type) -> bool:
    """Whether objects of this type show memory that is not their own."""
    return kind is memoryview or any(_is_buffer_type(base) for base in type.mro(kind))


def _is_inside(thing: object, start: int, end: int) -> bool:
    if not _may_lie_anywhere(type(thing)):
        return False
    address = _native.buffer_start(thing)
    return address is not None and start <= address < end


def _in_local(name: str, value: object, where: str, start: int, end: int) -> str | None:
    if _is_inside(value, start, end):
        return f"{type(value).__name__} in the local variable {name!r} of {where}"
    if issubclass(type(value), list | tuple | set | dict):  # what it says of its class may be code of its own
        for thing in gc.get_referents(value):
            if _is_inside(thing, start, end):
                kind = type(value).__name__
                return f"{type(thing).__name__} in a {kind}, the local variable {name!r} of {where}"
    return None


def _in_frame(frame: FrameType, start: int, end: int) -> list[str]:
    code = frame.f_code
    if code.co_filename == __file__:
        return []
    if code.co_flags & _IS_FUNCTION:
        variables = _native.local_variables(frame)
    elif frame.f_locals is frame.f_globals:  # a module's: told as global variables
        return []
    else:
        variables = list(frame.f_locals.items())
    found: list[str] = []
    for name, value in variables:
        words = _in_local(name, value, f"{code.co_qualname}, {code.co_filename}:{frame.f_lineno}", start, end)
        if words is not None:
            found.append(words)
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


def _referents(holder: object) -> list[object]:
    """What an object refers to, as far as asking is safe.

    Frames are told with their variables' names. What modules refer to is their dictionary, which is among the objects
    itself; the rest is the business of their C code, and that of Python 3.12.1's ``_asyncio`` never comes to an end.
    """
    return [] if type(holder).__name__ in ("frame", "module") else gc.get_referents(holder)


def _owner_of(attributes: dict[str, object]) -> object:
    """The module or object whose dictionary this is, or None."""
    for owner in gc.get_objects():
        is_candidate = type(owner) is type(sys) or any(thing is attributes for thing in _referents(owner))
        if is_candidate and _attributes_of(owner) is attributes:
            return owner
    return None


def _place(holder: object, thing: object) -> str:
    """Words for where in ``holder`` the thing is. Names of variables and attributes; what else is a key is content."""
    attributes = holder if type(holder) is dict else _attributes_of(holder) or {}
    owner = _owner_of(attributes) if attributes is holder else holder
    name = next((key for key, value in list(attributes.items()) if value is thing), None)
    if owner is None or name is None:
        return f"a {type(holder).__name__}"
    if type(owner) is type(sys):
        return f"the global variable {name!r} of module {attributes.get('__name__')}"
    return f"the attribute {name!r} of a {type(owner).__name__} object"


def _in_objects(start: int, end: int) -> tuple[list[str], bool]:
    """Words for what was found, and whether all objects were looked at."""
    found: list[str] = []
    others: dict[int, type] = {}  # types of what need not be looked at; by their ids: a hash may be code of their own
    deadline = time.monotonic() + _SEARCH_SECONDS
    for count, holder in enumerate(gc.get_objects()):
        if count % _OBJECTS_AT_A_TIME == 0 and time.monotonic() > deadline:
            return found, False
        for thing in _referents(holder):
            kind = type(thing)
            if id(kind) in others:
                continue
            if not _may_lie_anywhere(kind):
                others[id(kind)] = kind
            elif _is_inside(thing, start, end):
                name = kind.__name__
                found.append(f"{name} in {_place(holder, thing)}" if len(found) < _MOST_NAMED else name)
    return found, True


def keepers(start: int, end: int) -> str:
    """Return words for what still refers to the memory from ``start`` up to ``end``."""
    found, is_whole = _in_frames(start, end), True
    if not found:
        found, is_whole = _in_objects(start, end)
    if not found and is_whole:
        return "an object that the garbage collector does not track"
    if not found:
        return f"an object that was not found among very many within {_SEARCH_SECONDS:g} seconds"
    more = len(found) - _MOST_NAMED
    named = list(dict.fromkeys(found[:_MOST_NAMED]))
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")
