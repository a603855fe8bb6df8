"""A child at its lock limit, in which threads wait for memory."""

import json
from typing import Any

from children import succeed

LIMIT = 64 << 10

#: How long who is patient waits, and what is sooner than that by far: a wait whose bell nobody heard is only ended by
#: its own time. A machine that is busy with other things takes seconds to wake a thread.
PATIENCE_SECONDS, PROMPT_SECONDS = 50, 30

#: Fill the limit, and time what a thread does. ``patient`` waits long; a wait that nobody ends fails by its time.
START = f"""
children.limit_locks({LIMIT})
from strongroom.buffers import waiting
told = {{}}
patient = Policy(wait_seconds={PATIENCE_SECONDS})
kept = [LockedBuffer(32, backing="locked", isolated=True) for _ in range({LIMIT // 4096})]
def timed(attempt):
    start = time.monotonic()
    try:
        result = attempt()
    except BaseException as error:
        result = f"{{type(error).__name__}}: {{error}}"
    return time.monotonic() - start, result
def wait_in_thread(attempt):
    "Start it in a thread, and return when that waits."
    answer = []
    thread = threading.Thread(target=lambda: answer.append(timed(attempt)))
    thread.start()
    while not waiting._bells:
        assert thread.is_alive(), answer
        time.sleep(0.01)
    time.sleep(0.1)
    def outcome():
        thread.join({PROMPT_SECONDS})
        return answer[0]
    return outcome
def is_locked(buffer):
    with buffer.open("rw") as view:
        view[0] = 1
        return "lo" in mapping_at(address_of(view)).flags
def another():
    return LockedBuffer(32, backing="locked", policy=patient, isolated=True)
"""


def told(code: str, **options: Any) -> dict[str, Any]:
    """Run code at the limit and return what it put into ``told``."""
    result: dict[str, Any] = json.loads(succeed(f"{START}\n{code}\nprint(json.dumps(told))", **options))
    return result
