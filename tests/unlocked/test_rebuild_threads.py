"""Contents that vanish and come back among threads, forks and Ctrl-C: one fills at a time, nobody sees half of it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import needs
import vanishing
from children import DEADLINE_SECONDS, forked, run, succeed
from strongroom import (
    AccessError,
    ContentsLostError,
    DestroyedError,
    ForkedError,
    View,
    VolatileBuffer,
)

pytestmark = needs.linux

SIZE = 1000


class Gate:
    """Fills a View with sevens once it is let to; says when it has begun."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Event(), threading.Event()
        self.calls = self.at_once = self.most_at_once = 0
        self.error: BaseException | None = None

    def __call__(self, view: View) -> None:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        view[: SIZE // 2] = b"\7" * (SIZE // 2)
        self.begun.set()
        assert self.let.wait(DEADLINE_SECONDS)
        view[SIZE // 2 :] = b"\7" * (SIZE - SIZE // 2)
        self.at_once -= 1
        if self.error is not None:
            raise self.error


class Runner(threading.Thread):
    """A thread that keeps what its function returned or raised."""

    def __init__(self, function: Any) -> None:
        super().__init__(daemon=True)
        self.function = function
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:
            self.result = error

    def outcome(self) -> Any:
        """What it returned or raised; it ends in time."""
        self.join(DEADLINE_SECONDS)
        assert not self.is_alive(), "it waits for ever"
        return self.result


def read(volatile: VolatileBuffer) -> bytes:
    """Copy the contents out."""
    target = bytearray(SIZE)
    volatile.read_into(target)
    return bytes(target)


@contextmanager
def threads_that_keep_running() -> Iterator[None]:
    """A thread goes on until it waits for something."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(DEADLINE_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def waits(runner: Runner) -> None:
    """Give a thread the time to come to where it waits."""
    runner.join(0.05)
    assert runner.is_alive()


@pytest.fixture
def gate() -> Gate:
    """Another one for each test."""
    return Gate()


def test_one_at_a_time(vanishing_backing: vanishing.Kind, gate: Gate) -> None:
    """One thread fills, the others wait for that and have what it stored."""
    with VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=gate) as volatile:
        runners = [Runner(lambda: read(volatile)) for _ in range(8)]
        assert gate.begun.wait(DEADLINE_SECONDS)
        assert not volatile.intact
        waits(runners[-1])
        gate.let.set()
        assert {runner.outcome() for runner in runners} == {b"\7" * SIZE}
    assert (gate.calls, gate.most_at_once) == (1, 1)


def test_what_is_half_filled_is_not_opened(vanishing_backing: vanishing.Kind, gate: Gate) -> None:
    """Nor is it without rebuild=: open() waits for a build() of another thread."""
    with VolatileBuffer(SIZE, backing=vanishing_backing) as volatile:
        builder = Runner(lambda: volatile.build(gate))
        assert gate.begun.wait(DEADLINE_SECONDS)
        readers = [Runner(lambda: read(volatile)), Runner(lambda: volatile == b"\7" * SIZE)]
        for reader in readers:
            waits(reader)
        gate.let.set()
        assert [one.outcome() for one in (builder, *readers)] == [None, b"\7" * SIZE, True]


def test_a_block_that_build_overtakes(vanishing_backing: vanishing.Kind, gate: Gate) -> None:
    """A block that is open when build() begins is told at its end, before and after build() has ended."""
    gate.let.set()
    for is_over in (False, True):
        with VolatileBuffer(SIZE, backing=vanishing_backing) as volatile:
            access = volatile.open()
            access.__enter__()
            begun = Gate()
            builder = Runner(lambda volatile=volatile, begun=begun: volatile.build(begun))
            assert begun.begun.wait(DEADLINE_SECONDS)
            if is_over:
                begun.let.set()
                assert builder.outcome() is None
            with pytest.raises(ContentsLostError):
                access.__exit__(None, None, None)
            begun.let.set()
            assert builder.outcome() is None
            assert read(volatile) == b"\7" * SIZE


def test_who_waits_for_one_that_fails(vanishing_backing: vanishing.Kind, gate: Gate) -> None:
    """The error is that thread's: the next one tries by itself, or finds nothing where only build() was to fill it."""
    gate.error = KeyError("mine")
    for rebuild in (gate, None):
        gate.begun.clear()
        gate.let.clear()
        with VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=rebuild) as volatile:
            first = Runner(lambda volatile=volatile: volatile.build(gate))
            assert gate.begun.wait(DEADLINE_SECONDS)
            second = Runner(lambda volatile=volatile: read(volatile))
            waits(second)
            gate.let.set()
            assert first.outcome() is gate.error
            assert isinstance(second.outcome(), ContentsLostError if rebuild is None else KeyError)


def test_destroyed_or_frozen_while_one_waits(vanishing_backing: vanishing.Kind) -> None:
    """Whoever waited for the turn looks again when it comes: nothing is done to what is frozen or gone by then."""
    for verb, error in (("freeze", AccessError), ("destroy", DestroyedError)):
        gate, volatile = Gate(), VolatileBuffer(SIZE, backing=vanishing_backing)

        def build_and_end(gate: Gate = gate, volatile: VolatileBuffer = volatile, verb: str = verb) -> None:
            with threads_that_keep_running():
                volatile.build(gate)
                getattr(volatile, verb)()

        first = Runner(build_and_end)
        assert gate.begun.wait(DEADLINE_SECONDS)
        second = Runner(lambda volatile=volatile: volatile.build(lambda view: view.__setitem__(0, 1)))
        waits(second)
        gate.let.set()
        assert first.outcome() is None
        assert isinstance(second.outcome(), error)
        if verb == "freeze":
            assert read(volatile) == b"\7" * SIZE
        volatile.destroy()


def test_interrupted_while_it_waits(vanishing_backing: vanishing.Kind) -> None:
    """Ctrl-C ends the waiting, and nothing else: the one that fills goes on, and so does the buffer."""
    out = succeed(f"""
        begun, let = threading.Event(), threading.Event()
        def fill(view):
            begun.set()
            let.wait()
            view[:] = b"7" * 32
        volatile = VolatileBuffer(32, backing={vanishing_backing!r}, rebuild=fill)
        thread = threading.Thread(target=lambda: volatile.read_into(bytearray(32)))
        thread.start()
        begun.wait()
        for use in (lambda: volatile == b"", lambda: volatile.build(fill)):
            try:  # from here on: on a busy machine the time may be over before it waits
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                use()
            except KeyboardInterrupt:
                print("interrupted", volatile.intact)
        let.set()
        thread.join()
        print(volatile == b"7" * 32)
    """)
    assert out.split() == ["interrupted", "False"] * 2 + ["True"]


def test_interrupted_while_it_fills(vanishing_backing: vanishing.Kind) -> None:
    """Ctrl-C in what fills it comes out of the use; a handler that opens the buffer there is refused and not stuck."""
    out = succeed(f"""
        def fill(view):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                time.sleep(0.01)
        volatile = VolatileBuffer(32, backing={vanishing_backing!r}, rebuild=fill)
        try:
            volatile == b""
        except KeyboardInterrupt:
            print("interrupted", volatile.intact)
        def handler(*_):
            volatile.read_into(bytearray(32))
        signal.signal(signal.SIGINT, handler)
        try:
            volatile == b""
        except AccessError:
            print("refused", volatile.intact)
    """)
    assert out.split() == ["interrupted", "False", "refused", "False"]


def test_a_fork_while_another_thread_fills(vanishing_backing: vanishing.Kind, gate: Gate) -> None:
    """The child has nothing of it and waits for nobody; the parent's thread goes on."""
    with VolatileBuffer(SIZE, backing=vanishing_backing, rebuild=gate) as volatile:
        first = Runner(lambda: read(volatile))
        assert gate.begun.wait(DEADLINE_SECONDS)
        page = vanishing.page_of(volatile)

        def look() -> str:
            refused = 0
            for use in (lambda: read(volatile), lambda: volatile.build(gate), lambda: volatile.intact):
                try:
                    use()
                except ForkedError:
                    refused += 1
            volatile.destroy()
            with VolatileBuffer(4, backing=vanishing_backing) as own:
                own.copy_from(b"mine")
                try:
                    is_there = any(vanishing.contents(page))
                except OSError:  # nothing can be read
                    is_there = False
                return f"{refused} {is_there} {own == b'mine'}"

        assert forked(look) == "3 False True"
        gate.let.set()
        assert first.outcome() == b"\7" * SIZE


def test_the_process_ends_while_a_thread_fills(vanishing_backing: vanishing.Kind) -> None:
    """A daemon thread that is just filling it, or waiting for a disk to, keeps nobody from leaving."""
    done = run(f"""
        def fill(view):
            view[:] = b"m" * 32
        def work():
            with VolatileBuffer(32, backing={vanishing_backing!r}) as volatile:
                while True:
                    volatile.build(fill)
                    begun.set()
        begun = threading.Event()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        begun.wait()
    """)
    assert (done.code, done.err) == (0, ""), done
