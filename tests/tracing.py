"""A child held in its last moment by ptrace: its pages are still there, and it will not run another instruction.

Linux only. Sources: ptrace(2) (PTRACE_SEIZE, PTRACE_O_TRACEEXIT, PTRACE_GET_SYSCALL_INFO), elf(5).
"""

import contextlib
import ctypes
import errno
import os
import signal
import time
from types import TracebackType

import pytest

from children import DEADLINE_SECONDS, Live

# linux/ptrace.h
_CONT, _DETACH, _SYSCALL, _SEIZE, _INTERRUPT, _GET_SYSCALL_INFO = 7, 17, 24, 0x4206, 0x4207, 0x420E
_O_TRACESYSGOOD, _O_TRACEEXEC, _O_TRACEEXIT = 1, 0x10, 0x40
EVENT_EXEC, EVENT_EXIT, _EVENT_STOP = 4, 6, 128
_INFO_ENTRY, _INFO_NUMBER_AT = 1, 24
_WALL = 0x40000000  # bits/waitflags.h: threads too
_SYSCALL_STOP = signal.SIGTRAP | 0x80

EXECVE = {"x86_64": 59, "aarch64": 221}.get(os.uname().machine)


def ptrace(request: int, pid: int, address: int, data: object) -> int:
    """Make the call; ``OSError`` if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    result: int = libc.ptrace(request, pid, address, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return result


class Traced(Live):
    """A child that is held when it is about to end or to be replaced by another program."""

    is_held = False

    def seize(self) -> None:
        """Begin; the child goes on running."""
        try:
            ptrace(_SEIZE, self.pid, 0, _O_TRACESYSGOOD | _O_TRACEEXEC | _O_TRACEEXIT)
        except PermissionError:
            pytest.skip("tracing a child is forbidden here: needs yama's ptrace_scope at most 1, and a container "
                        "profile that allows ptrace")  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            with contextlib.suppress(OSError, AssertionError):
                self.end()
        super().__exit__(kind, value, trace)

    def _next_stop(self) -> int | None:
        """Wait for the next stop and return its status; None when the child is no more."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG | _WALL)
            if pid == 0:
                time.sleep(0.002)
                continue
            if os.WIFSTOPPED(status):
                self.is_held = True
                return status
            self.process.returncode = os.waitstatus_to_exitcode(status)
            return None
        raise AssertionError("the child neither stopped nor ended")

    def _go_on(self, how: int, status: int) -> None:
        """Let it run from a stop, with the signal that it was stopped for, if it was."""
        is_signal = status >> 16 == 0 and os.WSTOPSIG(status) != _SYSCALL_STOP
        self.is_held = False
        ptrace(how, self.pid, 0, os.WSTOPSIG(status) if is_signal else 0)

    def hold_at(self, event: int) -> None:
        """Wait until the child stops for this event: ``EVENT_EXIT`` or ``EVENT_EXEC``."""
        while (status := self._next_stop()) is not None:
            if status >> 16 == event:
                return
            self._go_on(_CONT, status)
        raise AssertionError(f"the child ended with {self.process.returncode} before it could be held")

    def interrupt(self) -> None:
        """Stop a child that runs."""
        ptrace(_INTERRUPT, self.pid, 0, 0)
        assert self._next_stop() is not None

    def hold_at_call(self, number: int) -> None:
        """Let a stopped child run until it is about to make this system call."""
        self._go_on(_SYSCALL, _EVENT_STOP << 16 | signal.SIGTRAP << 8 | 0x7F)
        while (status := self._next_stop()) is not None:
            if os.WSTOPSIG(status) == _SYSCALL_STOP and self._call() == number:
                return
            self._go_on(_SYSCALL, status)
        raise AssertionError("the child never made the call")

    def _call(self) -> int | None:
        """Return the number of the call that the child is about to make, None if it is coming back from one."""
        info = ctypes.create_string_buffer(88)
        try:
            ptrace(_GET_SYSCALL_INFO, self.pid, len(info), ctypes.addressof(info))
        except OSError as error:
            if error.errno == errno.EIO:
                pytest.skip("needs Linux 5.3: PTRACE_GET_SYSCALL_INFO")
            raise
        is_entry = info.raw[0] == _INFO_ENTRY
        return int.from_bytes(info.raw[_INFO_NUMBER_AT : _INFO_NUMBER_AT + 8], "little") if is_entry else None

    def go_on(self) -> None:
        """Let a held child run."""
        self.is_held = False
        ptrace(_CONT, self.pid, 0, 0)

    def end(self) -> int:
        """Let go of the child, wait until it is gone, and return how it ended."""
        if self.is_held:
            self.go_on()
        while (status := self._next_stop()) is not None:
            self._go_on(_CONT, status)
        assert self.process.returncode is not None
        return self.process.returncode
