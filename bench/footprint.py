"""How much memory a live secret takes, beside a ``bytes`` object: bytes of a fresh process, before and after.

Resident bytes, and of buffers also the locked ones, which are what the lock limit counts. ``smaps_rollup`` and not
``statm``: since Linux 6.2 the latter adds up per-CPU counters that lag behind.
"""

import subprocess
import sys

from bench.rows import Group, Row
from bench.timing import summarize

_PROGRAM = """
import os, sys
kind, count = sys.argv[1], int(sys.argv[2])
if kind == "bytes":
    make = os.urandom
elif kind == "strongroom":
    from strongroom import Secret
    make = Secret.random
else:
    from strongroom import LockedBuffer as make
path, name = ("status", "VmLck:") if kind == "locked" else ("smaps_rollup", "Rss:")

def held():
    with open("/proc/self/" + path) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

first = make(32)        # the key, the room and every import
kept = [None] * count   # its own pages are written, and so resident, before the count begins
before = held()
for i in range(count):
    kept[i] = make(32)
print((held() - before) / count)
"""

_TITLES = {
    "bytes": "bytes object of 32 B",
    "strongroom": "strongroom Secret of 32 B",
    "buffer": "strongroom LockedBuffer of 32 B",
    "locked": "of that, locked memory",
}


def measure(rounds: int, count: int) -> Group:
    """Measure ``count`` live objects of each kind in ``rounds`` processes each, in turn."""
    rows = {key: Row(f"footprint/{key}", title) for key, title in _TITLES.items()}
    samples: dict[str, list[float]] = {key: [] for key in rows}
    for _ in range(rounds):
        for key in list(samples):
            command = [sys.executable, "-I", "-c", _PROGRAM, key, str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                samples[key].append(float(done.stdout))
            else:
                rows[key].skipped = f"its process fails: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
                del samples[key]
    for key, taken in samples.items():
        rows[key].figures = summarize(taken)
    group = Group(
        "footprint", f"memory per live object, {count:,} of them: resident, and locked", "bytes", list(rows.values())
    )
    group.compare()
    return group
