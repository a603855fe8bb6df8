"""Where the key and the plaintext are before, in and after a block: all memory and all registers of a stopped process.

Rooms and key are in ``locked`` memory here, which a second process can read; looked for is every piece of 8 bytes.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: stops a process with ptrace", allow_module_level=True)

from children import Live
from pieces import KEY, KEY_PAGE, OTHER, PLAIN, ROOM, Needles, content_of
from stopping import Stopper

pytestmark = needs.linux

_BEGIN = """
keys = children.locked_and_recorded()
def say(*words):
    print(*words, flush=True)
    os.read(0, 1)
def tell_key():
    with keys[0].open() as view:
        print(keys[0]._layout()[1] - 32, flush=True)
        assert os.write(1, view) == 32
def leak(secret):
    with secret.open() as view, keys[0].open() as key:
        return bytes(view), bytes(key)
"""

#: Whatever the cipher leaves on its stack for a size that is no multiple of its block is the last block.
SIZES = [13, 32, 45, 4096]


@contextmanager
def stopper_of(pid: int) -> Iterator[Stopper]:
    """A stopper, or a named skip where tracing is forbidden."""
    try:
        stopper = Stopper(pid)
    except PermissionError:
        pytest.skip("tracing a child is forbidden here: needs yama's ptrace_scope at most 1, and a container "
                    "profile that allows ptrace")  # fmt: skip
    with stopper:
        yield stopper


def child_of(code: str, size: int) -> Live:
    """A child that runs this, with SIZE in it replaced."""
    return Live(_BEGIN + textwrap.dedent(code).replace("SIZE", str(size)))


def needles_of(child: Live, plain: bytes) -> Needles:
    """What to look for in a child that tells its key."""
    key_address = int(child.line())
    return Needles(plain, child.take(32), key_address)


def places(stopper: Stopper, needles: Needles) -> set[tuple[str, str]]:
    """Stop, look, let it go on; everything there was could be read."""
    stopper.stop()
    found = {(hit.what, hit.place) for hit in needles.search(stopper)}
    stopper.go_on()
    assert stopper.unread_size == 0
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("made", ["build", "from_buffer"])
def test_only_the_room_while_open_and_nothing_after(size: int, made: str) -> None:
    """The key is in its page alone, at any time; plaintext in a room while a block is open, and nowhere else or later.

    In the end the child makes copies of both in ordinary memory, and the same search finds them (control).
    """
    plain = content_of(size)
    making = "Secret.build(SIZE, take)" if made == "build" else "Secret.from_buffer(source)"
    with child_of(
        f"""
        source = bytearray(SIZE)
        if {made == "from_buffer"}:
            take(source)
        secret = {making}
        tell_key()
        say("sealed")
        for _ in range(5):
            with secret.open() as view:
                pass
        say("opened before")
        with secret.open() as view:
            say("open")
        assert not secret == bytes(SIZE)
        say("closed")
        copies = leak(secret)
        say("leaked")
    """,
        size,
    ) as child:
        child.send(plain)
        needles = needles_of(child, plain)
        with stopper_of(child.pid) as stopper:
            for word, expected in (
                ("sealed", {(KEY, KEY_PAGE)}),
                ("opened before", {(KEY, KEY_PAGE)}),
                ("open", {(KEY, KEY_PAGE), (PLAIN, ROOM)}),
                ("closed", {(KEY, KEY_PAGE)}),
            ):
                assert child.line() == word
                assert places(stopper, needles) == expected, word
                child.go()
            assert child.line() == "leaked"
            assert places(stopper, needles) >= {(KEY, OTHER), (PLAIN, OTHER)}


@pytest.mark.parametrize("size", SIZES)
def test_a_refused_opening_leaves_nothing(size: int) -> None:
    """Two objects with each other's envelope: every opening is refused, and leaves neither key nor plaintext anywhere.

    In the end the child makes copies of both from a secret that opens, and the same search finds them (control).
    """
    plain = content_of(size)
    with child_of(
        """
        source = bytearray(SIZE)
        take(source)
        good, *bad = [Secret.from_buffer(source, wipe=False) for _ in range(3)]
        source[:] = bytes(SIZE)
        tell_key()
        head, body = object.__basicsize__, Secret.__basicsize__ - object.__basicsize__
        first, second = (ctypes.string_at(id(one) + head, body) for one in bad)
        ctypes.memmove(id(bad[0]) + head, second, body)
        ctypes.memmove(id(bad[1]) + head, first, body)
        for one in bad * 5:
            try:
                with one.open() as view:
                    raise SystemExit("it opened")
            except SealBrokenError:
                pass
        say("refused")
        copies = leak(good)
        say("leaked")
    """,
        size,
    ) as child:
        child.send(plain)
        needles = needles_of(child, plain)
        with stopper_of(child.pid) as stopper:
            assert child.line() == "refused"
            assert places(stopper, needles) == {(KEY, KEY_PAGE)}
            child.go()
            assert child.line() == "leaked"
            assert places(stopper, needles) >= {(KEY, OTHER), (PLAIN, OTHER)}


def test_nothing_is_left_after_ten_thousand_opens() -> None:
    """From 8 threads, with exceptions, with Views and raw memoryviews kept, and with forks in the middle of blocks.

    The threads are still there, waiting. A child forked in a block has neither key nor plaintext at any time, but an
    ordinary copy of the plaintext is found in the same child's memory once there is one (control).
    """
    plain = content_of(45)
    with child_of(
        """
        secret = Secret.build(SIZE, take)
        tell_key()
        views, raw, pids, done = [], [], [], threading.Barrier(9)
        def work(number):
            for turn in range(1250):
                try:
                    with secret.open() as view:
                        if turn % 100 == 0:
                            views.append(view[3:9])
                        if turn % 50 == 0:
                            raise KeyError(turn)
                        assert len(view) == SIZE
                except KeyError:
                    pass
            own = Secret.random(SIZE)
            try:
                with own.open() as view:
                    raw.append(memoryview(view))
            except BufferError:
                pass
            done.wait()
            time.sleep(600)
        for number in range(8):
            threading.Thread(target=work, args=(number,), daemon=True).start()
        time.sleep(0.01)
        with secret.open() as view:
            pid = os.fork()
            if pid == 0:
                time.sleep(600)
        done.wait()
        print(pid, len(views), len(raw), flush=True)
        os.read(0, 1)
        copies = leak(secret)
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        print(pid, flush=True)
        os.read(0, 1)
    """,
        45,
    ) as child:
        child.send(plain)
        needles = needles_of(child, plain)
        pid, views, raw = child.line().split()
        assert (views, raw) == (str(8 * 13), "8")
        with stopper_of(int(pid)) as forked:
            assert places(forked, needles) == set()
        with stopper_of(child.pid) as stopper:
            assert len(stopper.threads) == 9
            assert places(stopper, needles) == {(KEY, KEY_PAGE)}
            child.go()
            with stopper_of(int(child.line())) as forked:
                assert places(forked, needles) >= {(KEY, OTHER), (PLAIN, OTHER)}
