"""Every normal end of a process wipes: seen from outside, in a process stopped after the interpreter is gone."""

import signal

import pytest

import needs
from children import DEADLINE_SECONDS, Live
from observed import Memory

#: The child keeps its buffer beyond all finalizers, and stops itself when the C library's exit handlers run, which is
#: after the interpreter's end. It reads its content from a pipe straight into the View.
SCENE = """
children.stop_at_exit()
buffer = LockedBuffer(32, backing="locked")
with buffer.open("rw") as view:
    take(view)
    address = address_of(view)
    ordinary = ctypes.create_string_buffer(bytes(view))
secret = Secret.random(32)
for thing in (buffer, ordinary, secret):
    children.immortal(thing)
print(address, ctypes.addressof(ordinary), flush=True)
os.read(0, 1)
{end}
"""

ENDS = {
    "the last line": "",
    "sys.exit": "sys.exit(3)",
    "an unhandled exception": "raise KeyError('mine')",
    "inside an open block": "access = buffer.open('rw'); view = access.__enter__(); sys.exit(3)",
    # A Ctrl-C that nobody handles: the interpreter ends itself and then kills itself with SIGINT, which skips the C
    # library's handlers. Blocked at the last moment, the signal waits and they run.
    "Ctrl-C": """
try:
    print('waiting', flush=True)
    time.sleep(60)
finally:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
""",
}
MARK = bytes(range(60, 92))


@needs.linux
@pytest.mark.parametrize("end", ENDS)
def test_memory_is_wiped(end: str) -> None:
    """The pages are still mapped and all zeros; ordinary memory still has its content (control)."""
    with Live(SCENE.format(end=ENDS[end]), stderr=-3) as child:
        child.send(MARK)
        address, ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert memory.read(address, 32) == MARK  # control: it can be seen before
            child.go()
            if end == "Ctrl-C":
                assert child.line() == "waiting"
                child.process.send_signal(signal.SIGINT)
            child.wait_stopped()
            assert memory.read(address, 32) == bytes(32)
            assert memory.read(ordinary, 32) == MARK


@needs.linux
def test_an_end_without_exit_wipes_nothing() -> None:
    """Control for the method: with os._exit replaced by a stop, the content is there, as the documentation says."""
    with Live(SCENE.format(end="os.kill(os.getpid(), signal.SIGSTOP)")) as child:
        child.send(MARK)
        address, _ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            child.go()
            child.wait_stopped()
            assert memory.read(address, 32) == MARK


def test_a_daemon_thread_may_hold_a_view() -> None:
    """Memory is wiped, not unmapped: a thread that still reads at exit does not crash the process."""
    with Live("""
        buffer = LockedBuffer(30_000, backing="locked")
        def read():
            with buffer.open() as view:
                import hashlib
                while True:
                    hashlib.sha256(view)
        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.05)
        sys.exit(5)
    """) as child:
        assert child.process.wait(DEADLINE_SECONDS) == 5
