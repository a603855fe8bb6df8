"""How long ``==`` takes says nothing of where two values differ: a statistical test in the manner of dudect.

Comparisons that differ in the first byte and comparisons that differ in the last one alternate at random. Both values
stand in the same memory, one after the other, so that nothing but their bytes differs: two objects lie differently in
caches and pages, which shows as a steady difference of its own. Samples that somebody else's work stretched are cut
off, and Welch's t tells whether the rest come from two distributions. The control, ``==`` of ``bytearray``, is far
beyond the limit with the same number of samples.
"""

import random
import statistics
import time
from collections.abc import Callable

import pytest

from samples import made_of
from strongroom import LockedBuffer

#: Large enough for a comparison that stops early to be seen stopping, small enough for a room that is kept.
SIZE = 8000
SAMPLES = 8000
#: Comparisons timed together: one is hardly longer than the clock's own reading.
AT_A_TIME = 4
#: |t| above 4.5 counts as a leak; other programs on the machine make for more now and then, and a second look tells.
LIMIT = 6.0
LOOKS = 4
CONTENT = bytes(range(250)) * (SIZE // 250)


def welch(one: list[int], other: list[int]) -> float:
    """Return Welch's t of two samples without the slowest tenth of both together."""
    cut = statistics.quantiles(one + other, n=10)[-1]
    kept = [[sample for sample in samples if sample <= cut] for samples in (one, other)]
    means = [statistics.fmean(samples) for samples in kept]
    spread = sum(statistics.variance(samples) / len(samples) for samples in kept)
    return (means[0] - means[1]) / float((spread or 1e-9) ** 0.5)


def spoil(other: bytearray, is_last: bool) -> None:
    """Make a value differ from CONTENT in its last byte or in its first; the other end is written to as well."""
    other[0] = CONTENT[0] if is_last else 0xFF
    other[-1] = 0xFF if is_last else CONTENT[-1]


def leakage(compare: Callable[[bytearray], bool]) -> float:
    """Return |t| between comparisons with what differs early and with what differs late."""
    times: tuple[list[int], list[int]] = ([], [])
    order = [random.random() < 0.5 for _ in range(SAMPLES)]
    other = bytearray(CONTENT)
    for is_last in order:
        spoil(other, is_last)
        begin = time.perf_counter_ns()
        for _ in range(AT_A_TIME):
            compare(other)
        times[is_last].append(time.perf_counter_ns() - begin)
    return abs(welch(*times))


def least_leakage(compare: Callable[[bytearray], bool]) -> float:
    """Return the least of several looks; what really leaks does so in each."""
    least = leakage(compare)
    for _ in range(LOOKS - 1):
        if least <= LIMIT:
            break
        least = min(least, leakage(compare))
    return least


@pytest.mark.parametrize("kind", ["secret", "buffer", "view"])
def test_comparing_takes_the_same_time_wherever_values_differ(kind: str) -> None:
    """A Secret, a LockedBuffer and a View."""
    with LockedBuffer(SIZE) as buffer:
        buffer.copy_from(CONTENT)
        secret = made_of(CONTENT)
        with buffer.open() as view:
            things: dict[str, Callable[[bytearray], bool]] = {
                "secret": secret.__eq__,
                "buffer": buffer.__eq__,
                "view": view.__eq__,
            }
            other = bytearray(CONTENT)
            assert things[kind](other) is True
            for is_last in (False, True):
                spoil(other, is_last)
                assert things[kind](other) is False
            assert least_leakage(things[kind]) <= LIMIT


def test_control_bytearrays_are_found_out() -> None:
    """Python's own comparison stops at the first difference, and every look shows it."""
    assert least_leakage(bytearray(CONTENT).__eq__) > LIMIT
