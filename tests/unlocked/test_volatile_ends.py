"""How memory that may vanish ends, and what others have of it: children, purge(), the process's own end."""

import secrets
import subprocess
from typing import Any

import pytest

import faultinject
import needs
import observed
import vanishing
from children import Live, forked, succeed
from strongroom import ForkedError, VolatileBuffer

pytestmark = needs.linux

MARK = secrets.token_hex(32).encode()

#: A child that reads a mark straight into such a buffer, and is looked at from outside: nowhere else is there one.
SCENE = """
    import vanishing
    volatile = VolatileBuffer(64, backing={backing!r})
    with volatile.open("rw") as view:
        assert take(view) == 64
    page = vanishing.page_of(volatile)
    def tell(*words):
        print(*words, flush=True)
        sys.stdin.readline()
"""


def started(backing: str, code: str, **how: Any) -> Live:
    """Such a child, which has the mark by now and then does what the code says."""
    live = Live(SCENE.format(backing=backing) + "    tell(page)\n" + code, **how)
    live.send(MARK)
    return live


def found_in(memory: observed.Memory, page: int) -> bytes:
    """What a process has there; nothing where nothing is mapped."""
    return memory.read(page, vanishing.PAGE) or b""


def test_in_a_child(vanishing_backing: vanishing.Kind) -> None:
    """Every use raises ForkedError and destroy() does nothing; the parent has it as before."""
    with VolatileBuffer(64, backing=vanishing_backing, rebuild=lambda view: view.__setitem__(0, 9)) as volatile:
        volatile.copy_from(MARK)

        def look() -> str:
            uses = [
                lambda: volatile == MARK,
                lambda: volatile.intact,
                lambda: volatile.read_into(bytearray(64)),
                lambda: volatile.copy_from(MARK),
                lambda: volatile.build(print),
                lambda: volatile.open().__enter__(),
                volatile.guarantees,
                volatile.freeze,
            ]
            refused = 0
            for use in uses:
                with pytest.raises(ForkedError):
                    use()
                refused += 1
            volatile.destroy()
            return f"{refused} of {len(uses)} {volatile!r}"

        assert forked(look) == f"8 of 8 <VolatileBuffer 64 bytes, {vanishing_backing}, closed>"
        assert volatile == MARK


def test_a_block_that_a_fork_left_open(vanishing_backing: vanishing.Kind) -> None:
    """In the child its View refuses, and its end says why."""
    with VolatileBuffer(64, backing=vanishing_backing) as volatile:
        volatile.copy_from(MARK)
        access = volatile.open()
        view = access.__enter__()

        def look() -> str:
            with pytest.raises(ForkedError):
                view[0]
            with pytest.raises(ForkedError):
                access.__exit__(None, None, None)
            return "refused"

        assert forked(look) == "refused"
        assert bytes(view) == MARK
        access.__exit__(None, None, None)


def test_nothing_of_it_in_a_child(vanishing_backing: vanishing.Kind) -> None:
    """Seen from outside: the bytes are in the parent and nowhere in its child, whether it was closed or open."""
    code = """
    for access in (None, volatile.open("rw")):
        if access is not None:
            access.__enter__()
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        tell(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    """
    with started(vanishing_backing, code) as live:
        page = int(live.line())
        for _ in range(2):
            live.go()
            child = int(live.line())
            with observed.Memory(live.pid) as mine, observed.Memory(child) as its:
                assert MARK in found_in(mine, page)
                assert not any(found_in(its, page))
                assert its.count(MARK) == 0
        live.go()


def test_no_core_has_it(vanishing_backing: vanishing.Kind) -> None:
    """The kernel lists it as left out of dumps, also after contents began anew."""
    with VolatileBuffer(64, backing=vanishing_backing) as volatile:
        for _ in range(2):
            mapping = observed.mapping_at(vanishing.page_of(volatile))
            assert mapping is not None
            assert "dd" in mapping.flags
            vanishing.drop(volatile)
            volatile.copy_from(MARK)


def test_purge(vanishing_backing: vanishing.Kind) -> None:
    """Everything is wiped at once, lost or not, open or not; every use raises PurgedError, and destroy() works."""
    code = (
        SCENE.format(backing=vanishing_backing)
        + f"""
    lost = VolatileBuffer(64, backing={vanishing_backing!r})
    opened = VolatileBuffer(64, backing={vanishing_backing!r})
    opened.copy_from(b"o" * 64)
    vanishing.drop(lost)
    print(any(vanishing.contents(page)[-80:-16]))
    try:
        with opened.open() as view:
            purge()
            print(any(view))
    except PurgedError:
        print("PurgedError")
    print(any(vanishing.contents(page)[-80:-16]))
    for buffer in (volatile, lost, opened):
        for use in (lambda: buffer.intact, lambda: buffer.copy_from(bytes(64)), lambda: buffer.build(print)):
            try:
                use()
            except PurgedError:
                print("refused")
        buffer.destroy()
    print(stats().volatile_size)
    """
    )
    out = succeed(code, data=MARK.decode())
    assert out.split() == ["True", "False", "PurgedError", "False", *["refused"] * 9, "0"]


@pytest.mark.parametrize("ending", ["sys.exit()", "raise KeyError"])
def test_at_the_end_of_the_process(vanishing_backing: vanishing.Kind, ending: str) -> None:
    """What is still there when Python ends is wiped before the process does."""
    code = f"""
    children.immortal(volatile)
    children.stop_at_exit()
    {ending}
    """
    with started(vanishing_backing, code, stderr=subprocess.DEVNULL) as live:
        page = int(live.line())
        with observed.Memory(live.pid) as memory:
            assert MARK in found_in(memory, page)  # the control
            live.go()
            live.wait_stopped()
            assert len(found_in(memory, page)) == vanishing.PAGE
            assert memory.count(MARK) == 0


def test_given_back(vanishing_backing: vanishing.Kind) -> None:
    """destroy() leaves no mapping, and nothing of it anywhere in the process."""
    code = """
    volatile.destroy()
    tell(observed.protection_at(page), stats().volatile_size)
    """
    with started(vanishing_backing, code) as live:
        page = int(live.line())
        with observed.Memory(live.pid) as memory:
            assert memory.count(MARK) == 1
            live.go()
            assert live.line() == "gone 0"
            assert memory.count(MARK) == 0
            assert found_in(memory, page) == b""


def test_a_locked_partial_page_gives_its_lock_back() -> None:
    """lock="try" takes a page of the lock limit, and gives it back; at the limit it goes without."""
    vanishing.require("partial")
    out = succeed(f"""
        import vanishing
        def locked():
            return observed.status_size("VmLck") // {vanishing.PAGE}
        before = locked()
        volatile = VolatileBuffer(9, backing="partial", lock="try")
        print(locked() - before, volatile.guarantees()["LOCKED"].state)
        volatile.destroy()
        print(locked() - before)
        children.limit_locks(0)
        volatile = VolatileBuffer(9, backing="partial", lock="try")
        volatile.copy_from(b"unlocked!")
        print(locked() - before, volatile.guarantees()["LOCKED"].state, volatile == b"unlocked!")
    """)
    assert out.split() == ["1", "verified", "0", "0", "refused", "True"]


def test_who_waits_for_locked_memory_is_told(vanishing_backing: vanishing.Kind) -> None:
    """Giving a page back wakes who waits at the lock limit, also where its file could not be overwritten first."""
    if not faultinject.is_supported():
        pytest.skip("fault injection needs Linux on x86_64 or aarch64")
    out = succeed(f"""
        from faultinject import deny
        from strongroom import _native
        import _thread
        volatile = VolatileBuffer(9, backing={vanishing_backing!r})
        bell = _thread.allocate_lock()
        bell.acquire()
        _native.bells().append(bell)
        deny("msync", errno.EIO)
        try:
            volatile.destroy()
        except SystemCallError as error:
            print(error.call, error.errno == errno.EIO, end=" ")
        print(volatile.is_destroyed, bell.locked())
    """)
    refused = ["msync", "True"] if vanishing_backing == "partial" else []
    assert out.split() == [*refused, "True", "False"]
