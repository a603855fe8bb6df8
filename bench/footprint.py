"""How much memory a live secret takes, beside a ``bytes`` object: resident bytes of a fresh process, before and after.

``smaps_rollup`` and not ``statm``: since Linux 6.2 the latter adds up per-CPU counters that lag behind.
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
else:
    from strongroom import Secret
    make = Secret.random

def resident():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))

first = make(32)        # the key, the room and every import
kept = [None] * count   # its own pages are written, and so resident, before the count begins
before = resident()
for i in range(count):
    kept[i] = make(32)
print((resident() - before) / count)
"""

_TITLES = {"bytes": "bytes object of 32 B", "strongroom": "strongroom Secret of 32 B"}


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
    group = Group("footprint", f"resident memory per live object, {count:,} of them", "bytes", list(rows.values()))
    group.compare()
    return group
