"""Mixed operations without end: mappings, locked bytes and memory stay flat.

``STRONGROOM_SOAK=1000000`` makes a million of them.
"""

import json
import os

import needs
from children import succeed

pytestmark = [needs.linux, needs.much_locked]

OPERATIONS = int(os.environ.get("STRONGROOM_SOAK", "30000"))
#: As much as is always alive; each round replaces some of it.
ALIVE = 400

SOAK = """
import random
observed.no_huge_pages()
dice = random.Random({seed})
OPERATIONS, ALIVE = {operations}, {alive}
SIZES = [1, 16, 32, 32, 32, 48, 64, 100, 256, 1000]

def made():
    if dice.random() < 0.03:
        return LockedBuffer(dice.choice([1, 32, 4080, 4081]), isolated=True, backing=dice.choice(["locked", "auto"]))
    return LockedBuffer(dice.choice(SIZES), backing=dice.choice(["auto", "auto", "locked"]))

def mark(index):
    return bytes([index % 255 + 1])

kept = [made() for _ in range(ALIVE)]
for index, buffer in enumerate(kept):
    buffer.copy_from(mark(index) * len(buffer))
secrets = [Secret.random(24) for _ in range(20)]
wrong = 0

def step(number):
    global wrong
    index = dice.randrange(ALIVE)
    buffer, what = kept[index], dice.random()
    if what < 0.35:
        with buffer.open() as view:
            wrong += view[0] != mark(index)[0] or view[len(view) - 1] != mark(index)[0]
    elif what < 0.55:
        buffer.destroy()
        kept[index] = made()
        kept[index].move_from(bytearray(mark(index) * len(kept[index])))
    elif what < 0.60:
        kept[index] = None  # for the garbage collector
        del buffer
        kept[index] = made()
        kept[index].copy_from(mark(index) * len(kept[index]))
    elif what < 0.75:
        with buffer.open("rw") as view:
            view[dice.randrange(len(view))] = mark(index)[0]
    elif what < 0.85:
        buffer.freeze()
        wrong += buffer != mark(index) * len(buffer)
        buffer.melt()
    elif what < 0.97:
        wrong += len(dice.choice(secrets).reveal()) != 24
    elif what < 0.99:
        try:
            with buffer.open() as view:
                raw = memoryview(view)
                raise KeyError
        except KeyError:
            wrong += raw[0] != mark(index)[0]
            del raw, view
    elif number % 40 == 0:
        child = os.fork()
        if child == 0:
            with LockedBuffer(32) as own:
                os._exit(0 if own == bytes(32) else 1)
        wrong += os.waitpid(child, 0)[1] != 0

def figures():
    gc.collect()
    held = stats()
    return [len(observed.mappings()), observed.own_size(), held.locked_size + held.secretmem_size, held.slots]

for number in range(OPERATIONS // 3):
    step(number)
before = figures()
for number in range(OPERATIONS - OPERATIONS // 3):
    step(number)
print(json.dumps([before, figures(), wrong]))
"""


def test_a_long_life_stays_flat() -> None:
    """After a third of the operations nothing grows beyond what chance moves; every byte is where it was put."""
    code = SOAK.format(seed=20, operations=OPERATIONS, alive=ALIVE)
    before, after, wrong = json.loads(succeed(code, deadline_seconds=60 + OPERATIONS / 500))
    assert wrong == 0
    assert abs(after[0] - before[0]) <= 60  # three per isolated buffer, of which there are a dozen, by chance
    assert after[1] - before[1] <= 4 << 20
    assert abs(after[2] - before[2]) <= 1 << 20
    assert abs(after[3] - before[3]) <= 40


def test_control_what_is_kept_shows() -> None:
    """One buffer of each kind kept in a hundred operations would be far outside those bounds."""
    leaking = SOAK.replace(
        "    elif what < 0.75:", "    elif what < 0.60001 + 0.02:\n        hoard.append(made())\n    elif what < 0.75:"
    )
    leaking = leaking.replace("secrets = [", "hoard = []\nsecrets = [")
    before, after, wrong = json.loads(succeed(leaking.format(seed=20, operations=30000, alive=ALIVE)))
    assert wrong == 0
    assert after[3] - before[3] > 40
