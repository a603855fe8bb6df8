"""At the lock limit: waiting for memory, with a deadline."""

import pytest

import needs
from waiters import LIMIT, PATIENCE_SECONDS, PROMPT_SECONDS, told

#: Ways in which one thread gives back what another waits for.
GIVING = {
    "destroy": "kept.pop().destroy()",
    "the last reference": "kept.pop()",
    "a with block": "with kept.pop(): pass",
    "a cycle": "one = [kept.pop()]; one.append(one); del one; gc.collect()",
    "a kept buffer": "raw.release()",
}


@pytest.mark.parametrize("how", GIVING)
def test_a_waiter_gets_what_another_thread_gives_back(how: str) -> None:
    """At once, whichever way it is given back: nobody looks by themselves in this test."""
    got = told(f"""
waiting.POLL_SECONDS = 60
if {how!r} == "a kept buffer":
    buffer = kept.pop()
    try:
        with buffer.open() as view:
            raw = memoryview(view)
    except BufferError:
        pass
    buffer.destroy()  # waits, quarantined, for the memoryview to go
outcome = wait_in_thread(another)
{GIVING[how]}
told["seconds"], made = outcome()
told["locked"] = is_locked(made)
""")
    assert 0.05 <= got["seconds"] < PROMPT_SECONDS
    assert got["locked"] is True


def test_a_room_that_is_left_goes_to_a_waiter() -> None:
    """Rooms are kept for the next open, but not while somebody waits; and who opens a secret waits like anybody else.

    The wait is the program's or the operator's: opening names no policy.
    """
    got = told(
        """
waiting.POLL_SECONDS = 60
kept.pop(); kept.pop()
secrets = [Secret.random(8) for _ in range(2)]  # the key takes one page, the room that is open another
access = secrets[0].open()
access.__enter__()
def open_other():
    with secrets[1].open() as view:
        return len(view)
outcome = wait_in_thread(open_other)
access.__exit__(None, None, None)
told["seconds"], told["length"] = outcome()
""",
        env={"STRONGROOM_POLICY": f"wait_seconds={PATIENCE_SECONDS}"},
    )
    assert got["length"] == 8
    assert 0.05 <= got["seconds"] < PROMPT_SECONDS


def test_what_other_code_unlocks_is_found_by_looking() -> None:
    """No bell rings for memory that is not strongroom's: a waiter looks by itself."""
    got = told("""
import mmap
kept.pop()
other = mmap.mmap(-1, 4096)
page, size = ctypes.c_void_p(address_of(other)), ctypes.c_size_t(4096)
lock, unlock = (
    (ctypes.windll.kernel32.VirtualLock, ctypes.windll.kernel32.VirtualUnlock) if sys.platform == "win32"
    else (lambda *a: not libc.mlock(*a), lambda *a: not libc.munlock(*a))
)
assert lock(page, size)
outcome = wait_in_thread(another)
assert unlock(page, size)
told["seconds"], made = outcome()
told["locked"] = is_locked(made)
""")
    assert 0.05 <= got["seconds"] < PROMPT_SECONDS
    assert got["locked"] is True


def test_the_deadline_ends_the_wait() -> None:
    """LockLimitError when the time is over, not much later, saying how long it waited; nothing else is harmed."""
    got = told("""
told["seconds"], told["error"] = timed(
    lambda: LockedBuffer(32, backing="locked", policy=Policy(wait_seconds=0.2), isolated=True))
told["bells"] = len(waiting._bells)
kept.pop()
told["locked"] = is_locked(another())
""")
    assert 0.2 <= got["seconds"] < PROMPT_SECONDS
    assert got["error"].startswith("LockLimitError: ")
    assert "Waited 0.2 seconds in vain." in got["error"]
    assert got["bells"] == 0
    assert got["locked"] is True


def test_without_a_time_to_wait_there_is_none() -> None:
    """The default refuses at once and says nothing of waiting: no bell is hung, as for every wait (the control)."""
    got = told("""
hang, hung = waiting.allocate_lock, []
waiting.allocate_lock = lambda: hung.append(1) or hang()
for name, policy in (("at once", None), ("waited", Policy(wait_seconds=0.01))):
    _seconds, told[name] = timed(lambda: LockedBuffer(32, backing="locked", policy=policy, isolated=True))
    told[name + ", bells"] = len(hung)
""")
    assert (got["at once, bells"], got["waited, bells"]) == (0, 1)
    assert "LockLimitError" in got["at once"]
    assert "wait" not in got["at once"].lower()
    assert "Waited 0.01 seconds" in got["waited"]


@needs.unix
def test_ctrl_c_ends_the_wait() -> None:
    """KeyboardInterrupt in the thread that waits, promptly, and nothing is left of the wait."""
    got = told("""
waiting.POLL_SECONDS = 60
children.once_a_thread_waits(lambda: os.kill(os.getpid(), signal.SIGINT))
told["seconds"], told["error"] = timed(another)
told["bells"] = len(waiting._bells)
told["locked_size"] = observed.status_size("VmLck")
kept.pop()
told["locked"] = is_locked(another())
""")
    assert 0.05 <= got["seconds"] < PROMPT_SECONDS
    assert got["error"].startswith("KeyboardInterrupt")
    assert (got["bells"], got["locked"]) == (0, True)
    assert got["locked_size"] == LIMIT


@needs.unix
def test_a_handler_that_returns_does_not_end_the_wait() -> None:
    """It runs while the thread waits, and what it gives back is what was waited for."""
    got = told("""
waiting.POLL_SECONDS = 60
signal.signal(signal.SIGALRM, lambda *_: (told.update(heard=True), kept.pop().destroy()))
children.once_a_thread_waits(lambda: os.kill(os.getpid(), signal.SIGALRM))
told["seconds"], made = timed(another)
told["locked"] = is_locked(made)
""")
    assert got["heard"] is True
    assert got["locked"] is True
    assert 0.05 <= got["seconds"] < PROMPT_SECONDS


def test_other_threads_run_meanwhile() -> None:
    """Waiting holds no lock of the interpreter: another thread counts on, and the wait is still not over."""
    got = told("""
waiting.POLL_SECONDS = 60  # what held it so long would let nobody count before the end of the wait
outcome = wait_in_thread(another)
told["counted"] = sum(1 for _ in range(10_000))
told["bells"] = len(waiting._bells)
kept.pop()
told["seconds"], _made = outcome()
""")
    assert got["counted"] == 10_000
    assert got["bells"] == 1
    assert got["seconds"] < PROMPT_SECONDS


@pytest.mark.parametrize("word", ["warn", "allow"])
def test_where_a_shortfall_is_allowed_waiting_comes_first(word: str) -> None:
    """Memory that comes in time is locked, without a warning; when the time is over the buffer goes without."""
    got = told(f"""
import warnings
warnings.simplefilter("always")
def attempt(seconds):
    policy = Policy(on_shortfall={word!r}, wait_seconds=seconds)
    with warnings.catch_warnings(record=True) as caught:
        buffer = LockedBuffer(32, backing="locked", policy=policy, isolated=True)
    return buffer, [str(one.message) for one in caught]
told["late"], (buffer, told["late_warnings"]) = timed(lambda: attempt(0.1))
told["late_locked"] = is_locked(buffer)
buffer.destroy()
outcome = wait_in_thread(lambda: attempt({PATIENCE_SECONDS}))
kept.pop()
told["in_time"], (buffer, told["warnings"]) = outcome()
told["locked"] = is_locked(buffer)
""")
    assert 0.1 <= got["late"] < PROMPT_SECONDS
    assert got["late_locked"] is False
    assert got["late_warnings"] == (["this buffer goes without LOCKED"] if word == "warn" else [])
    assert 0.05 <= got["in_time"] < PROMPT_SECONDS
    assert (got["locked"], got["warnings"]) == (True, [])


def test_many_waiters_share_what_there_is_and_no_bell_is_lost() -> None:
    """Eight threads take turns at two pages, by bells alone: one that rang unheard would hang them."""
    got = told("""
waiting.POLL_SECONDS = 60
sys.setswitchinterval(1e-5)
kept.pop(); kept.pop()
turns, errors = [], []
def work():
    try:
        for _ in range(100):
            buffer = another()
            turns.append(1)
            buffer.destroy()
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
told["turns"], told["errors"], told["bells"] = len(turns), errors, len(waiting._bells)
told["locked_size"] = observed.status_size("VmLck")
""")
    assert got["errors"] == []
    assert got["turns"] == 800
    assert got["bells"] == 0
    assert got["locked_size"] in (None, LIMIT - 2 * 4096)


def test_what_comes_back_before_the_bell_hangs_is_not_missed() -> None:
    """Given back between the refusal and the wait, when nobody could ring: the first thing a waiter does is to look."""
    got = told("""
waiting.POLL_SECONDS = 60
hang = waiting.allocate_lock
def hang_late():
    kept.pop().destroy()
    return hang()
waiting.allocate_lock = hang_late
told["seconds"], made = timed(another)
told["locked"] = is_locked(made)
""")
    assert got["seconds"] < PROMPT_SECONDS
    assert got["locked"] is True


@needs.fork
def test_a_child_has_no_waiters() -> None:
    """Forked while a thread waits: the child keeps nobody's bell, and its own buffers come and go."""
    got = told("""
outcome = wait_in_thread(another)
def in_child():
    first = LockedBuffer(32, isolated=True)
    first.destroy()
    return len(waiting._bells)
told["bells"] = children.forked(in_child)
kept.pop()
told["seconds"], made = outcome()
told["locked"] = is_locked(made)
""")
    assert got["bells"] == "0"
    assert got["locked"] is True
