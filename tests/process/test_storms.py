"""Signals at any moment, thousands of them, before a C handler that lets the process live: nothing breaks.

What was made before a signal is purged, so ``PurgedError`` may come anywhere; a crash, a damaged canary, or any other
error may not.
"""

import pytest

import needs
from children import run

pytestmark = needs.unix

SECONDS = 1.5
STORM = """
import faulthandler, subprocess
quiet = open(os.devnull, "w")
faulthandler.register(signal.SIGUSR1, file=quiet, all_threads=False)  # C code, which returns
harden(wipe_on_signals=[signal.SIGUSR1])
SENDER = f"import os, time\\nwhile True: os.kill({os.getpid()}, %d); time.sleep(0.0003)" % signal.SIGUSR1
done = purged = 0
def isolated():
    buffer = LockedBuffer(5000)
    for mode in ("r", "rw", "r"):
        with buffer.open(mode) as view:
            view[0], view[4999]
    buffer.destroy()
def slots():
    for size in (1024, 513, 600):  # of one kind, with canaries of other lengths
        LockedBuffer(size).destroy()
def rooms():
    small, large = Secret.random(10), Secret.random(3000)
    for secret in (small, large, small):
        with secret.open() as view:
            view[0]
works = [isolated, slots, rooms]
def work(end):
    global done, purged
    while time.monotonic() < end:
        for one in works:
            try:
                one()
                done += 1
            except PurgedError:
                purged += 1
"""


@pytest.mark.parametrize("where", ["the same thread", "another thread"])
def test_a_storm_of_signals_that_are_survived(where: str) -> None:
    """Buffers of both layouts and rooms go on being made, opened and destroyed meanwhile, whatever is purged."""
    is_elsewhere = where == "another thread"
    result = run(f"""{STORM}
sender = subprocess.Popen([sys.executable, "-c", SENDER])
end = time.monotonic() + {SECONDS}
if {is_elsewhere}:
    thread = threading.Thread(target=work, args=[end])
    thread.start()
    thread.join()
else:
    work(end)
sender.kill()
sender.wait()
print(done > 0, purged > 0, flush=True)
""")
    assert result.code == 0, result
    assert result.out.split() == ["True", "True"]
