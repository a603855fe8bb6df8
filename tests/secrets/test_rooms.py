"""The locked rooms that opened secrets occupy: shared while open, wiped at the end, whatever ends it."""

import ctypes
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from children import CANARY_DEATH, run, succeed
from observed import KEPT_OUT, PAGE, address_of, mapping_at, protection_at
from samples import made_of
from strongroom import Access, AccessError, LockedBuffer, Secret, _native

CANARY = 16


def room_content(address: int) -> bytes:
    """Return the page of a room up to its canary and from there to its end: rooms in reserve stay accessible."""
    page = address // PAGE * PAGE
    assert protection_at(page) == "rw-"
    return ctypes.string_at(page, PAGE)


def test_a_room_is_locked_and_guarded() -> None:
    """The opened bytes lie in locked pages, not dumped, not inherited, flush against a guard page."""
    with made_of(b"content").open() as view:
        address = address_of(view)
        pages, above = mapping_at(address), mapping_at(address + 7)
        assert pages is not None
        assert above is not None
        assert pages.flags >= KEPT_OUT
        assert above.permissions[:3] == "---"
        assert (address + 7) % PAGE == 0


@pytest.mark.parametrize("end", ["normal", "exception", "generator", "dropped"])
def test_a_room_is_wiped(end: str) -> None:
    """By whatever the block ends; while it is open the bytes are there (control)."""
    secret = made_of(b"wipe me, please!")
    access = secret.open()
    view = access.__enter__()
    address = address_of(view)
    assert room_content(address).endswith(b"wipe me, please!")
    del view
    if end == "normal":
        access.__exit__(None, None, None)
    elif end == "exception":
        access.__exit__(KeyError, KeyError("mine"), None)
    elif end == "dropped":
        del access
    else:
        access.__exit__(None, None, None)

        def read() -> object:
            with secret.open() as inner:
                yield address_of(inner)

        running = read()
        assert next(running) == address  # type: ignore[call-overload]
        running.close()  # type: ignore[attr-defined]
    assert b"wipe" not in room_content(address)
    assert room_content(address).endswith(bytes(16))


def test_concurrent_opens_share_one_room() -> None:
    """Nested or in threads: one address; closed with the last."""
    secret = made_of(b"shared")
    with secret.open() as outer, secret.open() as inner:
        assert address_of(outer) == address_of(inner)
    first, second = secret.open(), secret.open()
    view = first.__enter__()
    again = second.__enter__()
    address = address_of(view)
    first.__exit__(None, None, None)
    with pytest.raises(AccessError):
        bytes(view)
    assert again == b"shared"
    second.__exit__(None, None, None)
    assert room_content(address).endswith(bytes(6))


def test_different_secrets_have_different_rooms() -> None:
    """Pages of their own, so that neither can run into the other."""
    with made_of(b"one").open() as one, made_of(b"two").open() as two:
        assert address_of(one) // PAGE != address_of(two) // PAGE
        assert (bytes(one), bytes(two)) == (b"one", b"two")


def test_eight_threads_open_one_secret() -> None:
    """All see the right bytes all the time."""
    secret = made_of(bytes(range(200)))
    wrong: list[int] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(400):
            with secret.open() as view:
                if view != bytes(range(200)):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_access_in_two_threads_is_used_once() -> None:
    """The second thread is refused, and the room closes with the first one's block."""
    out = succeed("""
        secret = Secret.random(4 << 20)  # long to make, and within the usual limit
        access, results, start = secret.open(), [], threading.Barrier(2)
        def work():
            start.wait()
            try:
                with access as view:
                    results.append("opened")
            except AccessError:
                results.append("refused")
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        del access
        print(*sorted(results), observed.status_size("VmLck") < 4 << 20)
    """)
    assert out.split() == ["opened", "refused", "True"]


def test_first_secrets_in_many_threads() -> None:
    """Threads that make the first secret of a process at once agree on one key: none is lost."""
    out = succeed("""
        sys.setswitchinterval(1e-6)
        lost = 0
        for _ in range(60):
            purge()
            made, start = [], threading.Barrier(4)
            def work():
                start.wait()
                made.append(Secret.random(32))
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            for secret in made:
                try:
                    secret.reveal()
                except PurgedError:
                    lost += 1
        print(lost)
    """)
    assert out.strip() == "0"


@pytest.mark.parametrize("distance", [1, 16, 17, 40])
def test_a_room_writes_past_its_front_end_the_process(distance: int) -> None:
    """The canary of a room is checked when its block ends (through a raw pointer: nothing of ours writes there)."""
    result = run(
        """
        secret = Secret.random(32)
        with secret.open() as view:
            flip(address_of(view) - DISTANCE)
        print("survived")
    """.replace("DISTANCE", str(distance))
    )
    assert result.code == CANARY_DEATH, result
    assert "survived" not in result.out
    assert "canary" in result.err


def test_large_rooms_are_given_back() -> None:
    """Rooms of more than a page are not kept in reserve."""
    secret = Secret.random(100_000)
    with secret.open() as view:
        address = address_of(view)
    del view
    mapping = mapping_at(address)
    assert mapping is None or "lo" not in mapping.flags


@pytest.mark.parametrize("seed", range(3))
def test_who_holds_a_room_is_known_at_every_step(seed: int) -> None:
    """Entered in one thread, left in any, in any order, or dropped without leaving: the answer is that of a model.

    A thread that holds a room must not wait at the lock limit, and one that holds none must not be kept from it.
    """
    draw = random.Random(seed)
    secrets = [Secret.random(8) for _ in range(3)]
    held: list[tuple[str, Access]] = []
    buffer = LockedBuffer(8)
    with ThreadPoolExecutor(1) as pool, buffer.open():  # a plain buffer is no room
        for _ in range(400):
            who = draw.choice(["main", "worker"])
            step = draw.choice(["enter", "enter", "leave", "drop"])
            if step == "enter" and len(held) < 8:
                access = draw.choice(secrets).open()
                access.__enter__() if who == "main" else pool.submit(access.__enter__).result()
                held.append((who, access))
                del access
            elif held and step == "leave":
                leaving = held.pop(draw.randrange(len(held)))[1]
                if who == "main":
                    leaving.__exit__(None, None, None)
                else:
                    pool.submit(leaving.__exit__, None, None, None).result()
                del leaving
            elif held and step == "drop":
                held.pop(draw.randrange(len(held)))
            holders = {name for name, _access in held}
            assert _native.holds_room() == ("main" in holders)
            assert pool.submit(_native.holds_room).result() == ("worker" in holders)
    held.clear()
    assert _native.holds_room() is False
