"""Tracers: random marks, one per kind of memory and trial, that victims hold and attackers look for.

They are made in one locked page and leave it only through pipes (kernel memory, never swapped), written from
the page itself: no Python object of prove ever holds one. 48 characters of 64 give 288 bits: a match by chance,
even of a half, does not happen.
"""

from __future__ import annotations

import hmac
import os

from strongroom.prove.attackers.needles import PAGE, LockedArea

SIZE = 48
# What lies in a look at one address: the whole tracer, one of its halves, nothing but zeros, or anything else.
TRACER, HALF, ZEROS, OTHER = "the tracer", "half of the tracer", "zeros", "other bytes"
# Printable, because the ordinary victim is an ordinary program: it makes a str of its password.
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Tracers:
    """One fresh tracer per kind."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self.total_size = SIZE * len(kinds)
        if self.total_size * 2 > PAGE:
            raise ValueError("too many kinds for one page")
        self._area = LockedArea(PAGE)
        view = self._area.view
        source = os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.readv(source, [view[: self.total_size]]) != self.total_size:
                raise OSError("/dev/urandom gave too little")
        finally:
            os.close(source)
        for index in range(self.total_size):
            view[index] = _ALPHABET[view[index] & 63]

    @property
    def is_locked(self) -> bool:
        """False where the lock limit did not even allow one page."""
        return self._area.is_locked

    def give(self, kind: str, descriptor: int) -> None:
        """Write one kind's tracer into a pipe; a write this small is never split (PIPE_BUF, pipe(7))."""
        start = self.kinds.index(kind) * SIZE
        os.writev(descriptor, [self._area.view[start : start + SIZE]])

    def all_in_a_pipe(self) -> int:
        """Return the read end of a pipe that holds every tracer, for an attacker's standard input."""
        reading, writing = os.pipe()
        try:
            os.writev(writing, [self._area.view[: self.total_size]])
        finally:
            os.close(writing)
        return reading

    def is_next_in(self, descriptor: int, kind: str, size: int) -> bool:
        """Read `size` bytes from a pipe into the locked page and say whether they are the kind's tracer."""
        return self.next_in(descriptor, kind, size) == TRACER

    def next_in(self, descriptor: int, kind: str, size: int) -> str:
        """The same, in one of the four words above."""
        view = self._area.view[PAGE - SIZE :]
        os.readv(descriptor, [view[:size]])
        start = self.kinds.index(kind) * SIZE
        mine = self._area.view[start : start + SIZE]
        try:
            if hmac.compare_digest(view[:size], mine):
                return TRACER
            halves = (slice(0, SIZE // 2), slice(SIZE // 2, SIZE))
            if any(hmac.compare_digest(view[:size][half], mine[half]) for half in halves):
                return HALF
            return OTHER if any(view[:size]) else ZEROS
        finally:
            for index in range(SIZE):
                view[index] = 0
