"""A hundred thousand regions come and go: mappings, resident memory and locked memory stay as they were."""

import json
import sys

import pytest

from children import succeed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read back from Linux's /proc")

CYCLES = """
from strongroom import vm
from observed_linux import status_field
P = vm.PAGE_SIZE
def resident():
    "From the page tables: what status says is put together from counts of each CPU, which Linux 6.2 to 6.16 rounds."
    with open("/proc/self/smaps_rollup") as file:
        return status_field(file.read(), "Rss")
def look():
    gc.collect()
    return [len(observed.mappings()), resident(), observed.status_size("VmLck"),
            observed.status_size("VmSize"), observed.descriptors()]
def cycle(number):
    with vm.reserve(16 * P) as region:
        region.commit(P, 8 * P)
        if number % 10 == 0:
            region.protect(4 * P, P, vm.READ_ONLY)
            region.lock(P, 2 * P)
            region.write(P, b"some")
    if number % 10 == 5:
        vm.allocate(3 * P)  # given back by the end of its last reference
    {more}
for number in range(1000):
    cycle(number)
before = look()
for number in range({cycles}):
    cycle(number)
print(json.dumps([after - earlier for after, earlier in zip(look(), before)]))
"""

#: What Python's own allocator may come to hold meanwhile: an arena of its heap, in bytes.
HEAP_NOISE_SIZE = 1 << 20


def test_100_000_cycles_leave_nothing() -> None:
    """Reserved, committed, now and then locked, released by the block or by the last reference."""
    out = succeed(CYCLES.format(cycles=100_000, more=""), deadline_seconds=300)  # four seconds where nothing else runs
    mappings, resident, locked, size, files = json.loads(out)
    assert (locked, files) == (0, 0)
    assert mappings <= 2
    assert resident <= HEAP_NOISE_SIZE
    assert size <= 2 * HEAP_NOISE_SIZE


def test_control_what_is_kept_is_seen() -> None:
    """Pages kept, and a few of them locked, show in locked, resident and mapped memory, beyond all noise."""
    more = "number % 10 or kept.append(vm.allocate(P)) or kept[-1].fill() or number % 1000 or kept[-1].lock()"
    _, resident, locked, size, _ = json.loads(succeed("kept = []\n" + CYCLES.format(cycles=10_000, more=more)))
    assert locked == 10 * 4096
    assert min(resident, size) > 2 * HEAP_NOISE_SIZE


def test_a_child_gives_back_what_its_parent_secured() -> None:
    """A handle means nothing after a fork: the child's region goes with its last reference, the parent's stays."""
    out = succeed("""
        from strongroom import vm
        region = vm.allocate(100 * vm.PAGE_SIZE)
        address, handle = region.address, region.secure()
        def drop():
            global region, handle
            del handle, region
            gc.collect()
            return protection_at(address)
        print(protection_at(address), children.forked(drop), protection_at(address))
        handle.unsecure()
    """)
    assert out.split() == ["rw-", "gone", "rw-"]
