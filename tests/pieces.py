"""Pieces of a sealing key and of a secret in a stopped process: which, how much of it, and in what kind of place.

A piece is 8 bytes of it that lie together, in whatever alignment: what a general register holds. The content looked for
repeats two random words, so that a secret of any size has but two of them.
"""

import ctypes
import os
from collections.abc import Iterator
from typing import NamedTuple

from observed import KEPT_OUT, Mapping
from stopping import Chunk, Stopper

WORD_SIZE = 8
_RED_ZONE_SIZE = 128  # below a stack pointer, and in use all the same: System V ABI for x86-64, 3.2.2

# The constants that AEGIS-256 begins with: draft-irtf-cfrg-aegis-aead, section 4. Its first state has the key's halves
# combined with them, from which the key is easily had.
_C0 = bytes.fromhex("000101020305080d1522375990e97962")
_C1 = bytes.fromhex("db3d18556dc22ff12011314273b528dd")

#: What is looked for.
KEY, PLAIN = "key", "plaintext"
#: Where it is: where it belongs, and the other places.
KEY_PAGE, ROOM = "key's page", "room"
REGISTERS, STACK, UNUSED_STACK, OTHER = "registers", "stack", "unused stack", "other memory"
STRAY = (REGISTERS, STACK, UNUSED_STACK, OTHER)

_libc = ctypes.CDLL(None)
_libc.memmem.restype = ctypes.c_void_p
_libc.memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]


class Hit(NamedTuple):
    """One piece, as long as it goes on, and where: an address, or the offset in a thread's registers."""

    what: str
    place: str
    address: int
    content: bytes

    @property
    def is_stray(self) -> bool:
        """Whether it is where it should not be: of the key elsewhere than in its page, of plaintext not in a room."""
        return self.place != (KEY_PAGE if self.what == KEY else ROOM)


def content_of(size: int) -> bytes:
    """Return random content to look for, of this size: at least a word."""
    two_words = os.urandom(2 * WORD_SIZE)
    return (two_words * (size // len(two_words) + 1))[:size]


def _words(content: bytes) -> set[bytes]:
    return {content[at : at + WORD_SIZE] for at in range(0, len(content) - WORD_SIZE + 1, WORD_SIZE)}


class Needles:
    """The key and the content of a child's secrets, to be found in its memory."""

    def __init__(self, plain: bytes, key: bytes, key_address: int) -> None:
        self._plain = plain
        self._keys = [key, bytes(a ^ b for a, b in zip(key, _C0 + _C1, strict=True))]
        self._words = {KEY: set().union(*map(_words, self._keys)), PLAIN: _words(plain)}
        self._key_address = key_address

    def _runs(self, address: int, size: int, what: str) -> Iterator[tuple[int, int]]:
        """Yield where, in memory of this process, words of it lie one behind the other: offset and size."""
        found = set()
        for word in self._words[what]:
            at = 0
            while place := _libc.memmem(address + at, size - at, word, len(word)):
                at = place - address + 1
                found.add(at - 1)
        for start in sorted(found):
            if start - WORD_SIZE not in found:
                end = start + WORD_SIZE
                while end in found:
                    end += WORD_SIZE
                yield start, end - start

    def _in(self, content: memoryview) -> Iterator[tuple[str, int, bytes]]:
        address = ctypes.addressof(ctypes.c_char.from_buffer(content))
        for what in self._words:
            for start, size in self._runs(address, len(content), what):
                yield what, start, bytes(content[start : start + size + WORD_SIZE - 1])  # what is less than a word too

    def search(self, stopped: Stopper) -> list[Hit]:
        """Look through the registers and the memory of a process that stands still."""
        hits = []
        threads = stopped.registers()
        for registers in threads:
            for content in (registers.general, registers.vector):
                found = self._in(memoryview(bytearray(content)))
                hits += [Hit(what, REGISTERS, start, piece) for what, start, piece in found]
        pointers = [registers.stack_pointer for registers in threads]
        for chunk in stopped.chunks(stopped.memory.mappings()):
            for what, start, piece in self._in(chunk.content):
                address = chunk.address + start
                hits.append(Hit(what, self._place(chunk, address, pointers), address, piece))
        return hits

    def wholes(self, hits: list[Hit]) -> set[tuple[str, str]]:
        """Return what was found whole, and where: plaintext in one piece, the key in pieces, in one kind of place."""
        found = {(PLAIN, hit.place) for hit in hits if hit.what == PLAIN and self._plain in hit.content}
        for place in {hit.place for hit in hits}:
            pieces = b"".join(hit.content for hit in hits if (hit.what, hit.place) == (KEY, place))
            if any(all(word in pieces for word in _words(key)) for key in self._keys):
                found.add((KEY, place))
        return found

    def _place(self, chunk: Chunk, address: int, pointers: list[int]) -> str:
        mapping: Mapping = chunk.mapping
        if mapping.flags >= KEPT_OUT:
            return KEY_PAGE if mapping.start <= self._key_address < mapping.end else ROOM
        for pointer in pointers:
            if mapping.start <= pointer < mapping.end:
                return STACK if address >= pointer - _RED_ZONE_SIZE else UNUSED_STACK
        return UNUSED_STACK if mapping.path == "[stack]" else OTHER
