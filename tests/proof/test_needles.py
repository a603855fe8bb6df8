"""The attackers' search: no copy is lost, halves are told apart, holes are holes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from proving import TRACER_SIZE, mark
from strongroom.prove.attackers import needles

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


def needles_of(*tracers: bytes) -> needles.Needles:
    """Needles that came through a pipe."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(tracers))
    os.close(writing)
    try:
        return needles.Needles(reading, len(tracers), TRACER_SIZE)
    finally:
        os.close(reading)


class Bytes(needles.Reader):
    """A road to bytes in this test, with holes, and reads as short as one likes."""

    def __init__(self, content: bytes, most: int, holes: tuple[range, ...] = ()) -> None:
        self.content, self.most, self.holes = content, most, holes

    def __call__(self, position: int, size: int, area: needles.LockedArea, offset: int) -> int:
        size = min(size, self.most)
        for hole in self.holes:
            if position in hole:
                return -5
            if position < hole.start:
                size = min(size, hole.start - position)
        piece = self.content[position : position + size]
        area.view[offset : offset + len(piece)] = piece
        return len(piece)


def found_in(
    content: bytes, tracer: bytes, most: int = 1 << 20, holes: tuple[range, ...] = ()
) -> list[tuple[int, bool]]:
    """What a sweep over bytes sees of one tracer."""
    sightings = needles.Sightings(needles_of(tracer))
    sweep = needles.Sweep(sightings, needles.haystack_area())
    sweep.run(Bytes(content, most, holes), 0, len(content))
    return sightings.copies(0)


@pytest.mark.parametrize("most", [1, 7, 23, 24, 25, 47, 48, 49, 4096, 1 << 20])
def test_no_copy_is_lost_between_two_reads(most: int) -> None:
    """However short the reads, whole copies are found where they are, each once."""
    tracer = mark(1)
    content = bytearray(random.Random(2).randbytes(20_000 if most > 23 else 600))
    places = [0, 100, 300, len(content) - TRACER_SIZE]
    for place in places:
        content[place : place + TRACER_SIZE] = tracer
    assert found_in(bytes(content), tracer, most) == [(place, True) for place in places]


def test_halves_are_counted_apart() -> None:
    """A half is a copy, but not a second one where the whole is."""
    tracer = mark(3)
    content = b"x" * 50 + tracer[:24] + b"y" * 50 + tracer[24:] + b"z" * 50 + tracer
    assert found_in(content, tracer) == [(50, False), (124, False), (198, True)]
    assert found_in(b"x" * 1000, tracer) == []


def test_holes_are_told_and_do_not_join_what_they_part() -> None:
    """An unreadable page is counted; the bytes before and after it do not make a copy together."""
    tracer = mark(4)
    content = bytearray(4 * needles.PAGE)
    content[needles.PAGE - 24 : needles.PAGE] = tracer[:24]
    content[2 * needles.PAGE : 2 * needles.PAGE + 24] = tracer[24:]
    hole = range(needles.PAGE, 2 * needles.PAGE)
    sightings = needles.Sightings(needles_of(tracer))
    sweep = needles.Sweep(sightings, needles.haystack_area())
    sweep.run(Bytes(bytes(content), 1 << 20, (hole,)), 0, len(content))
    assert sweep.unreadable == [(hole.start, hole.stop, 5)]
    assert sweep.scanned_size == 3 * needles.PAGE
    assert [is_whole for _, is_whole in sightings.copies(0)] == [False, False]
