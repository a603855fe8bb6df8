"""Python threads that hold large ranges and write there race with threads that free and restrict the same pages.

What is done to more than 64 pages is done without the GIL; ``ctypes.memset`` writes without it, too. A violation is a
fault, which ends the child, or a byte that is not what was written. tests/native/region_race.c is the longer race.
``STRONGROOM_RACE_SECONDS=30`` makes this one as long as one likes.
"""

import json
import os
import sys

import pytest

from children import run, succeed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fault is told by Linux's signals")

SECONDS = float(os.environ.get("STRONGROOM_RACE_SECONDS", "1.2"))

RACE = """
import random
from strongroom import vm
P, PAGES = vm.PAGE_SIZE, 400
sys.setswitchinterval(1e-4)
regions = [vm.allocate(PAGES * P) for _ in range(2)]
counts, wrong, over = dict.fromkeys(["held", "refused", "spoilt", "not held"], 0), [], False
counting = threading.Lock()
def count(what):
    with counting:
        counts[what] += 1
def hold(region, chance, slot):
    first = chance.randrange(PAGES - 150)
    size = chance.randrange(70, 150)
    try:
        region.commit(first * P, size * P)
        use = region.secure(first * P, size * P) if chance.random() < 0.5 else region.view(first * P, size * P, "rw")
        with use:
            count("held")
            for page in range(first, first + size, 7):  # a byte of each thread's own: ranges overlap
                ctypes.memset(region.address + page * P + slot, page % 251 + 1, 1)
            {meanwhile}
            for page in range(first, first + size, 7):
                if ctypes.string_at(region.address + page * P + slot, 1)[0] != page % 251 + 1:
                    wrong.append(page)
    except (AccessError, SecuredError, BufferError):  # spoilt before it was held
        count("not held")
def spoil(region, chance, slot):
    first = chance.randrange(PAGES - 150)
    size = chance.randrange(1, 150)
    verbs = [
        lambda: region.decommit(first * P, size * P),
        lambda: region.protect(first * P, size * P, vm.NO_ACCESS),
        lambda: region.protect(first * P, size * P, vm.READ_ONLY),
        lambda: region.commit(first * P, size * P, vm.READ_WRITE | vm.GUARD),
        lambda: region.commit(first * P, size * P),
        lambda: region.read(first * P + 100, size * P - 100),
        lambda: region.release(),
    ]
    try:
        chance.choice(verbs)()
        count("spoilt")
    except (SecuredError, BufferError):
        count("refused")
    except AccessError:
        pass
def go_on(act, slot):
    chance = random.Random(slot)
    while not over:
        number = chance.randrange(len(regions))
        try:
            act(regions[number], chance, slot)
        except DestroyedError:
            regions[number] = vm.allocate(PAGES * P)
threads = [threading.Thread(target=go_on, args=(hold if slot < 4 else spoil, slot)) for slot in range(8)]
for thread in threads:
    thread.start()
now = time.monotonic()
end, deadline = now + {seconds}, now + 45
while now < end or ({lacks} and now < deadline):  # where something else has the CPUs, until they have met
    time.sleep(0.02)
    now = time.monotonic()
over = True
for thread in threads:
    thread.join()
print(json.dumps([wrong[:5], counts]))
"""


def race(seconds: float, *, lacks: str, meanwhile: str = "") -> str:
    """The race for so long, and on while something is lacking; and what to do to a range that is held."""
    return RACE.replace("{seconds}", str(seconds)).replace("{lacks}", lacks).replace("{meanwhile}", meanwhile)


def test_held_pages_stay() -> None:
    """No fault and no lost byte in whatever a thread has secured or viewed, while others free and restrict."""
    lacks = 'min(counts["held"], counts["refused"], counts["spoilt"]) <= 10 and not wrong'
    wrong, counts = json.loads(succeed(race(SECONDS, lacks=lacks), deadline_seconds=SECONDS + 90))
    assert wrong == []
    assert min(counts["held"], counts["refused"], counts["spoilt"]) > 10, f"control: the threads did not meet: {counts}"


def test_control_a_page_taken_away_behind_strongrooms_back_is_noticed() -> None:
    """munmap or fresh zeros under a held range end the race with a fault, or with bytes that are not there."""
    meanwhile = "libc.madvise(ctypes.c_void_p(region.address + first * P), ctypes.c_size_t(size * P), 4)"
    result = run(race(0.1, lacks="not wrong", meanwhile=meanwhile))
    assert result.code == 0, result
    assert json.loads(result.out)[0] != []
    meanwhile = "libc.mprotect(ctypes.c_void_p(region.address + first * P), ctypes.c_size_t(size * P), 0)"
    assert run(race(0.1, lacks="not wrong", meanwhile=meanwhile)).code < 0
