"""Threads that use, fill, drop and end one buffer, all at once: nobody sees half of anything, nobody is stuck."""

import json
import os
from collections import Counter

import pytest

import faultinject
import needs
import vanishing
from children import succeed

pytestmark = needs.linux

SIZE = 1000
STRESS_SECONDS = float(os.environ.get("STRONGROOM_STRESS_SECONDS", "0.8"))


STRESS = """
    import random, sys, vanishing
    sys.setswitchinterval(1e-5)
    SIZE = 1000
    counts, wrong, begun = {{}}, [], time.monotonic()
    def is_over():
        "After that time, if what was to happen has happened; where others have the processors that takes longer."
        passed = time.monotonic() - begun
        return passed > {seconds} and (passed > {seconds} + 25 or all(
            counts.get(tuple(name), 0) > least for *name, least in {wanted!r}))
    def fill(view):
        byte = bytes([random.randrange(1, 256)])
        for start in range(0, SIZE, 100):
            view[start:start + 100] = byte * 100
    volatile = VolatileBuffer(SIZE, backing={backing!r}, rebuild=fill)
    page = vanishing.page_of(volatile)
    def read():
        target = bytearray(SIZE)
        volatile.read_into(target)
        if target != bytes([target[0]]) * SIZE or not target[0]:
            wrong.append(bytes(target))
    def look():
        with volatile.open() as view:
            got = bytes(view)
            time.sleep(0)
            got += bytes(view)
        if len(set(got)) != 1 or not got[0]:
            wrong.append(got)
    def store():
        volatile.copy_from(bytes([random.randrange(1, 256)]) * SIZE)
    def build():
        volatile.build(fill)
    def freeze():
        volatile.freeze()
        time.sleep(0)
        volatile.melt()
    def ask():
        volatile.intact, volatile.guarantees(), repr(volatile)
    def drop():
        vanishing.push(page, {backing!r})
        time.sleep(0.0005)
    def go(use):
        while not is_over():
            try:
                use()
                what = "done"
            except (ContentsLostError, BufferError, AccessError) as error:
                what = type(error).__name__
            counts[use.__name__, what] = counts.get((use.__name__, what), 0) + 1
    threads = [threading.Thread(target=go, args=(use,)) for use in {uses}]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not any(thread.is_alive() for thread in threads), "stuck"
    assert not wrong, (len(wrong), wrong[0][:10], wrong[0][-10:])
    volatile.build(fill)
    volatile.destroy()
    print(json.dumps([[*name, count] for name, count in counts.items()]))
"""


def stress(backing: str, uses: str, wanted: list[tuple[str, str, int]]) -> None:
    """Let threads loose on one buffer, until each thing has happened more than so often, in that way."""
    told = json.loads(succeed(STRESS.format(seconds=STRESS_SECONDS, backing=backing, uses=uses, wanted=wanted)))
    counts = Counter({(name, what): count for name, what, count in told})
    for name, what, least in wanted:
        assert counts[name, what] > least, counts


def test_many_threads(vanishing_backing: vanishing.Kind) -> None:
    """Reading, looking, filling and dropping at once: contents are whole each time, and nobody is stuck."""
    done = [(name, "done", 3) for name in ("read", "look", "build", "drop")]
    stress(vanishing_backing, "[read, look, read, ask, build, drop]", [*done, ("look", "ContentsLostError", 0)])


def test_many_threads_that_store(vanishing_backing: vanishing.Kind) -> None:
    """The same with copy_from(), freeze() and melt() among them: they may be refused, and spoil nothing."""
    done = [(name, "done", 5) for name in ("read", "store", "drop")]
    stress(vanishing_backing, "[read, store, store, build, freeze, drop]", done)


def test_purged_among_threads(vanishing_backing: vanishing.Kind) -> None:
    """purge() and destroy() while others fill, read and wait: errors of ours, no crash, no page that is left."""
    out = succeed(f"""
        import sys, vanishing
        sys.setswitchinterval(1e-5)
        def fill(view):
            view[:] = b"7" * 100
        def use(volatile):
            while not volatile.is_destroyed:
                store = lambda: volatile.copy_from(b"8" * 100)
                for what in (lambda: volatile.build(fill), lambda: volatile == b"", store):
                    try:
                        what()
                    except (StrongroomError, BufferError):
                        pass
        end = time.monotonic() + {STRESS_SECONDS}
        rounds = 0
        while time.monotonic() < end or rounds <= 3:
            rounds += 1
            volatile = VolatileBuffer(100, backing={vanishing_backing!r}, rebuild=fill)
            threads = [threading.Thread(target=use, args=(volatile,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.002)
            if rounds % 2:
                purge()
            while True:
                try:
                    volatile.destroy()
                    break
                except BufferError:
                    time.sleep(0)
            for thread in threads:
                thread.join(50)
                assert not thread.is_alive()
        print(stats().volatile_size)
    """)
    assert out.strip() == "0"


def test_a_stand_in_among_threads(vanishing_backing: vanishing.Kind) -> None:
    """A LockedBuffer that such memory stands in for: what is stored anew is had whole or not at all, never as zeros."""
    if vanishing_backing == "partial" and not faultinject.is_supported():
        pytest.skip("fault injection needs Linux on x86_64 or aarch64: here droppable pages come first")
    out = succeed(f"""
        import random, vanishing, warnings
        if {vanishing_backing!r} == "partial":
            from faultinject import deny
            deny("mmap", errno.EINVAL, arg_equals=(3, 0x28))
        children.limit_locks(0)
        warnings.simplefilter("ignore")
        sys.setswitchinterval(1e-5)
        buffer = LockedBuffer(1000, policy=Policy(fallback=("volatile",)))
        assert buffer.backing == {vanishing_backing!r}
        page, wrong, counts = vanishing.page_of(buffer), [], dict(read=0, store=0, lost=0, drop=0)
        buffer.copy_from(b"x" * 1000)
        def read():
            target = bytearray(1000)
            buffer.read_into(target)
            if len(set(target)) != 1 or not target[0]:
                wrong.append(bytes(target))
        def store():
            buffer.copy_from(bytes([random.randrange(1, 256)]) * 1000)
        def drop():
            vanishing.push(page, buffer.backing)
            time.sleep(0.0005)
        end = time.monotonic() + {STRESS_SECONDS}
        def is_over():
            now = time.monotonic()
            return now > end and (now > end + 25 or min(counts["read"], counts["store"], counts["drop"]) > 3)
        def go(use):
            while not is_over():
                try:
                    use()
                    counts[use.__name__] += 1
                except (ContentsLostError, BufferError):
                    counts["lost"] += 1
        threads = [threading.Thread(target=go, args=(use,)) for use in (read, read, store, store, drop)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
            assert not thread.is_alive()
        assert not wrong, (len(wrong), wrong[0][:10], wrong[0][-10:])
        buffer.copy_from(b"y" * 1000)
        assert buffer == b"y" * 1000
        buffer.destroy()
        print(counts["read"], counts["store"], counts["drop"], flush=True)  # a loss may be made good before it is met
        os._exit(0)
    """)
    assert min(map(int, out.split())) > 3, out
