"""Handing keys over to forked children, for secrets made with ``in_children="keep"``.

A child's memory begins as a copy of its parent's, without the pages that hold keys. Before the fork the parent writes
the keys that children shall have into a pipe, each byte masked by one of a random pad; the child reads them into locked
memory of its own and takes the mask off there. The pad is inherited like all ordinary memory and is overwritten on both
sides at once. So neither what the kernel keeps of a pipe nor what a fork copies is a key.

A pipe has room for that before anybody reads: 64 KiB on Linux, and more where that is asked for (five keys of shielded
secrets need it); one page where a user has very many, for which the write does not wait. Nobody waits for anybody: a
child that dies, or closes all its descriptors, harms nobody.
"""

from __future__ import annotations

import os

from strongroom import _native
from strongroom._loading import have_forks_wait
from strongroom._native import LockedBlock
from strongroom.exceptions import StrongroomError

try:
    import fcntl
except ImportError:  # Windows, which has no forks either
    fcntl = None  # type: ignore[assignment]

__all__ = ["prepare"]


class _Hand:
    """What one fork hands over: keys in a pipe, masked by a pad; or why there is nothing in it."""

    __slots__ = ("keys", "pad", "problem", "reader", "writer")

    def __init__(self) -> None:
        #: Of each its number, and the bytes that are handed over and that it takes.
        self.keys = _native.kept_keys()
        self.pad = bytearray()
        self.problem = "a signal handler raised meanwhile"
        self.reader = self.writer = -1

    def fill(self) -> None:
        size = sum(size for _number, size, _taken in self.keys)
        if not size:
            self.problem = ""
            return
        self.pad = bytearray(size)
        _native.fill_random(self.pad)
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        if hasattr(fcntl, "F_SETPIPE_SZ") and fcntl.fcntl(self.writer, fcntl.F_GETPIPE_SZ) < size:
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, size)
        with LockedBlock(size) as buffer, buffer.open("rw") as masked:
            start, listed, self.keys = 0, self.keys, []
            for key in listed:
                part = slice(start, start + key[1])
                if _native.mask_key(key[0], memoryview(self.pad)[part], masked[part]):
                    self.keys.append(key)
                    start += key[1]
            if os.write(self.writer, masked[:start]) != start:
                raise OSError("a pipe has no room for it")
        self.close_writer()
        self.problem = ""

    def take(self) -> None:
        start = 0
        for number, size, taken in self.keys:
            block = LockedBlock(taken, isolated=True)
            with block.open("rw") as view:
                if os.readv(self.reader, [view[:size]]) != size:
                    raise OSError("the pipe ended")
            _native.adopt_key(block, number, memoryview(self.pad)[start : start + size])
            start += size

    def close_writer(self) -> None:
        # No call between the two: it is where a signal handler may raise, and a number must not be closed twice.
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def end(self) -> None:
        _native.wipe(self.pad)
        self.close_writer()
        reader, self.reader = self.reader, -1
        if reader >= 0:
            os.close(reader)

    __del__ = end  # once more, should a signal handler have raised in it


#: At most one; an earlier one that is still there was left by a signal handler that raised, or that forks itself.
_hands: list[_Hand] = []
_is_prepared = False


def _end_hands() -> None:
    while _hands:
        hand = _hands.pop()
        hand.problem = "a signal handler forked at the same time"
        hand.end()


def _before() -> None:
    _end_hands()
    hand = _Hand()
    _hands.append(hand)
    try:
        hand.fill()
    except (OSError, MemoryError, StrongroomError) as error:
        hand.problem = f"it was not handed over: {error}"


def _in_child() -> None:
    problem = "its at-fork handler was registered while the process forked"
    try:
        for hand in _hands:
            problem = hand.problem
            if not problem:
                hand.take()
    except (OSError, MemoryError, StrongroomError) as error:
        problem = f"it could not be taken over: {error}"
    finally:
        _native.note_hand_over(problem or "it was drawn while the process forked")
        _end_hands()


def prepare() -> None:
    """Have forks hand over, from now on, the keys that children shall have."""
    global _is_prepared
    if not _is_prepared and hasattr(os, "register_at_fork"):
        _is_prepared = True
        os.register_at_fork(before=_before, after_in_parent=_end_hands, after_in_child=_in_child)
        # One fork at a time: what a thread is about to hand to its child would be in another's child too. And no new
        # key meanwhile: one that is drawn after the others were written down would be missing in the child.
        have_forks_wait(again=True)
