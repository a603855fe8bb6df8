"""Where waiting at the lock limit could only do harm it is refused at once, and nowhere else."""

import pytest

import needs
from waiters import LIMIT, PROMPT_SECONDS, told

SECRET = """
kept.clear()
secrets = [Secret.random(8) for _ in range(2)]
access = secrets[0].open()
def full():
    try:
        while True:
            kept.append(LockedBuffer(32, backing="locked", policy=Policy(), isolated=True))
    except LockLimitError:
        pass
"""
REFUSALS = {
    "a Secret is open": (
        SECRET
        + """
access.__enter__(); full()
told["seconds"], told["error"] = timed(another)
""",
        "this thread has a Secret open",
    ),
    "a Secret is being made": (
        SECRET
        + """
def fill(view):
    full()
    told["seconds"], told["error"] = timed(another)
    kept.clear()
Secret.build(8, fill)
""",
        "this thread has a Secret open",
    ),
    "an event loop runs": (
        """
import asyncio
async def main():
    told["seconds"], told["error"] = timed(another)
asyncio.run(main())
""",
        "this thread runs an event loop",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_waiting_is_refused_where_it_could_hang(what: str) -> None:
    """At once, with the reason in the error: who would give memory back may be waiting for this very thread."""
    code, reason = REFUSALS[what]
    got = told(code)
    assert got["seconds"] < PROMPT_SECONDS
    assert got["error"].startswith("LockLimitError")
    assert f"Did not wait: {reason}" in got["error"]


@needs.unix
def test_waiting_for_more_than_the_limit_is_refused() -> None:
    """Nothing that anybody gives back would be enough."""
    got = told(f"""
make = lambda: LockedBuffer({LIMIT}, backing="locked", policy=patient, isolated=True)
told["seconds"], told["error"] = timed(make)
""")
    assert got["seconds"] < PROMPT_SECONDS
    assert "Did not wait: that is more than the whole limit." in got["error"]


ALLOWED = {
    "the Secret was closed": SECRET + "access.__enter__(); access.__exit__(None, None, None); full()",
    "another thread has one open": SECRET
    + "thread = threading.Thread(target=access.__enter__); thread.start(); thread.join(); full()",
    "a buffer is open, no Secret": "use = kept[0].open(); use.__enter__()",
    "the loop runs in another thread": """
import asyncio
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
""",
}


@pytest.mark.parametrize("what", ALLOWED)
def test_elsewhere_it_waits(what: str) -> None:
    """The control for the refusals: nearly the same, and the full time is waited."""
    got = told(f"""
{ALLOWED[what]}
told["seconds"], told["error"] = timed(
    lambda: LockedBuffer(32, backing="locked", policy=Policy(wait_seconds=0.2), isolated=True))
""")
    assert got["seconds"] >= 0.2
    assert "Waited 0.2 seconds in vain." in got["error"]


def test_a_worker_of_an_event_loop_may_wait() -> None:
    """As the refusal advises: the loop goes on, and what one of its tasks gives back wakes the worker."""
    got = told("""
import asyncio
waiting.POLL_SECONDS = 60
async def main():
    worker = asyncio.create_task(asyncio.to_thread(timed, another))
    while not waiting._bells:
        await asyncio.sleep(0.01)
    kept.pop()
    return await worker
told["seconds"], made = asyncio.run(main())
told["locked"] = is_locked(made)
""")
    assert got["seconds"] < PROMPT_SECONDS
    assert got["locked"] is True
