"""harden(wipe_on_signals=...): what is wiped when the signal comes, seen from outside at the process's last moment."""

import os
import random
import signal
import time

import pytest

import needs

if not needs.LINUX:
    pytest.skip("needs Linux: ptrace and /proc", allow_module_level=True)

import tracing
from children import DEADLINE_SECONDS, Live
from endings import ALL_THERE, MARK, OURS_WIPED, scene
from observed import Memory
from tracing import Traced

HARDENED = "harden(wipe_on_signals=(*TERMINATION_SIGNALS, *FAULT_SIGNALS))"
#: push, and again: x86_64 and aarch64.
OVERFLOW = {"x86_64": "50 eb fd", "aarch64": "e0 0f 1f f8 ff ff ff 17"}


def overflow() -> str:
    """Code that uses up the stack of the thread that runs it, which has 8 MiB at most, without a word of Python."""
    machine = os.uname().machine
    if machine not in OVERFLOW:
        pytest.skip("machine code that overflows a stack is only written for x86_64 and aarch64")
    return f"""
import mmap
_soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
resource.setrlimit(resource.RLIMIT_STACK, (8 << 20 if hard == resource.RLIM_INFINITY else min(8 << 20, hard), hard))
room = mmap.mmap(-1, 4096, prot=7)
room.write(bytes.fromhex({OVERFLOW[machine]!r}))
run_over = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(room)))
run_over()
"""


def test_a_stack_that_overflowed() -> None:
    """There is no room for a handler on it, and the handler runs: on an alternate stack."""
    with scene(overflow(), HARDENED) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == OURS_WIPED
        assert ended.child.end() == -signal.SIGSEGV


def test_control_a_stack_that_overflowed_unhardened() -> None:
    """The same without harden: it dies alike, and nothing is wiped."""
    with scene(overflow()) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == ALL_THERE
        assert ended.child.end() == -signal.SIGSEGV


def test_without_a_file_descriptor_left() -> None:
    """The pipe that checks each page cannot be made: it is wiped nevertheless."""
    full = "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))"
    with scene("os.kill(os.getpid(), signal.SIGTERM)", f"{HARDENED}\n{full}") as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == OURS_WIPED
        assert ended.child.end() == -signal.SIGTERM


BUSY = """
sys.setswitchinterval(1e-5)
kept = LockedBuffer(32, backing="locked")
with kept.open("rw") as view:
    take(view)
    place = address_of(view)
harden(wipe_on_signals=[signal.SIGTERM])
def work():
    mine = LockedBuffer(20000, backing="locked")
    secret = Secret.random(16)
    while True:
        with mine.open("rw") as view, secret.open():
            view[0] = 1
        with LockedBuffer(8, backing="locked") as other, other.open() as view:
            view[0]
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print(place, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("attempt", range(12))
def test_among_threads_that_open_close_make_and_destroy(attempt: int) -> None:
    """Whatever they are doing, the process dies of its signal and of nothing else, with what is kept wiped."""
    with Traced(BUSY) as child:
        child.send(MARK)
        place = int(child.line())
        with Memory(child.pid) as memory:
            assert memory.read(place, 32) == MARK
            child.seize()
            time.sleep(random.random() / 50)
            child.process.send_signal(signal.SIGTERM)
            child.hold_at(tracing.EVENT_EXIT)
            assert memory.read(place, 32) == bytes(32)
            assert child.end() == -signal.SIGTERM


def test_a_signal_for_each_thread_at_once() -> None:
    """Several handlers walk the same blocks at a time; it is still the signal that ends the process."""
    code = BUSY.replace(
        "time.sleep(60)",
        """
for thread in threading.enumerate():
    signal.pthread_kill(thread.ident, signal.SIGTERM)
time.sleep(60)
""",
    )
    with Live(code) as child:
        child.send(MARK)
        child.line()
        assert child.process.wait(DEADLINE_SECONDS) == -signal.SIGTERM
