"""What may happen to a process while one of its threads waits at the lock limit."""

import json
from typing import Any

import pytest

import needs
from children import succeed

pytestmark = needs.linux

LIMIT = 64 << 10
START = f"""
children.limit_locks({LIMIT})
told = {{}}
kept = [LockedBuffer(32, backing="locked", isolated=True) for _ in range({LIMIT // 4096})]
"""
LAYOUTS = [("shared pages", False), ("own pages", True)]


def told(code: str) -> dict[str, Any]:
    """Run code at the limit and return what it put into ``told``."""
    result: dict[str, Any] = json.loads(succeed(f"{START}\n{code}\nprint(json.dumps(told))"))
    return result


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("word", ["raise", "warn", "allow"])
def test_a_waiter_sleeps(word: str, isolated: bool) -> None:
    """Whatever comes afterwards, the wait costs next to no time of a CPU."""
    got = told(f"""
import warnings
warnings.simplefilter("ignore")
begun, used = time.monotonic(), time.process_time()
try:
    LockedBuffer(600, backing="locked", isolated={isolated}, policy=Policy(wait_seconds=0.5, on_shortfall={word!r}))
except LockLimitError:
    pass
told["waited"], told["used"] = time.monotonic() - begun, time.process_time() - used
""")
    assert got["waited"] >= 0.5
    assert got["used"] < 0.15


@needs.fork
def test_a_childs_threads_hold_no_rooms_of_their_parents() -> None:
    """Whoever has a Secret open does not wait; a new thread in a child, with the number of one of those, has none."""
    got = told("""
kept.clear()
secret, is_open, may_end = Secret.random(8), threading.Event(), threading.Event()
def hold():
    with secret.open():
        is_open.set()
        may_end.wait()
holder = threading.Thread(target=hold)
holder.start()
is_open.wait()
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    seen = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: seen.append(strongroom._native.holds_room()))
        thread.start()
        thread.join()
    os.write(writing, b"y" if any(seen) else b"n")
    os._exit(0)
os.waitpid(pid, 0)
told["in child"] = os.read(reading, 1).decode()
may_end.set()
""")
    assert got["in child"] == "n"


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("word", ["raise", "allow"])
def test_a_fork_while_it_waits(word: str, isolated: bool) -> None:
    """The child that comes back out of a signal handler into the wait gets a ForkedError; its parent what it wanted."""
    got = told(f"""
children_of_mine = []
def fork(*_):
    pid = os.fork()
    if pid:
        children_of_mine.append(pid)
        kept.pop().destroy()
signal.signal(signal.SIGALRM, fork)
children.once_a_thread_waits(lambda: os.kill(os.getpid(), signal.SIGALRM))
try:
    policy = Policy(wait_seconds=50, on_shortfall={word!r})
    made = LockedBuffer(600, backing="locked", isolated={isolated}, policy=policy)
except ForkedError:
    LockedBuffer(600)
    os._exit(7)
if not children_of_mine:
    os._exit(8)
told["child"] = os.waitstatus_to_exitcode(os.waitpid(children_of_mine[0], 0)[1])
told["state"] = made.guarantees()["LOCKED"].state
""")
    assert got == {"child": 7, "state": "verified"}


def test_a_purge_while_it_waits() -> None:
    """What is made after the purge works: the buffer that waited is such a one."""
    got = told("""
children.once_a_thread_waits(lambda: (purge(), kept.pop().destroy()))
made = LockedBuffer(600, backing="locked", policy=Policy(wait_seconds=50))
made.copy_from(b"after")
told["content"] = bytes(made.open().__enter__()[:5]).decode()
""")
    assert got == {"content": "after"}
