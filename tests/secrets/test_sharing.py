"""Many who hold one secret: one room for all of them, and nothing left when the last one has gone."""

import asyncio
import threading

import pytest

import needs
from children import DEADLINE_SECONDS, Live, succeed
from observed import Memory
from strongroom import Secret, stats


def test_500_tasks_that_hold_one_token_use_one_room() -> None:
    """Each has it open across an await; the isolated blocks grow by one, and all see the same bytes."""
    token = Secret.random(32)
    expected = token.reveal()
    before = stats().isolated
    seen: set[bytes] = set()
    most = 0

    async def call(number: int) -> None:
        nonlocal most
        with token.open() as view:
            await asyncio.sleep(0.001 * (number % 5))
            most = max(most, stats().isolated)
            seen.add(bytes(view))

    async def everybody() -> None:
        await asyncio.gather(*(call(number) for number in range(500)))

    asyncio.run(everybody())
    assert seen == {expected}
    assert most <= before + 1


@needs.linux
def test_where_no_room_is_left_it_waits_or_raises_at_once() -> None:
    """Under a limit of few pages with a policy to wait: who holds a room itself is refused, the others get theirs."""
    out = succeed("""
        configure(policy=Policy(wait_seconds=60))
        children.limit_locks(8 * 4096)
        secrets = [Secret.random(32) for _ in range(40)]
        held = []
        begun = time.monotonic()
        try:
            for secret in secrets:
                access = secret.open()
                access.__enter__()
                held.append(access)
        except LockLimitError as error:
            print("refused", 2 <= len(held) < 40, "has a Secret open" in str(error), time.monotonic() - begun < 30)
        def take():
            with secrets[-1].open() as view:
                print("waited", len(view))
        taker = threading.Thread(target=take)
        taker.start()
        time.sleep(0.3)
        print(taker.is_alive())
        held.pop().__exit__(None, None, None)
        taker.join()
        for access in held:
            access.__exit__(None, None, None)
        print("opens", sum(len(secret.reveal()) for secret in secrets))
    """)
    assert out.split() == ["refused", "True", "True", "True", "True", "waited", "32", "opens", "1280"]


@needs.linux
@pytest.mark.parametrize("kind", ["secret", "ordinary"])
def test_after_ten_thousand_opens_nothing_is_left(kind: str) -> None:
    """From 8 threads, with exceptions, kept slices and a fork in the middle: a second process finds no plaintext.

    With one ordinary copy it does (control).
    """
    mark = b"\xa9shared" + bytes(range(25))
    with Live(f"""
        secret = Secret.build(32, lambda view: take(view))
        kept = []
        def work():
            for turn in range(1250):
                try:
                    with secret.open() as view:
                        if turn % 100 == 0:
                            kept.append(view[3:9])
                        if turn % 50 == 0:
                            raise KeyError(turn)
                        assert view[0] == 0xA9
                except KeyError:
                    pass
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        with secret.open() as view:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
        os.waitpid(pid, 0)
        for thread in threads: thread.join()
        for view in kept:
            try:
                view[0]
                raise SystemExit("a slice outlived its block")
            except AccessError:
                pass
        copy = secret.reveal() if {kind == "ordinary"} else None
        print("ready", len(kept), flush=True)
        os.read(0, 1)
    """) as child:
        child.send(mark)
        assert child.line() == f"ready {8 * 13}"
        with Memory(child.pid) as memory:
            assert (memory.count(mark) > 0) == (kind == "ordinary")


def test_threads_share_a_room_too() -> None:
    """All of them hold it at the same moment."""
    token = Secret.random(32)
    expected = token.reveal()
    together = threading.Barrier(20)
    before = stats().isolated
    told: list[tuple[bool, int]] = []

    def hold() -> None:
        with token.open() as view:
            together.wait(DEADLINE_SECONDS)
            told.append((view == expected, stats().isolated - before))
            together.wait(DEADLINE_SECONDS)

    threads = [threading.Thread(target=hold) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 20
    assert all(is_right and grown <= 1 for is_right, grown in told)
