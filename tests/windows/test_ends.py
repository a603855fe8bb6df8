"""Every normal end of a process wipes: seen from another one, while the first is held in its last moments."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import _winapi
import msvcrt

from children import CANARY_DEATH, DEADLINE_SECONDS, Live
from observed import Memory

#: The C runtime's exit functions run after the interpreter's end. This one sleeps for good: mov ecx, -1; call Sleep.
SCENE = """
from observed_windows import executable, kernel32
sleep = ctypes.cast(kernel32.Sleep, ctypes.c_void_p).value.to_bytes(8, "little")
code = executable(bytes.fromhex("4883ec28 b9ffffffff 48b8") + sleep + bytes.fromhex("ffd0"))
assert ctypes.CDLL("ucrtbase")._crt_atexit(ctypes.c_void_p(code)) == 0
buffer = LockedBuffer(32)
with buffer.open("rw") as view:
    take(view)
    address = address_of(view)
    ordinary = ctypes.create_string_buffer(bytes(view))
for thing in (buffer, ordinary):
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
}
PIPE_WAIT, PIPE_NOWAIT = 0, 1
MARK = bytes(range(60, 92))


@pytest.mark.parametrize("end", ENDS)
def test_memory_is_wiped(end: str) -> None:
    """The process still lives and its pages are zeros; ordinary memory still has its content (control)."""
    with Live(SCENE.format(end=ENDS[end]), stderr=subprocess.DEVNULL) as child:
        child.send(MARK)
        address, ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert memory.read(address, 32) == MARK  # control: it can be seen before
            child.go()
            deadline = time.monotonic() + DEADLINE_SECONDS
            while memory.read(address, 32) == MARK and time.monotonic() < deadline:
                time.sleep(0.02)
            assert memory.read(address, 32) == bytes(32)
            assert memory.read(ordinary, 32) == MARK
            assert child.process.poll() is None


def test_an_end_without_exit_wipes_nothing() -> None:
    """Control for the method: asleep before its end, a process has its content for as long as one looks."""
    with Live(SCENE.format(end="kernel32.Sleep(-1)")) as child:
        child.send(MARK)
        address, _ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            child.go()
            time.sleep(1)
            assert memory.read(address, 32) == MARK


def test_a_full_standard_error_does_not_delay_the_end() -> None:
    """A damaged canary, and a pipe for the last words that nobody empties: it ends all the same, without waiting."""
    reading, writing = os.pipe()
    try:
        handle = msvcrt.get_osfhandle(writing)
        _winapi.SetNamedPipeHandleState(handle, PIPE_NOWAIT, None, None)
        with contextlib.suppress(OSError):
            while True:
                os.write(writing, b".")
        _winapi.SetNamedPipeHandleState(handle, PIPE_WAIT, None, None)
        code = "with LockedBuffer(32).open('rw') as view: poke(address_of(view) - 1, peek(address_of(view) - 1) ^ 1)"
        with Live(code, stderr=writing) as child:
            assert child.process.wait(DEADLINE_SECONDS) == CANARY_DEATH
    finally:
        os.close(reading)
        os.close(writing)
