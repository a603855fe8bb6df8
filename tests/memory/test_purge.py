"""purge(): everything is wiped at once, what was made before is over, what is made after works."""

import threading

import pytest

import needs
from children import Live, succeed
from observed import Memory
from samples import made_of
from strongroom import LockedBuffer, PurgedError, Secret, purge


def test_what_was_made_before_refuses(backing: str) -> None:
    """Buffers and secrets raise PurgedError on any opening; destroy still works."""
    buffer, secret = LockedBuffer(32, backing=backing), Secret.random(32)
    access, sealed = buffer.open(), secret.open()
    purge()
    for use in (
        lambda: buffer.open().__enter__(),
        buffer.guarantees,
        buffer.__enter__,
        access.__enter__,
        secret.open,
        secret.reveal,
        sealed.__enter__,
        lambda: secret == b"x",
    ):
        with pytest.raises(PurgedError):
            use()
    buffer.destroy()
    secret.destroy()


@pytest.mark.parametrize("isolated", [True, False])
def test_the_repr_says_so(isolated: bool) -> None:
    """Of what was made before and is over, also while a block has it open. Control: before, and what is made after."""
    buffer, other = (LockedBuffer(32, backing="locked", isolated=isolated) for _ in range(2))
    assert repr(buffer) == "<LockedBuffer 32 bytes, locked, closed>"
    other.freeze()
    with pytest.raises(PurgedError, match="discard"), buffer.open():  # noqa: PT012
        purge()
        assert repr(buffer) == "<LockedBuffer 32 bytes, locked, open, purged>"
    assert repr(buffer) == "<LockedBuffer 32 bytes, locked, purged>"
    assert repr(other) == "<LockedBuffer 32 bytes, locked, purged, frozen>"
    with LockedBuffer(32, backing="locked", isolated=isolated) as made_after:
        assert repr(made_after) == "<LockedBuffer 32 bytes, locked, closed>"
    for one in (buffer, other):
        one.destroy()
        assert "destroyed" in repr(one)
        assert "purged" not in repr(one)


def test_an_open_block_ends_with_an_error_and_sees_zeros(backing: str) -> None:
    """Nothing faults inside the block; its end says that what was computed must be discarded."""
    buffer = LockedBuffer(32, backing=backing)
    with pytest.raises(PurgedError, match="discard"), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"p" * 32
        purge()
        assert bytes(view) == bytes(32)
        view[0] = 1


def test_an_open_secret_ends_with_an_error_and_sees_zeros() -> None:
    """The room is wiped under the reader."""
    secret = made_of(b"p" * 32)
    with pytest.raises(PurgedError, match="discard"), secret.open() as view:  # noqa: PT012
        assert view == b"p" * 32
        purge()
        assert bytes(view) == bytes(32)


def test_an_exception_on_its_way_is_kept() -> None:
    """The user's own error arrives, not PurgedError."""
    buffer = LockedBuffer(32)
    with pytest.raises(KeyError, match="mine"), buffer.open():  # noqa: PT012
        purge()
        raise KeyError("mine")


def test_new_ones_work_afterwards() -> None:
    """Under a new key, as often as wanted, with old rooms gone or clean."""
    for round_number in range(5):
        secret = made_of(bytes([round_number]) * 4)
        with LockedBuffer(32) as buffer, buffer.open("rw") as view:
            assert bytes(view) == bytes(32)
        assert secret.reveal() == bytes([round_number]) * 4
        purge()
        with pytest.raises(PurgedError):
            secret.reveal()


def test_a_kept_buffer_shows_zeros() -> None:
    """Quarantined memory is wiped like the rest and stays mapped."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"k" * 32
        kept = memoryview(view)
    purge()
    assert bytes(kept) == bytes(32)
    kept.release()


def test_closed_buffers_are_wiped_seen_from_outside() -> None:
    """A second process reads the pages of a locked buffer before and after; ordinary memory stays (control)."""
    with Live("""
        buffer = LockedBuffer(32, backing="locked")
        with buffer.open("rw") as view:
            take(view)
            address = address_of(view)
            ordinary = ctypes.create_string_buffer(bytes(view))
        print(address, ctypes.addressof(ordinary), flush=True)
        os.read(0, 1)
        purge()
        print("purged", flush=True)
        os.read(0, 1)
    """) as child:
        mark = bytes(range(100, 132))
        child.send(mark)
        address, ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert memory.read(address, 32) == mark
            child.go()
            assert child.line() == "purged"
            assert memory.read(address, 32) == bytes(32)
            assert memory.read(ordinary, 32) == mark


@pytest.mark.parametrize("what", ["purge()", "secret.destroy()"])
def test_ending_everything_while_a_secret_opens(what: str) -> None:
    """Making a room lets other threads run: one that ends the secret meanwhile gets an error raised, not a crash."""
    out = succeed(f"""
        from strongroom.buffers import host
        secret = Secret.random(9000)
        plan = host.plan
        def plan_and_end(*arguments):                # runs where another thread would: while the room is made
            host.plan = plan
            {what}
            return plan(*arguments)
        host.plan = plan_and_end
        try:
            secret.reveal()
            print("revealed")
        except (PurgedError, DestroyedError) as error:
            print(type(error).__name__)
        print(len(Secret.random(3).reveal()))
    """)
    assert out.split() == ["PurgedError" if "purge" in what else "DestroyedError", "3"]


def test_purge_while_a_secret_is_being_built() -> None:
    """fill() may take long (a prompt): a purge in between is a PurgedError at its end, not a crash."""
    out = succeed("""
        def fill(view):
            view[:] = b"x" * len(view)
            purge()
        try:
            Secret.build(16, fill)
            print("built")
        except PurgedError:
            print("refused")
        print(len(Secret.random(3).reveal()))
    """)
    assert out.split() == ["refused", "3"]


def test_purges_from_many_threads() -> None:
    """Threads that make, open and purge at once: only PurgedError, never wrong content, never a crash."""
    out = succeed("""
        sys.setswitchinterval(1e-5)
        wrong = []
        def work(number):
            content = bytes([number]) * 64
            for turn in range(150):
                try:
                    secret = Secret.build(64, lambda view: view.__setitem__(slice(None), content))
                    for isolated in (True, False):
                        buffer = LockedBuffer(64, isolated=isolated)
                        with buffer.open("rw") as view:
                            view[:] = content
                        if buffer != content:
                            wrong.append(number)
                    if secret.reveal() != content:
                        wrong.append(number)
                    if number == 0 and turn % 5 == 0:
                        purge()
                except PurgedError:
                    pass
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(wrong))
    """)
    assert out.strip() == "0"


def test_another_thread_with_an_open_block(backing: str) -> None:
    """It reads zeros from then on without faulting, opens nothing new, and its block ends with PurgedError."""
    buffer, secret = LockedBuffer(32, backing=backing), made_of(b"p" * 32)
    is_open, is_purged = threading.Event(), threading.Event()
    told: list[object] = []

    def work() -> None:
        try:
            with buffer.open("rw") as view, secret.open() as plain:
                view[:] = b"p" * 32
                is_open.set()
                assert is_purged.wait(30)
                told.append(bytes(view) + bytes(plain))
                for use in (secret.open, buffer.open().__enter__):
                    with pytest.raises(PurgedError):
                        use()
        except PurgedError as error:
            told.append("discard" in str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert is_open.wait(30)
    purge()
    is_purged.set()
    thread.join()
    assert told == [bytes(64), True]


SEEN_FROM_OUTSIDE = """
keys = children.locked_and_recorded()
content = os.read(0, 32)
def fill(view):
    view[:] = content
    places.append(address_of(view))
places = []
idle = Secret.build(32, fill)  # its room is idle from here on: wiped, and kept for the next
secret = Secret.build(32, lambda view: view.__setitem__(slice(None), content))
access = secret.open()
inside = access.__enter__()
ordinary = bytearray(content)
(key,) = keys
print(address_of(inside), places[0], key._layout()[1] - 32, address_of(ordinary), flush=True)
os.read(0, 1)
"""


@needs.linux
def test_the_key_and_open_rooms_are_wiped_seen_from_outside() -> None:
    """A second process reads the key and an opened secret before, and zeros after; ordinary memory stays (control)."""
    with Live(SEEN_FROM_OUTSIDE + "purge()\nprint('purged', flush=True)\nos.read(0, 1)") as child:
        mark = bytes(range(100, 132))
        child.send(mark)
        room, _idle, key, ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert memory.read(room, 32) == mark
            assert memory.read(key, 32) not in (None, bytes(32))
            child.go()
            assert child.line() == "purged"
            assert memory.read(room, 32) == bytes(32)
            assert memory.read(key, 32) == bytes(32)
            assert memory.read(ordinary, 32) == mark


@needs.linux
def test_what_a_block_writes_after_the_purge_is_wiped_at_its_end() -> None:
    """Seen from outside: written, there while the block lasts (control), zeros when it has ended."""
    with Live("""
        buffer = LockedBuffer(32, backing="locked")
        content = os.read(0, 32)
        try:
            with buffer.open("rw") as view:
                purge()
                view[:] = content
                print(address_of(view), flush=True)
                os.read(0, 1)
        except PurgedError:
            print("ended", flush=True)
        os.read(0, 1)
    """) as child:
        mark = bytes(range(100, 132))
        child.send(mark)
        address = int(child.line())
        with Memory(child.pid) as memory:
            assert memory.read(address, 32) == mark
            child.go()
            assert child.line() == "ended"
            assert memory.read(address, 32) == bytes(32)


@needs.linux
def test_what_fill_writes_after_the_purge_is_wiped_at_its_end() -> None:
    """The same for a room: fill() purges, writes on, and nothing of it is left or sealed."""
    with Live("""
        children.locked_and_recorded()
        content = os.read(0, 32)
        def fill(view):
            purge()
            view[:] = content
            print(address_of(view), flush=True)
            os.read(0, 1)
        try:
            Secret.build(32, fill)
        except PurgedError:
            print("refused", flush=True)
        os.read(0, 1)
    """) as child:
        mark = bytes(range(100, 132))
        child.send(mark)
        address = int(child.line())
        with Memory(child.pid) as memory:
            assert memory.read(address, 32) == mark
            child.go()
            assert child.line() == "refused"
            assert memory.read(address, 32) == bytes(32)


def test_a_purge_inside_a_purged_block_changes_nothing() -> None:
    """Twice is fine, and the block still ends with one PurgedError."""
    buffer = LockedBuffer(32)
    with pytest.raises(PurgedError, match="discard"), buffer.open():  # noqa: PT012
        purge()
        purge()
