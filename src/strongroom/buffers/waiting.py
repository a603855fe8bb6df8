"""Waiting at the lock limit until memory is given back.

Each thread that waits has a bell: a lock that is held, until somebody gives locked memory back and releases it. No
condition variables: memory is given back in finalizers too, which run wherever the collector does, perhaps in a thread
that is just ringing or hanging up a bell. Nothing here blocks but the wait itself, and that without the interpreter.

Other code's unlocking rings no bell, nor does that of regions, so a waiter also looks for itself now and then.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock

from strongroom import _native
from strongroom._os import limits
from strongroom.buffers import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.policy import Policy

__all__ = ["POLL_SECONDS", "is_limit", "wait_note", "waiting"]

#: How often a waiter looks although nobody rang. Each look is a refused system call or three: much shorter, and a
#: waiting thread costs something; much longer, and memory that other code unlocked lies idle.
POLL_SECONDS = 0.05

#: The native layer rings them.
_bells = _native.bells()
_forgets_in_child = False


def is_limit(call: str, requested: int) -> bool:
    """Whether a call that may have met the lock limit really did.

    mlock is refused for other reasons too (no memory, too many mappings: mlock(2)), secret memory is not. The numbers
    are later than the refusal, and other threads may have unlocked meanwhile: only where they are far from the limit
    was it one of those.
    """
    limit, held = limits.lock_limit(), limits.locked_now()
    is_far = held is not None and (limit is None or held + requested <= limit // 2)
    return not (call == "mlock" and is_far)


def _objection(requested: int) -> str:
    """Why this thread must not wait, or nothing."""
    if _native.holds_room():
        return "this thread has a Secret open, and who would give memory back may be waiting for that: close it first"
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)  # missing while another thread is importing it
    if running is not None and running() is not None:
        return "this thread runs an event loop, which would stand still: use a thread, with asyncio.to_thread"
    limit = limits.lock_limit()
    if limit is not None and requested > limit:
        return "that is more than the whole limit"
    return ""


def wait_note(policy: Policy | None, requested: int) -> str:
    """Return what an error says of a wait that the policy asked for, or nothing if it did not."""
    seconds = (policy or settings.default()).wait_seconds
    if not seconds:
        return ""
    objection = _objection(requested)
    return f"Did not wait: {objection}." if objection else f"Waited {seconds:g} seconds in vain."


def _forget() -> None:
    """In a child: the threads that waited are not there."""
    _bells.clear()


def waiting(policy: Policy | None, call: str, requested: int) -> Iterator[None]:
    """Give an item each time that it is worth another try; end when the policy's time is over or must not be waited.

    Args:
        policy: The policy of the call, or ``None``.
        call: The native call that was refused.
        requested: Bytes that were to be locked.
    """
    global _forgets_in_child
    seconds = (policy or settings.default()).wait_seconds
    if not seconds or _objection(requested):
        return
    deadline = time.monotonic() + seconds
    if not _forgets_in_child and hasattr(os, "register_at_fork"):
        _forgets_in_child = True
        os.register_at_fork(after_in_child=_forget)
    bell = allocate_lock()
    bell.acquire()
    _bells.append(bell)
    try:
        yield  # at once: what was given back before the bell hung is heard by nobody
        if not is_limit(call, requested):  # asked only now: a moment ago the numbers may have been others
            return
        while (left := deadline - time.monotonic()) > 0:
            bell.acquire(True, min(left, POLL_SECONDS))  # in the main thread a signal's handler runs in between
            yield
    finally:
        if bell in _bells:
            _bells.remove(bell)
