"""Made, used, dropped and destroyed without end: memory, mappings and descriptors stay flat.

``STRONGROOM_SOAK=1000000`` makes a million of them.
"""

import json
import os

import needs
import vanishing
from children import succeed

pytestmark = needs.linux

#: Partial pages make a file each, on a disk, and wait for it: a tenth of them.
ROUNDS = {"droppable": int(os.environ.get("STRONGROOM_SOAK", "20000")), "partial": 210}

SOAK = """
import random, vanishing
from observed_linux import no_huge_pages, own_size
no_huge_pages()
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
dice = random.Random(7)
configure(policy=Policy(require=()))  # nothing is read back from listings, which takes longest
wrong = 0
hoard = []

def fill(view):
    view[:] = bytes([len(view) % 256]) * len(view)

def use(volatile):
    what = dice.random()
    if what < 0.4:
        volatile.copy_from(b"m" * len(volatile))
    elif what < 0.6:
        volatile.build(fill)
    elif what < 0.8:
        volatile.read_into(bytearray(len(volatile)))
    else:
        with volatile.open("rw") as view:
            view[0] = 1
            if what < 0.83:
                drop(volatile)
            if what > 0.98:
                raise KeyError

def drop(volatile):
    vanishing.push(volatile._layout()[0], {backing!r})

def round_of(number):
    global wrong
    box = []
    rebuild = dice.choice([None, fill, lambda view: fill(view) or box.clear()])
    volatile = VolatileBuffer(dice.choice([1, 32, 3000]), backing={backing!r}, rebuild=rebuild)
    for _ in range(2):
        try:
            use(volatile)
        except (ContentsLostError, KeyError):
            pass
        if dice.random() < 0.5:
            drop(volatile)
    {keep}
    if dice.random() < 0.9:
        volatile.destroy()
        wrong += not volatile.is_destroyed
    elif rebuild not in (None, fill):
        box.append(volatile)  # a cycle: for the garbage collector

def figures():
    gc.collect()
    return [len(observed.mappings()), own_size(), observed.descriptors(), stats().volatile_size]

for number in range({rounds} // 3):
    round_of(number)
before = figures()
for number in range({rounds} - {rounds} // 3):
    round_of(number)
print(json.dumps([before, figures(), wrong]))
"""


def soak(backing: str, rounds: int, keep: str = "pass") -> list[list[int]]:
    """Go on so long; return the figures after a third of that and at the end."""
    code = SOAK.format(backing=backing, rounds=rounds, keep=keep)
    before, after, wrong = json.loads(succeed(code, deadline_seconds=300 + rounds / 100))
    assert wrong == 0
    return [before, after]


def test_a_long_life_stays_flat(vanishing_backing: vanishing.Kind) -> None:
    """Nothing grows after the first third."""
    before, after = soak(vanishing_backing, ROUNDS[vanishing_backing])
    assert abs(after[0] - before[0]) <= 4
    assert after[1] - before[1] <= 1 << 20
    assert after[2:] == before[2:]


def test_control_what_is_kept_shows(vanishing_backing: vanishing.Kind) -> None:
    """One in ten that is kept shows in the mappings and in stats()."""
    before, after = soak(vanishing_backing, 150, "hoard.append(VolatileBuffer(9)) if number % 10 == 0 else None")
    assert after[0] - before[0] > 4
    assert after[3] > before[3]
