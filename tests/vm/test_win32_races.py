"""vm.win32 from several threads at once: a live allocation is nobody else's, and every refusal is a Win32Error."""

import sys

import pytest

import children
from pages import FAR_AWAY
from strongroom.vm import win32
from strongroom.vm.win32 import crypt

PRELUDE = """
import time, faulthandler; faulthandler.enable()
from strongroom.vm.win32 import *
sys.setswitchinterval(1e-6)
stop, wrong = time.monotonic() + %f, []
def work(step):
    try:
        while time.monotonic() < stop and not wrong:
            step()
    except BaseException as error:
        wrong.append(f"{type(error).__name__}: {error}")
def race(*steps):
    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    [thread.start() for thread in threads]; [thread.join() for thread in threads]
    assert not wrong, wrong
"""


def race(code: str, seconds: float = 0.6) -> str:
    """Run threads in a child that switches between them as often as it can."""
    return children.succeed(PRELUDE % seconds + code, deadline_seconds=120)


def test_freeing_ends_ones_own_allocation_alone() -> None:
    """What VirtualFree gives back another thread may get at once: that allocation stays."""
    race("""
def step():
    here = VirtualAlloc(None, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE)
    RtlMoveMemory(here, b"mine", 4)
    time.sleep(0)
    RtlMoveMemory(here, b"mine", 4)
    VirtualFree(here, 0, MEM_RELEASE)
race(*[step] * 4)
""")


def test_an_allocation_is_freed_once() -> None:
    """Of two threads that free the same address one succeeds; the other's is no allocation any more."""
    race("""
barrier = threading.Barrier(3)
done = []
def free():
    barrier.wait()
    try:
        VirtualFree(here[0], 0, MEM_RELEASE)
        done.append(True)
    except Win32Error as error:
        assert error.winerror == ERROR_INVALID_ADDRESS, error
    barrier.wait()
here = [0]
def rounds():
    for _ in range(800):
        here[0] = VirtualAlloc(None, 65 * 4096, MEM_RESERVE, PAGE_NOACCESS)  # so large that it goes without the GIL
        barrier.wait(); barrier.wait()
        assert done == [True], done
        done.clear()
    barrier.abort()
def forever():
    try:
        while True:
            free()
    except threading.BrokenBarrierError:
        pass
threads = [threading.Thread(target=forever) for _ in range(2)]
[thread.start() for thread in threads]
try:
    rounds()
finally:
    barrier.abort()
""")


def test_unmapping_ends_ones_own_view_alone() -> None:
    """A view that another thread maps where one was just unmapped stays, and can be unmapped in its turn."""
    race("""
section = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 65536, None)
def step():
    here = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0)
    RtlMoveMemory(here, b"x" * 8, 8)
    time.sleep(0)
    RtlMoveMemory(here, b"x" * 8, 8)
    UnmapViewOfFile(here)
race(*[step] * 4)
""")


def test_handles_of_secured_memory_are_told_apart() -> None:
    """Threads that secure at once get a number each, and what each secured it can undo."""
    race("""
here = VirtualAlloc(None, 4096, MEM_COMMIT, PAGE_READWRITE)
def step():
    MmUnsecureVirtualMemory(MmSecureVirtualMemory(here, 1, PAGE_READWRITE))
race(*[step] * 4)
VirtualFree(here, 0, MEM_RELEASE)
""")


def test_a_race_with_release_is_a_win32_error() -> None:
    """Whatever is asked of memory that another thread frees: Win32Error, nothing else."""
    race("""
here = [VirtualAlloc(None, 4096, MEM_COMMIT, PAGE_READWRITE)]
calls = (
    lambda a: VirtualQuery(a, MEMORY_BASIC_INFORMATION()), lambda a: VirtualProtect(a, 1, PAGE_READWRITE, DWORD()),
    lambda a: VirtualLock(a, 1), lambda a: RtlMoveMemory(a, b"x", 1), lambda a: RtlMoveMemory(bytearray(1), a, 1),
    lambda a: VirtualUnlock(a, 1), lambda a: VirtualFree(a, 1, MEM_DECOMMIT),
    lambda a: MmUnsecureVirtualMemory(MmSecureVirtualMemory(a, 1, PAGE_READWRITE)),
    lambda a: VirtualAlloc(a, 1, MEM_COMMIT, PAGE_READWRITE),
    lambda a: PrefetchVirtualMemory(-1, 1, [WIN32_MEMORY_RANGE_ENTRY(a, 1)], 0),
)
def ask():
    for call in calls:
        try:
            call(here[0])
        except Win32Error:
            pass
def renew():
    try:
        VirtualFree(here[0], 0, MEM_RELEASE)
    except Win32Error as error:
        assert error.winerror == ERROR_INVALID_PARAMETER, error  # it is secured, or viewed, this moment
    else:
        here[0] = VirtualAlloc(None, 4096, MEM_COMMIT, PAGE_READWRITE)
race(ask, ask, renew)
""")


def test_memory_that_becomes_an_allocation_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was nobody's when looked up, and another thread's allocation when probed, is looked up again."""
    place = win32.VirtualAlloc(FAR_AWAY, 4096, win32.MEM_COMMIT | win32.MEM_RESERVE, win32.PAGE_READWRITE)
    win32.VirtualFree(place, 0, win32.MEM_RELEASE)

    def probe(*_: object) -> bool:
        assert win32.VirtualAlloc(place, 4096, win32.MEM_RESERVE, win32.PAGE_READWRITE) == place
        return True

    monkeypatch.setattr(crypt, "probe", probe)
    with pytest.raises(win32.Win32Error) as caught:
        win32.CryptProtectMemory(place, 16, 0)  # a touch would be a fault
    assert caught.value.winerror == win32.ERROR_NOACCESS
    win32.VirtualFree(place, 0, win32.MEM_RELEASE)


NEEDS_OWN = pytest.mark.skipif(sys.platform == "win32", reason="strongroom's own protection: Windows has its kernel's")


@NEEDS_OWN
def test_a_purge_during_a_call_loses_no_plaintext() -> None:
    """Purged in between, CryptProtectMemory succeeds under the next key; unprotecting tells, and changes nothing."""
    race("""
def step():
    data = bytearray(os.urandom(1 << 14)); plain = bytes(data)
    CryptProtectMemory(data, len(data), 0)
    hidden = bytes(data)
    assert hidden != plain
    try:
        CryptUnprotectMemory(data, len(data), 0)
    except Win32Error as error:
        assert error.winerror == ERROR_INVALID_DATA, error
        assert data == hidden, "changed"
    else:
        assert data == plain, "another plaintext"
def wipe():
    purge(); time.sleep(0.001)
race(step, step, step, wipe)
""")


@NEEDS_OWN
def test_two_threads_that_need_the_first_key_get_one() -> None:
    """What threads protect at once, right after a purge, all of them can unprotect."""
    race("""
barrier = threading.Barrier(4, action=purge)
def step():
    barrier.wait()
    data = bytearray(16)
    CryptProtectMemory(data, 16, 0)
    barrier2.wait()
    CryptUnprotectMemory(data, 16, 0)
    assert data == bytes(16)
barrier2 = threading.Barrier(4)
def rounds():
    for _ in range(300):
        step()
    wrong.append("done")
threads = [threading.Thread(target=work, args=(rounds,)) for _ in range(4)]
stop = time.monotonic() + 120
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert set(wrong) == {"done"}, wrong
""")


@NEEDS_OWN
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc: run on Linux")
def test_dead_keys_are_given_back() -> None:
    """A hundred purges, a hundred generations of children: no locked page and no mapping more than after the first."""
    children.succeed("""
        from strongroom.vm.win32 import *
        def state():
            block = bytearray(16); CryptProtectMemory(block, 16, 0)
            ours = [m for m in observed.mappings() if m.flags >= observed.KEPT_OUT]  # the heap's may come and go
            return observed.status_size("VmLck"), sum(m.end - m.start for m in ours), len(ours)
        state()
        purge(); first = state()
        for _ in range(100):
            purge(); last = state()
        assert last == first, (first, last)
        for _ in range(5):  # each a child of the one before
            pid = os.fork()
            if pid:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            last = state()
        assert last[0] == first[0], (first, last)
        os._exit(0)
    """)


@NEEDS_OWN
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork on Windows")
def test_a_fork_in_the_middle_of_anything_hangs_nobody() -> None:
    """Children forked while other threads allocate, free, map and protect do all of that themselves."""
    race(
        """
def everything():
    here = VirtualAlloc(None, 4096, MEM_COMMIT, PAGE_READWRITE)
    CryptProtectMemory(here, 16, 0)
    try:
        CryptUnprotectMemory(here, 16, 0)
    except Win32Error as error:
        assert error.winerror == ERROR_INVALID_DATA, error  # purged in between
    VirtualFree(here, 0, MEM_RELEASE)
def fork():
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            everything()
        except BaseException as error:
            os.write(2, repr(error).encode()); os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, code
def wipe():
    purge(); time.sleep(0.001)
race(everything, everything, wipe, fork)
""",
        3.0,
    )
