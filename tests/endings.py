"""A child with secrets that is about to end, and what is seen of them at that moment. Linux only: tracing.py."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

from observed import Memory
from tracing import Traced

#: Looked for in other programs too, where letters in their order may be.
MARK = os.urandom(32)
SCENE = """
from strongroom.process import FAULT_SIGNALS, TERMINATION_SIGNALS
keys = children.locked_and_recorded()
buffer, opened = LockedBuffer(32), LockedBuffer(5000)
with buffer.open("rw") as view, opened.open("rw") as larger:
    take(view)
    larger[-32:] = view
    places = [address_of(view), address_of(larger) + 5000 - 32]
    ordinary = bytearray(view)
secret = Secret.build(32, lambda view: view.__setitem__(slice(None), ordinary))
accesses = opened.open(), secret.open()
inside = [access.__enter__() for access in accesses]
places += [address_of(inside[1]), keys[0]._layout()[1] - 32, address_of(ordinary)]
for thing in (buffer, opened, secret, accesses, inside, ordinary, keys):
    children.immortal(thing)
{before}
print(*places, flush=True)
os.read(0, 1)
{end}
"""


class Scene:
    """A child that holds the mark in a closed buffer, an open one, a secret's room and a bytearray, about to end."""

    def __init__(self, child: Traced, memory: Memory, places: list[int]) -> None:
        self.child, self.memory, self.places = child, memory, places
        self.before = self.contents()
        *marks, key, ordinary = self.before
        assert [*marks, ordinary] == [MARK] * 4
        assert key not in (None, MARK, bytes(32))

    def contents(self) -> list[bytes | None]:
        """What lies there: closed buffer, open buffer, room, sealing key, bytearray."""
        return [self.memory.read(place, 32) for place in self.places]

    def observed(self) -> list[str]:
        """The same in words: ``there`` as before, or ``wiped``."""
        pairs = zip(self.contents(), self.before, strict=True)
        return [{was: "there", bytes(32): "wiped"}.get(now, "something else") for now, was in pairs]


#: What is seen after an end that wipes: ours is gone, the bytearray is the control.
OURS_WIPED = ["wiped", "wiped", "wiped", "wiped", "there"]
ALL_THERE = ["there"] * 5


@contextlib.contextmanager
def scene(end: str, before: str = "") -> Iterator[Scene]:
    """Start the child, with code to run before it says that it is ready and code that ends it."""
    with Traced(SCENE.format(end=end, before=before), stderr=subprocess.DEVNULL) as child:
        child.send(MARK)
        places = [int(word) for word in child.line().split()]
        with Memory(child.pid) as memory:
            ready = Scene(child, memory, places)
            child.seize()
            yield ready
