"""Calls that the kernel itself breaks off half-way: at the lock limit, and for want of mappings."""

import json
import sys

import pytest

from children import succeed

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the limits and /proc are Linux's; Windows has its own tests"
)

LIMIT = 64 * 1024

#: Three runs of six pages each under a limit of 16 pages: the third does not fit.
AT_THE_LIMIT = f"""
from strongroom import vm
P = vm.PAGE_SIZE
children.limit_locks({LIMIT})
region = vm.allocate(18 * P)
region.protect(6 * P, 6 * P, vm.READ_ONLY)
region.fill(0, 6 * P, 65)
def everything():
    books = [list(run) for run in region.pages()]
    return [observed.pages(region.address, region.size), books, observed.status_size("VmLck")]
"""


def test_the_lock_limit_in_the_middle_of_a_range() -> None:
    """LockLimitError with the numbers; nothing of the runs that had fitted stays locked, however often."""
    told = json.loads(
        succeed(
            AT_THE_LIMIT
            + """
before, errors = everything(), []
for _ in range(10):
    try:
        region.lock()
    except LockLimitError as error:
        errors.append([error.call, error.requested, error.limit, everything() == before])
region.lock(0, 16 * P)
fits = observed.status_size("VmLck")
region.unlock(0, 16 * P)
print(json.dumps([errors, fits, everything() == before, region.read(0, 3).decode()]))
"""
        )
    )
    assert told == [[["mlock", 18 * 4096, LIMIT, True]] * 10, LIMIT, True, "AAA"]


def test_locks_that_were_there_stay_when_another_does_not_fit() -> None:
    """A range in which some pages are locked already: those keep exactly the locks they had."""
    told = json.loads(
        succeed(
            AT_THE_LIMIT
            + """
region.lock(3 * P, 6 * P)
region.lock(4 * P, P)
before = everything()
try:
    region.lock()
except LockLimitError as error:
    print(json.dumps([everything() == before, before[2], [run[3] for run in before[1]]]))
"""
        )
    )
    assert told == [True, 6 * 4096, [0, 1, 2, 1, 1, 0, 0]]


#: Mappings are used up one page each, writable beside closed, and then a few are given back, two by two. A region has
#: pages of every kind side by side, so that some changes move a boundary and others need a mapping more.
FULL = """
from bisect import bisect_right
from strongroom import vm
FREED = 3
P = vm.PAGE_SIZE
with open("/proc/sys/vm/max_map_count") as file:
    most = int(file.read())
if most > 300_000:
    children.skip(f"vm.max_map_count is {most:,}: using that many up would take too long")
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def make():
    region = vm.reserve(20 * P)
    region.commit(2 * P, 12 * P)
    region.fill(2 * P, 12 * P, 65)
    region.protect(6 * P, 4 * P, vm.READ_ONLY)
    region.commit(16 * P, 2 * P)
    return region
ACTS = {
    "protect the middle of a run": lambda region: region.protect(3 * P, P, vm.READ_ONLY),
    "protect mixed": lambda region: region.protect(3 * P, 8 * P, vm.EXECUTE_READ),
    "protect mixed up to a boundary": lambda region: region.protect(3 * P, 7 * P, vm.NO_ACCESS),
    "commit reserved and more": lambda region: region.commit(15 * P, 2 * P, vm.READ_ONLY),
    "commit from one run to the next": lambda region: region.commit(13 * P, 4 * P, vm.READ_WRITE),
    "commit over all": lambda region: region.commit(P, 16 * P, vm.READ_ONLY),
    "decommit the middle of a run": lambda region: region.decommit(3 * P, P),
    "lock the middle of runs": lambda region: region.lock(3 * P, 10 * P),
}
text = bytearray(128 * most)  # once and for all: while no mapping is left Python gets no memory for it either
def end_at(position):
    "Where the mapping ends that the line around this position tells of."
    start = text.rfind(b"\\n", 0, position) + 1
    return int(text[text.index(b"-", start) + 1:text.index(b" ", start)], 16)
def look(region):
    words, length = [], 0
    file = os.open("/proc/self/maps", os.O_RDONLY)
    while got := os.readv(file, [memoryview(text)[length:]]):
        length += got
    os.close(file)
    start = bisect_right(range(length), region.address, key=end_at)  # reading all 65,530 lines would take too long
    while start < length:
        end = text.index(b"\\n", start) + 1
        bounds, permissions = text[start:end].split()[:2]
        low, high = (int(bound, 16) for bound in bounds.split(b"-"))
        if low >= region.address + region.size:
            break
        low, high = max(low, region.address), min(high, region.address + region.size)
        words += [permissions.decode()] * ((high - low) // P)
        start = end
    assert len(words) == 20
    return words, region.pages(), observed.status_size("VmLck"), [
        ctypes.string_at(region.address + page * P, P) == b"A" * P for page in range(2, 14)
        if words[page].startswith("r")]
def attempt(region, before, act):
    while libc.mprotect(filler + (2 * len(used) + 1) * P, P, 3) == 0:
        used.append(1)
    for _ in range(freed):
        libc.mprotect(filler + (2 * len(used) - 1) * P, P, 0)  # joins both neighbours: two fewer
        used.pop()
    try:
        act(region)
    except SystemCallError as error:
        return [error.call, error.errno == errno.ENOMEM, look(region) == before]
    return ["done", True, look(region) != before]
regions = [(region, look(region)) for region in [make() for _ in range(FREED * len(ACTS))]]
filler = libc.mmap(None, (most + 16) * P, 0, 0x22, -1, 0)
libc.mprotect(filler + (most + 15) * P, P, 1)  # or its closed end would be one mapping with the last region's
used, told = [], {}
for freed in range(FREED):
    for name, act in ACTS.items():
        told[f"{name}, {freed} freed"] = attempt(*regions.pop(), act)
print(json.dumps(told))
"""


def test_no_mapping_left_in_the_middle_of_a_range() -> None:
    """ENOMEM for want of mappings at whatever step: the pages, for the kernel and in the books, are as before."""
    told: dict[str, list[object]] = json.loads(succeed(FULL))
    assert {name: outcome for name, outcome in told.items() if outcome[1:] != [True, True]} == {}
    calls = [str(outcome[0]) for outcome in told.values()]
    assert {"done", "mprotect"} < set(calls), "control: some steps were refused and, with mappings to spare, none"
    assert calls.count("mprotect") >= 5
