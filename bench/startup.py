"""What importing strongroom adds to the start of Python: whole processes, in turn, with the same flags.

``-I`` keeps the user's environment and directory out of both. The first run of each kind is not counted: it may
write byte code and fill the page cache.
"""

import statistics
import subprocess
import sys
import time

from bench.rows import Group, Row
from bench.timing import summarize

_PROGRAMS = {
    "bare": ("bare Python", "pass"),
    "strongroom": ("import strongroom", "import strongroom"),
    "first-secret": ("import strongroom and make the first Secret", "import strongroom; strongroom.Secret.random(32)"),
}


def _run(program: str) -> float | None:
    """Milliseconds from start to end of one process; None if it failed."""
    begin = time.perf_counter_ns()
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return (time.perf_counter_ns() - begin) / 1e6 if done.returncode == 0 else None


def measure(rounds: int) -> Group:
    """Start each program ``rounds`` times in turn; compare by difference, round by round."""
    rows = {key: Row(f"startup/{key}", title) for key, (title, _) in _PROGRAMS.items()}
    samples: dict[str, list[float]] = {}
    for key, (_, program) in _PROGRAMS.items():
        if _run(program) is None:
            rows[key].skipped = "fails in a Python started with -I: install strongroom into its site-packages"
        else:
            samples[key] = []
    for _ in range(rounds):
        for key, taken in samples.items():
            milliseconds = _run(_PROGRAMS[key][1])
            if milliseconds is None:
                raise RuntimeError(f"{_PROGRAMS[key][0]}: worked at first and failed later")
            taken.append(milliseconds)
    group = Group("startup", "start a Python process and end it", "ms", list(rows.values()))
    base = samples.get("bare")
    for key, taken in samples.items():
        row = rows[key]
        row.figures = summarize(taken)
        if base is not None:
            row.difference_of_minima = min(taken) - min(base)
            row.median_of_differences = statistics.median(a - b for a, b in zip(taken, base, strict=True))
    group.compare()
    return group
