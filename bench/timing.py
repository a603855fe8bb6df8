"""How figures are taken: every contender in turn, many short blocks, minima and medians.

On a machine that others use, a block is either undisturbed or too long; never too short. The minimum of many short
blocks therefore comes close to what the code itself costs, and it repeats; the median says what a caller sees on
this machine as busy as it is. Contenders take turns block by block, so that a change of clock speed or of load meets
all of them, and the order rotates, so that none always follows the same neighbour.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Too short, and the clock and the call into the loop count; too long, and no block escapes the scheduler's tick.
BLOCK_SECONDS = 0.0005

#: A block counts as full when this many in turn were: one that was interrupted only seems to
#: be full, and every later one would be too short.
CALIBRATIONS = 8

#: Does its work the given number of times.
Loop = Callable[[int], object]


@dataclass(frozen=True)
class Figures:
    """What one contender took: minimum and median over its samples, in the unit of the row."""

    minimum: float
    median: float
    samples: int


def summarize(samples: Sequence[float]) -> Figures:
    """Return the figures of at least one sample."""
    return Figures(min(samples), statistics.median(samples), len(samples))


def _seconds(loop: Loop, count: int) -> float:
    begin = time.perf_counter_ns()
    loop(count)
    return (time.perf_counter_ns() - begin) / 1e9


def _calibrate(loop: Loop) -> int:
    """How often the loop must run to fill a block; also warms it up."""
    count = 1
    while any(_seconds(loop, count) < BLOCK_SECONDS for _ in range(CALIBRATIONS)):
        count *= 2
    return count


def interleave(loops: Sequence[Loop], rounds: int) -> list[Figures]:
    """Return each loop's figures in microseconds per turn, from ``rounds`` blocks each."""
    counts = [_calibrate(loop) for loop in loops]
    samples: list[list[float]] = [[] for _ in loops]
    gc_was_enabled = gc.isenabled()
    gc.disable()  # a collection belongs to whoever happens to trigger it, not to the block it falls into
    try:
        for turn in range(rounds):
            for step in range(len(loops)):
                which = (turn + step) % len(loops)
                begin = time.perf_counter_ns()
                loops[which](counts[which])
                samples[which].append((time.perf_counter_ns() - begin) / 1e3 / counts[which])
    finally:
        if gc_was_enabled:
            gc.enable()
    return [summarize(each) for each in samples]
