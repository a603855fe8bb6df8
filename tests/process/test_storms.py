"""Signals at any moment, thousands of them, before a C handler that lets the process live: nothing breaks.

What was made before a signal is purged, so ``PurgedError`` may come anywhere; a crash, a damaged canary, or any other
error may not.
"""

import pytest

import needs
from children import run
from compiling import IS_THOROUGH

pytestmark = needs.unix

#: Some thousands of signals.
SECONDS = 1.5 if IS_THOROUGH else 0.8
STORM = """
import subprocess
# C code that returns and does nothing else: on Python 3.13.0 faulthandler, which reads frames, crashes in such a storm.
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.signal(signal.SIGUSR1, ctypes.cast(libc.abs, ctypes.c_void_p))
harden(wipe_on_signals=[signal.SIGUSR1])
SENDER = f"import os, time\\nwhile True: os.kill({os.getpid()}, %d); time.sleep(0.0003)" % signal.SIGUSR1
done = purged = wrong = 0
MARK = b"what was written"
def isolated():
    hold(5000)
def slots():
    for size in (1024, 513, 600):  # of one kind, with canaries of other lengths
        hold(size)
def hold(size):
    buffer = LockedBuffer(size)
    buffer.copy_from(MARK, size - len(MARK))
    for mode in ("r", "rw", "r"):
        with buffer.open(mode) as view:
            seen = view[size - len(MARK):] == MARK
        remember(seen)
    buffer.destroy()
def rooms():
    small = Secret.build(len(MARK), lambda view: view.__setitem__(slice(None), MARK))
    large = Secret.random(3000)
    for secret in (small, large, small):
        with secret.open() as view:
            seen = secret is large or view == MARK
        remember(seen)
def remember(is_right):
    "Wrong content is nothing to be found in a block that ended well."
    global wrong
    wrong += not is_right
works = [isolated, slots, rooms]
def work(end):
    "Until then, and until both has happened: on a busy machine the sender takes its time to start."
    global done, purged
    while time.monotonic() < end or not (done and purged):
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
sender = subprocess.Popen([sys.executable, "-c", SENDER], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
end = time.monotonic() + {SECONDS}
if {is_elsewhere}:
    thread = threading.Thread(target=work, args=[end])
    thread.start()
    thread.join()
else:
    work(end)
sender.kill()
sender.wait()
print(done > 0, purged > 0, wrong, flush=True)
""")
    assert result.code == 0, result
    assert result.out.split() == ["True", "True", "0"]
