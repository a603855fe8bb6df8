"""A child with secrets that is about to end, and what is seen of them at that moment. Linux only: tracing.py."""

import contextlib
import subprocess
from collections.abc import Iterator

from observed import Memory
from tracing import Traced

MARK = bytes(range(60, 92))
SCENE = """
from strongroom.process import FAULT_SIGNALS, TERMINATION_SIGNALS
buffer = LockedBuffer(32, backing="locked")
opened = LockedBuffer(5000, backing="locked")
with buffer.open("rw") as view, opened.open("rw") as larger:
    take(view)
    larger[-32:] = view
    places = [address_of(view), address_of(larger) + 5000 - 32]
    ordinary = bytearray(view)
    places.append(address_of(ordinary))
access = opened.open()
inside = access.__enter__()
for thing in (buffer, opened, access, inside, ordinary):
    children.immortal(thing)
{before}
print(*places, flush=True)
os.read(0, 1)
{end}
"""


@contextlib.contextmanager
def scene(end: str, before: str = "") -> Iterator[tuple[Traced, Memory, list[int]]]:
    """A child whose closed buffer, open buffer and bytearray hold the mark, about to end."""
    with Traced(SCENE.format(end=end, before=before), stderr=subprocess.DEVNULL) as child:
        child.send(MARK)
        places = [int(word) for word in child.line().split()]
        with Memory(child.pid) as memory:
            assert [memory.read(place, 32) for place in places] == [MARK] * 3
            child.seize()
            yield child, memory, places


def observed(memory: Memory, places: list[int]) -> list[str]:
    """What lies in the closed buffer, the open one and the bytearray."""
    words = {MARK: "there", bytes(32): "wiped"}
    return [words.get(memory.read(place, 32) or b"", "something else") for place in places]
