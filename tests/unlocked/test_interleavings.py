"""Losses before, during and after every use, at random: nothing that was dropped is ever taken for contents.

Ten thousand uses of each kind. A loss of a partial page waits for its disk: root has one in memory for that; others
wait a millisecond or ten each time, and 300 uses have to do. Drops are made in line, at random steps; by a process
beside this one, at any instant; by the kernel's own reclaim. Whatever the disk, and root or not,

    STRONGROOM_INTERLEAVINGS=10000 .venv/bin/pytest tests/unlocked/test_interleavings.py

makes 10,000 uses of each kind, or a million (docs/testing.md).
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import loopmounted
import needs
import vanishing
from children import DEADLINE_SECONDS, TESTS, Live
from strongroom import ContentsLostError, LockedBuffer, View, VolatileBuffer
from strongroom.prove import cgroup

pytestmark = needs.linux

WANTED = int(os.environ.get("STRONGROOM_INTERLEAVINGS", "0"))
ROUNDS = WANTED or 10_000
#: Where each loss of a partial page waits for a disk that may be a slow one.
ROUNDS_ON_A_DISK = WANTED or 300
MEMORY = "/dev/shm"
#: How long the process beside is let loose, if so many losses were met by then: each is another round of it. How soon
#: depends on the disk, and on who else has the processors.
SECONDS = 0.5 if not WANTED else WANTED / 20_000
LEAST_LOSSES, LEAST_RIGHT = 10, 100
SIZE = 1000


def instants(seen: Counter[str], losses: str) -> Iterator[None]:
    """Again and again, for as long as that takes."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < SECONDS + DEADLINE_SECONDS:
        if passed > SECONDS and seen[losses] > LEAST_LOSSES and seen["right"] > LEAST_RIGHT:
            return
        yield
    raise AssertionError(f"they hardly met: {seen}")


class Uses:
    """One buffer in use, and what is known of it: the contents that were stored last, and whether they were dropped."""

    def __init__(self, volatile: VolatileBuffer, drop: Callable[[], None], seed: int) -> None:
        self.volatile, self.drop_now = volatile, drop
        self.dice = random.Random(seed)
        self.content, self.is_dropped = bytes(SIZE), False
        self.seen: Counter[str] = Counter()

    def drop(self, chance: float) -> None:
        if self.dice.random() < chance:
            self.drop_now()
            self.is_dropped = True

    def store(self) -> None:
        """Other contents, never a zero in them."""
        self.content = bytes([self.dice.randrange(1, 256)]) * SIZE
        self.volatile.copy_from(self.content)
        self.is_dropped = False

    def expect(self, got: bytes | bytearray | None) -> None:
        """None stands for an error that said so."""
        if got is None:
            assert self.is_dropped, "a loss was reported that was none"
            self.seen["reported"] += 1
        else:
            assert got == self.content, "dropped bytes were taken for contents"
            self.seen["right"] += 1

    def read_into(self) -> None:
        target = bytearray(b"\xff" * SIZE)
        try:
            self.volatile.read_into(target)
        except ContentsLostError:
            assert target == bytes(SIZE)
            self.expect(None)
        else:
            self.expect(target)

    def look(self) -> None:
        """In a block, at parts of it, with a loss in between."""
        got = bytearray()
        cuts = sorted(self.dice.randrange(SIZE + 1) for _ in range(2))
        try:
            with self.volatile.open(self.dice.choice(["r", "rw"])) as view:
                for start, stop in zip([0, *cuts], [*cuts, SIZE], strict=True):
                    self.drop(0.15)
                    got += view[start:stop]
        except ContentsLostError:
            self.expect(None)
        else:
            self.expect(got)

    def compare(self) -> None:
        try:
            is_equal = self.volatile == self.content
        except ContentsLostError:
            self.expect(None)
        else:
            self.expect(self.content if is_equal else b"other bytes")

    def copy(self) -> None:
        with LockedBuffer(SIZE) as locked:
            try:
                locked.copy_from(self.volatile)
            except ContentsLostError:
                assert locked == bytes(SIZE)
                self.expect(None)
            else:
                self.expect(self.content if locked == self.content else b"other bytes")

    def write(self) -> None:
        """A part of it, in a block that may lose it."""
        at = self.dice.randrange(SIZE)
        changed = bytearray(self.content)
        changed[at] = changed[at] % 255 + 1
        try:
            with self.volatile.open("rw") as view:
                self.drop(0.2)
                view[at] = changed[at]
        except ContentsLostError:
            self.expect(None)
        else:
            assert not self.is_dropped, "dropped bytes were taken for contents"
            self.content = bytes(changed)

    def go(self, rounds: int) -> Counter[str]:
        """Use it so many times."""
        uses = [self.read_into, self.look, self.compare, self.copy, self.write]
        for _ in range(rounds):
            if self.is_dropped:
                if self.dice.random() < 0.3:
                    assert not self.volatile.intact, "dropped bytes were taken for contents"
                    self.dice.choice(uses)()
                self.store()
            elif self.dice.random() < 0.2:
                self.store()
            self.drop(0.2)
            self.dice.choice(uses)()
            self.drop(0.1)
        return self.seen


@pytest.fixture
def quick_disk() -> Iterator[Path | None]:
    """An ext4 whose image is in memory, where such a thing can be mounted."""
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
            made: Path | None = stack.enter_context(loopmounted.image(folder, options="nobarrier")).at
        except (OSError, pytest.skip.Exception):
            made = None
        yield made


def test_losses_at_every_step(vanishing_backing: vanishing.Kind, quick_disk: Path | None) -> None:
    """Whatever was dropped before, during or after a use is reported, and what is not reported is right."""
    is_slow = vanishing_backing == "partial" and quick_disk is None
    rounds = ROUNDS_ON_A_DISK if is_slow else ROUNDS
    directory = quick_disk if vanishing_backing == "partial" else None
    with vanishing.one_cpu(), VolatileBuffer(SIZE, backing=vanishing_backing, directory=directory) as volatile:
        page = vanishing.page_of(volatile)
        seen = Uses(volatile, lambda: vanishing.drop_page(page, vanishing_backing), seed=rounds).go(rounds)
    assert min(seen["reported"], seen["right"]) > rounds / 4, seen


def test_control_a_check_that_sees_nothing(vanishing_backing: vanishing.Kind) -> None:
    """A saboteur puts the sentinels back after each drop: the same steps then find dropped bytes."""
    with vanishing.one_cpu(), VolatileBuffer(SIZE, backing=vanishing_backing) as volatile:
        page, sentinels = vanishing.page_of(volatile), vanishing.sentinels_of(volatile)

        def sabotage() -> None:
            vanishing.drop_page(page, vanishing_backing)
            vanishing.mend(page, sentinels)

        with pytest.raises(AssertionError, match="dropped bytes were taken for contents"):
            Uses(volatile, sabotage, seed=1).go(200)


@contextlib.contextmanager
def dropper_of(volatile: VolatileBuffer) -> Iterator[None]:
    """Another process that drops a buffer of this one's, over and over."""
    if os.geteuid() != 0:
        pytest.skip("needs root: process_madvise(2) of another process, files behind another one's pages")
    page = f"{vanishing.page_of(volatile):x}"
    how = ["write-back"] if volatile.backing == "partial" else []
    process = subprocess.Popen(
        [sys.executable, TESTS / "dropper.py", str(os.getpid()), *how, page],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said.startswith(b"refused"):
            pytest.skip(f"another process may not do that here: {said.decode().strip()}")
        assert said == b"ready\n"
        yield
        rounds, _ = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
        assert int(rounds) > LEAST_LOSSES
    finally:
        process.kill()
        process.communicate()


def test_losses_at_any_instant(vanishing_backing: vanishing.Kind) -> None:
    """A process beside this one drops the page whenever it likes, in the middle of every copy: the same holds."""
    seen: Counter[str] = Counter()
    target = bytearray(SIZE)
    with VolatileBuffer(SIZE, backing=vanishing_backing) as volatile, dropper_of(volatile):
        for _ in instants(seen, "reported"):
            content = bytes([sum(seen.values()) % 255 + 1]) * SIZE
            try:
                volatile.copy_from(content)
            except ContentsLostError:
                seen["lost each time"] += 1
                continue
            try:
                for _turn in range(3):
                    volatile.read_into(target)
                    assert target == content, "dropped bytes were taken for contents"
                    with volatile.open() as view:
                        got = bytes(view)
                    assert got == content, "dropped bytes were taken for contents"
                    seen["right"] += 1
            except ContentsLostError:
                assert target in (content, bytes(SIZE))
                seen["reported"] += 1
    assert seen["lost each time"] < seen["right"] / 10, seen


def test_brought_back_at_any_instant(vanishing_backing: vanishing.Kind) -> None:
    """With rebuild= beside such a process, contents are right each time that they are had at all."""
    seen: Counter[str] = Counter()

    def rebuild(view: View) -> None:
        seen["rebuilt"] += 1
        view[:] = bytes([seen["rebuilt"] % 255 + 1]) * SIZE

    target = bytearray(SIZE)
    with VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=rebuild) as volatile, dropper_of(volatile):
        for _ in instants(seen, "rebuilt"):
            try:
                volatile.read_into(target)
            except ContentsLostError:
                seen["lost each time"] += 1
            else:
                assert target == bytes([target[0]]) * SIZE
                assert target[0], "dropped bytes were taken for contents"
                seen["right"] += 1
    assert seen["lost each time"] < seen["right"] / 10, seen


PRESSED = """
    import vanishing
    with open({procs!r}, "w") as file:
        file.write(str(os.getpid()))
    volatile = VolatileBuffer(1000, backing={backing!r})
    while True:
        volatile.copy_from(b"m" * 1000)
        assert volatile == b"m" * 1000
        print("stored", flush=True)
        sys.stdin.readline()
        target = bytearray(b"x" * 1000)
        try:
            volatile.read_into(target)
            print("right" if target == b"m" * 1000 else "DROPPED BYTES", flush=True)
        except ContentsLostError:
            print("reported" if target == bytes(1000) and not volatile.intact else "NOT WIPED", flush=True)
"""


@pytest.fixture
def group() -> Iterator[tuple[int, Path]]:
    """A control group with a memory controller, which is gone afterwards."""
    place = cgroup.find_place()
    if place is None:
        pytest.skip("memory pressure for one process alone needs root and a control group with a memory controller")
    made = Path(place.folder) / f"strongroom-test-{os.getpid()}"
    made.mkdir()
    try:
        yield place.version, made
    finally:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while made.exists():  # the child that was in it has ended, and the kernel takes its time to see that
            with contextlib.suppress(OSError):
                made.rmdir()
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_memory_pressure(vanishing_backing: vanishing.Kind, group: tuple[int, Path]) -> None:
    """The kernel reclaims all it can of a group of processes: what it took of the page is reported."""
    version, folder = group
    said: Counter[str] = Counter()
    with Live(PRESSED.format(procs=str(folder / "cgroup.procs"), backing=vanishing_backing)) as child:
        for number in range(4):
            assert child.line() == "stored"
            if number % 2:
                cgroup.evict(version, str(folder))
            child.go()
            said[child.line()] += 1
    assert said.keys() <= {"right", "reported"}, said
    assert said["right"] >= 2  # without pressure
    if vanishing_backing == "droppable":
        assert said["reported"] >= 1, said
