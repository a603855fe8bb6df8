"""The tests' own search through another process's memory finds a copy wherever it lies, and each copy once."""

import secrets

import needs
from children import Live
from observed import Memory

pytestmark = needs.linux

MANY = 40_000  # of 32 bytes: more than one step of the search
#: One copy in each place that a search which saves itself pages could miss, and many side by side.
COPIES = f"""
import mmap, tempfile
MANY, PAGE, PRIVATE = {MANY}, observed.PAGE, mmap.MAP_PRIVATE
many = bytearray(32 * MANY)
file = tempfile.TemporaryFile()
file.truncate(2 * PAGE)
sparse, across, hidden = mmap.mmap(-1, 1 << 30, PRIVATE), mmap.mmap(-1, 2 * PAGE, PRIVATE), mmap.mmap(-1, PAGE, PRIVATE)
shared, changed = mmap.mmap(-1, PAGE), mmap.mmap(file.fileno(), 2 * PAGE, PRIVATE)
for area, at in ((sparse, (1 << 30) - 32), (across, PAGE - 7), (hidden, 0), (shared, 5), (changed, PAGE + 1)):
    assert libc.read(0, ctypes.c_void_p(address_of(area) + at), ctypes.c_size_t(32)) == 32
assert libc.read(0, ctypes.c_void_p(address_of(many)), ctypes.c_size_t(32)) == 32
for number in range(1, MANY):
    ctypes.memmove(address_of(many) + 32 * number, address_of(many), 32)
assert libc.mprotect(ctypes.c_void_p(address_of(hidden)), ctypes.c_size_t(PAGE), 0) == 0
print("ready", flush=True)
os.read(0, 1)
"""


def test_each_copy_is_found_once() -> None:
    """The last page of a gigabyte, two pages, one that nobody may read, shared ones, a file's that was written to."""
    single, repeated, absent = (secrets.token_bytes(32) for _ in range(3))
    with Live(COPIES) as child:
        child.send(single * 5 + repeated)
        assert child.line() == "ready"
        with Memory(child.pid) as memory:
            assert memory.counts([single, repeated, absent]) == {single: 5, repeated: MANY, absent: 0}
            assert memory.count(single) == len(list(memory.find(single))) == 5
            wanted = [single[16:], repeated[:20], repeated]  # pieces of several lengths at a time
            assert memory.counts(wanted) == {single[16:]: 5, repeated[:20]: MANY, repeated: MANY}
