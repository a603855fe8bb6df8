"""Where pages lie in RAM: the kernel moves locked pages and leaves secret memory alone, and guarantees() says so."""

import json
import os

import pytest

import needs
from children import succeed

COMPACT = "/proc/sys/vm/compact_memory"
ALLOWED = "/proc/sys/vm/compact_unevictable_allowed"

pytestmark = [
    needs.linux,
    needs.much_locked,
    pytest.mark.skipif(
        not needs.LINUX or os.geteuid() != 0 or not os.access(COMPACT, os.W_OK),
        reason=f"needs root and a writable {COMPACT}: frames are shown and compaction is started for root only, "
        "and not in most containers",
    ),
]

#: Memory of which every second page is given back where frame numbers are high: compaction moves pages there, from the
#: lowest on, until that is full. With four times as much nothing of ours was reached.
BALLAST_SIZE = 64 << 20
#: Buffers of each backing, one page each.
COUNT = 200
#: How often all of it is tried until a locked page has moved; mostly the first time.
ATTEMPTS = 6


def test_compaction_moves_locked_pages_and_no_secret_memory(has_secretmem: bool) -> None:
    """Frame numbers before and after: locked ones change (the control), those of secret memory do not.

    What is locked has NO_MIGRATION unavailable, and secret memory has it verified.
    """
    if not has_secretmem:
        pytest.skip("no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1")
    with open(ALLOWED, encoding="ascii") as file:
        if file.read().strip() != "1":
            pytest.skip(f"{ALLOWED} is 0 here, so compaction leaves locked pages alone: needs 1, the default")
    out = succeed(f"""
        import mmap, struct
        PAGE, SIZE = observed.PAGE, {BALLAST_SIZE}
        def frames(pages):
            "Frame numbers, pagemap.rst: bits 0 to 54 of the entry of a page that is present, bit 63."
            with open("/proc/self/pagemap", "rb", buffering=0) as file:
                entries = [struct.unpack("=Q", os.pread(file.fileno(), 8, page // PAGE * 8))[0] for page in pages]
            return [entry & (1 << 55) - 1 if entry >> 63 else None for entry in entries]
        def locked_frames(pages):
            "The same of pages that are always there, but for the moment in which the kernel moves one."
            while None in (numbers := frames(pages)):
                time.sleep(0.01)
            return numbers
        def page_of(buffer):
            with buffer.open() as view:
                return address_of(view) // PAGE * PAGE
        def made(backing):
            return LockedBuffer(32, backing=backing, isolated=True)
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # a frame that was freed is the next to be had there
        moved, attempts = dict(locked=0, secretmem=0), 0
        while not moved["locked"] and attempts < {ATTEMPTS}:
            attempts += 1
            memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            for offset in range(0, SIZE, PAGE):
                memory[offset] = 1
            start = address_of(memory)
            numbers = frames(range(start, start + SIZE, PAGE))
            if 0 in numbers:
                children.skip("the kernel shows no frame numbers here: needs CAP_SYS_ADMIN")
            present = [i for i, number in enumerate(numbers) if number is not None]  # the rest is in swap by now
            by_frame = sorted(present, key=numbers.__getitem__)
            for i in by_frame[len(by_frame) // 4::2]:
                memory.madvise(mmap.MADV_DONTNEED, i * PAGE, PAGE)
            buffers = dict(locked=[], secretmem=[made("secretmem") for _ in range({COUNT})])
            for i in by_frame[:{COUNT}]:
                memory.madvise(mmap.MADV_DONTNEED, i * PAGE, PAGE)
                buffers["locked"].append(made("locked"))
            pages = {{backing: list(map(page_of, each)) for backing, each in buffers.items()}}
            before = {{backing: locked_frames(some) for backing, some in pages.items()}}
            with open({COMPACT!r}, "w") as file:
                file.write("1")
            for backing, some in pages.items():
                moved[backing] += sum(map(int.__ne__, before[backing], locked_frames(some)))
            states = {{backing: each[0].guarantees()["NO_MIGRATION"].state for backing, each in buffers.items()}}
            del buffers
            memory.close()
        if not moved["locked"]:
            children.skip("no locked page moved in {ATTEMPTS} compactions, so this shows nothing: needs a kernel with "
                          "compaction, and memory that is not full")
        print(json.dumps(dict(moved=moved, states=states)))
    """)
    told = json.loads(out)
    assert told["moved"]["locked"] > 0
    assert told["moved"]["secretmem"] == 0
    assert told["states"] == {"locked": "unavailable", "secretmem": "verified"}
