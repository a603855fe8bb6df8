"""Forks while other threads are busy, and what the garbage of a parent does in its child."""

import os
import platform

import pytest

import needs
from children import forked, succeed
from compiling import IS_THOROUGH
from strongroom import LockedBuffer

pytestmark = needs.fork
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # 3.12 and later: fork beside threads

#: Enough for each kind of work to be under way at some fork: with the mutex of the blocks left out of the at-fork
#: handler, more than one child in twenty hung.
FORKS = 300 if IS_THOROUGH else 80
#: What the threads do; each kind alone only where time is no matter (.ci/run).
WORKS = ["all", "buffers", "secrets", "opens"] if IS_THOROUGH else ["all"]


@pytest.mark.parametrize("work", WORKS)
def test_no_lock_is_left_held_in_a_child(work: str) -> None:
    """Hundreds of children, each forked while threads make, open and destroy, do the same within a deadline."""
    out = succeed(
        f"""
        ended = False
        backings = ["locked"]
        try:
            LockedBuffer(1, backing="secretmem").destroy()
            backings.append("secretmem")
        except UnsupportedError:
            pass
        shared, sealed = LockedBuffer(32), Secret.random(32)
        def buffers():
            for backing in backings:
                for isolated in (True, None):
                    with LockedBuffer(32, backing=backing, isolated=isolated) as buffer, buffer.open("rw") as view:
                        view[0] = 1
        def secrets():
            with Secret.random(16).open():
                pass
        def opens():
            with shared.open(), sealed.open():
                shared.guarantees()
        def again(work):
            while not ended:
                work()
        works = [buffers, secrets, opens] if {work!r} == "all" else 3 * [globals().get({work!r})]
        threads = [threading.Thread(target=again, args=(one,)) for one in works]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range({FORKS}):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)                          # a child that waits for ever dies of it
                try:
                    buffers(); secrets()
                    try:
                        opens()
                    except ForkedError:
                        purge()
                        os._exit(0)
                except BaseException:
                    import traceback
                    traceback.print_exc()
                finally:
                    os._exit(1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        ended = True
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert shared.guarantees()["LOCKED"].state == "verified" or sys.platform != "linux"
        print(len(codes), set(codes))
    """,
        env=QUIET,
    )
    assert out.split() == [str(FORKS), "{0}"]


def test_a_thread_that_forks_while_another_forks() -> None:
    """Two threads fork at once, again and again; every child works and both parents' sides go on."""
    out = succeed(
        """
        codes, buffer = [], LockedBuffer(32)
        def fork():
            for _ in range(40):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(20)
                    with LockedBuffer(8) as own, own.open("rw"):
                        pass
                    os._exit(0)
                codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                with buffer.open():
                    pass
        threads = [threading.Thread(target=fork) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(codes), set(codes))
    """,
        env=QUIET,
    )
    assert out.split() == ["80", "{0}"]


#: A child puts memory of its own wherever its parent has locked pages, throws away everything it inherited, makes and
#: ends things of its own, and looks at that memory again.
GARBAGE = """
buffers = [LockedBuffer(32, backing=backing, isolated=True) for backing in ["locked", "secretmem"][:{backings}]]
accesses = [buffer.open("rw") for buffer in buffers]
views = [access.__enter__() for access in accesses]
raw = [memoryview(view)[4:] for view in views]
closed, secret = LockedBuffer(5000, isolated=True), Secret.random(32)
with Secret.random(8).open():
    pass                                        # an idle room
opened = secret.open(); views.append(opened.__enter__())
doomed = LockedBuffer(32, isolated=True)
try:
    with doomed.open() as view:
        kept = memoryview(view)
except BufferError:
    doomed.destroy()                            # quarantined: it ends when kept does
ranges = [(m.start, m.end - m.start) for m in observed.mappings() if "lo" in m.flags]
assert len(ranges) >= 4
libc.mmap.restype = ctypes.c_void_p
def occupy():
    for start, size in ranges:
        got = libc.mmap(ctypes.c_void_p(start), ctypes.c_size_t(size), 3, 0x32, -1, ctypes.c_long(0))
        assert got == start, (got, start)       # MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        ctypes.memset(start, 0x5A, size)
def untouched():
    return all(ctypes.string_at(start, size) == b"Z" * size for start, size in ranges)
pid = {fork}
if pid == 0:
    occupy()
    if {ends}:
        children.stop_at_exit()
        sys.exit(0)                             # everything goes as it does at an end, then the process stops
    for name in "buffers accesses views raw closed secret opened doomed kept view".split():
        del globals()[name]
    gc.collect()
    with LockedBuffer(32) as own, own.open("rw"), Secret.random(9).open():
        pass
    purge()
    gc.collect()
    os._exit(7 if untouched() else 1)
status = os.waitpid(pid, os.WUNTRACED)[1]
if {ends}:
    assert os.WIFSTOPPED(status), status
    with observed.Memory(pid) as memory:
        print(all(memory.read(start, size) == b"Z" * size for start, size in ranges))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
else:
    print(os.waitstatus_to_exitcode(status) == 7)
with observed.Memory(os.getpid()) as memory:    # of the parent, where closed pages cannot be touched: the control
    print(all(memory.read(start, size) == b"Z" * size for start, size in ranges))
"""


@needs.linux
@pytest.mark.parametrize("ends", [False, True], ids=["collected", "normal exit"])
@pytest.mark.parametrize("fork", ["os.fork()", "libc.syscall(57)"])
def test_what_is_inherited_touches_nothing_when_it_goes(has_secretmem: bool, fork: str, ends: bool) -> None:
    """Buffers, accesses, Views, rooms, what is quarantined: their addresses are somebody else's in a child."""
    if "57" in fork and platform.machine() != "x86_64":
        pytest.skip("needs the fork system call (x86_64)")
    code = GARBAGE.replace("{backings}", str(1 + has_secretmem)).replace("{fork}", fork).replace("{ends}", str(ends))
    assert succeed(code).split() == ["True", "False"]


@needs.linux
def test_an_address_that_the_child_gave_to_others_is_not_taken_back() -> None:
    """The child unmaps a placeholder and maps something there; forks, uses and ends of its own leave that alone."""
    out = succeed("""
        buffer = LockedBuffer(32, isolated=True)
        start = next(m.start for m in observed.mappings() if "lo" in m.flags)
        libc.mmap.restype = ctypes.c_void_p
        pid = os.fork()
        if pid == 0:
            assert libc.munmap(ctypes.c_void_p(start), ctypes.c_size_t(observed.PAGE)) == 0
            got = libc.mmap(ctypes.c_void_p(start), ctypes.c_size_t(observed.PAGE), 3, 0x22, -1, ctypes.c_long(0))
            assert got == start
            ctypes.memset(start, 0x5A, observed.PAGE)
            def is_there():
                return ctypes.string_at(start, observed.PAGE) == b"Z" * observed.PAGE
            own = LockedBuffer(32)
            buffer.destroy()
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if is_there() else 1)
            ok = is_there() and os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
            os._exit(7 if ok else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert out.split() == ["7"]


def test_a_child_hands_a_secret_on_through_a_pipe() -> None:
    """What docs/fork.md advises: from View to View, and the child's own buffer has the bytes."""
    reading, writing = os.pipe()
    with LockedBuffer(32) as buffer, buffer.open("rw") as view:
        view[:] = bytes(range(32))

        def child() -> bool:
            with LockedBuffer(32) as own, own.open("rw") as mine:
                return os.readv(reading, [mine]) == 32 and mine == bytes(range(32))

        os.write(writing, view)
        assert forked(child) == "True"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("use", ["LockedBuffer(3).guarantees()", "Secret.random(3).reveal()", "purge()"])
def test_no_import_is_waited_for_in_a_child(use: str) -> None:
    """A child that is forked while a thread makes first use of something makes first use of it, too, and does not hang.

    CPython has a lock for each module that is being imported, and nobody gives it back in a child.
    """
    out = succeed(
        f"""
        seen = []
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("strongroom", "nacl", "cffi", "_cffi_backend"):
                    seen.append(name)
                    time.sleep(0.1)
        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: {use})
        thread.start()
        while thread.is_alive() and not seen:
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            {use}
            os._exit(7)
        thread.join()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
        env=QUIET,
    )
    assert out.split() == ["7"]
