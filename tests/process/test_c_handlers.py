"""Handlers in C that were there before harden(): each gets what it asked for, and nothing that it did not."""

import signal

import needs
from children import run, succeed

pytestmark = needs.linux

#: glibc's and musl's ``struct sigaction`` on 64 bits. ``abs`` is a C function that takes a signal's number and returns.
INSTALL = """
import struct
SA_RESETHAND, SA_ONSTACK = 0x80000000, 0x08000000
LAYOUT = "P128sIxxxxP"
def install(number, flags):
    wanted = struct.pack(LAYOUT, ctypes.cast(libc.abs, ctypes.c_void_p).value, bytes(128), flags, 0)
    assert libc.sigaction(int(number), wanted, None) == 0
def flags_of(number):
    found = ctypes.create_string_buffer(struct.calcsize(LAYOUT))
    assert libc.sigaction(int(number), None, found) == 0
    return struct.unpack(LAYOUT, found.raw)[2]
"""


def test_one_that_wants_to_be_called_once_is() -> None:
    """A fault whose handler expects the default action at the second ends the process instead of faulting for ever."""
    result = run(f"{INSTALL}\ninstall(SEGV := signal.SIGSEGV, SA_RESETHAND)\nharden(wipe_on_signals=[SEGV])\npeek(0)")
    assert result.code == -signal.SIGSEGV, result


def test_control_without_harden_it_ends_too() -> None:
    """The same handler, and the same end."""
    result = run(f"{INSTALL}\ninstall(signal.SIGSEGV, SA_RESETHAND)\npeek(0)")
    assert result.code == -signal.SIGSEGV, result


def test_each_runs_on_the_stack_it_asked_for() -> None:
    """Only faults, whose own stack may be used up, are handled on another one where nobody asked for that."""
    out = succeed(f"""{INSTALL}
install(signal.SIGUSR1, 0)
install(signal.SIGUSR2, SA_ONSTACK)
harden(wipe_on_signals=[signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGSEGV])
print(*(bool(flags_of(number) & SA_ONSTACK)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGSEGV)))
signal.raise_signal(signal.SIGUSR1)
print("alive")
""")
    assert out.split() == ["False", "True", "True", "True", "alive"]
