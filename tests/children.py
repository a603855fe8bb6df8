"""Processes that tests start on purpose: to crash them, limit them, break their system calls, look into them."""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

TESTS = Path(__file__).resolve().parent

#: Long enough for a loaded machine; nothing here waits for it on purpose.
DEADLINE_SECONDS = 60

if sys.platform == "win32":
    #: Exit codes of a process that touched what it may not: STATUS_ACCESS_VIOLATION; ntstatus.h.
    FAULTS = (0xC0000005,)
    #: And of one that strongroom ended because of a damaged canary: STATUS_FATAL_APP_EXIT.
    CANARY_DEATH = 0x40000015
else:
    FAULTS = (-signal.SIGSEGV, -signal.SIGBUS)
    CANARY_DEATH = -signal.SIGABRT

#: What a child imports if its code has one of the words: more than a thousand are started, and importing all this is a
#: quarter of what a short one takes. One that runs code it is sent gets all.
_IMPORTS = {
    "import inside as children": ("children",),
    "import json": ("json",),
    "import signal": ("signal",),
    "import threading": ("threading",),
    "import observed": ("observed",),
    "from observed import address_of, mapping_at, protection_at": ("address_of", "mapping_at", "protection_at"),
}
_PRELUDE = """
import ctypes, errno, gc, io, os, sys, time
import strongroom
from strongroom import *
if sys.platform == "win32":
    ctypes.windll.kernel32.SetErrorMode(2)  # a crash is told to nobody: SEM_NOGPFAULTERRORBOX
else:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    libc = ctypes.CDLL(None, use_errno=True)
def take(view):
    "Read from standard input straight into a View, on any system."
    return io.FileIO(0, "rb", closefd=False).readinto(view)
def peek(address):
    "Read a byte; a fault ends the process (on Windows ctypes' own functions would make an exception of it)."
    return ctypes.c_ubyte.from_address(address).value
def poke(address, value=0):
    "Write a byte, as bluntly."
    ctypes.c_ubyte.from_address(address).value = value
def flip(address):
    "Change the byte at an address, whatever it is."
    ctypes.memset(address, ctypes.string_at(address, 1)[0] ^ 0xFF, 1)
"""


class Result:
    """How a child ended: its exit code (negative: the signal that killed it) and what it wrote."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"<exit code {self.code}>\n{self.out}{self.err}"


#: What children do not inherit: our own settings, those by which a C library or Python overwrites what is freed, where
#: controls look for copies, and those that change what Python says on standard error (PYTHONDEVMODE, PYTHONWARNINGS,
#: PYTHONFAULTHANDLER, FORCE_COLOR) or in how many pieces it says a line (PYTHONUNBUFFERED). Who wants one sets it.
_NOT_INHERITED = ("PYTEST", "STRONGROOM", "PYTHON", "FORCE_COLOR", "MALLOC_", "GLIBC_TUNABLES")
#: What tells where Python is and finds things, and in which alphabet it writes.
_INHERITED = ("PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONIOENCODING")


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    here = os.environ.items()
    kept = {name: value for name, value in here if name in _INHERITED or not name.startswith(_NOT_INHERITED)}
    return {**kept, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def _command(code: str) -> list[str]:
    imports = [line for line, words in _IMPORTS.items() if any(word in code for word in (*words, "exec("))]
    return [sys.executable, "-c", "\n".join([*imports, _PRELUDE, textwrap.dedent(code)])]


def run(
    code: str,
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    data: str | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Result:
    """Run code in a fresh interpreter that has imported strongroom and the tests' helpers."""
    done = subprocess.run(
        _command(code),
        env=_environment(env),
        cwd=cwd,
        input=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=deadline_seconds,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def succeed(
    code: str,
    *,
    env: dict[str, str] | None = None,
    data: str | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> str:
    """Run code that must end well, and return what it printed. Exit code 77 is a named skip."""
    result = run(code, env=env, data=data, deadline_seconds=deadline_seconds)
    if result.code == 77:
        import pytest  # children import this module too, and it takes its time

        pytest.skip(result.out.strip())
    assert result.code == 0, result
    return result.out


class Live:
    """A child that says lines and waits to be told to go on, so that it can be looked at in between."""

    def __init__(self, code: str, *, env: dict[str, str] | None = None, stderr: int | None = None) -> None:
        self.process = subprocess.Popen(
            _command(code), env=_environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        self.pid = self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    @contextlib.contextmanager
    def _ended_when_late(self) -> Iterator[IO[bytes]]:
        """Give what the child writes to; kill a child that takes too long. No thread is left: others fork, or count."""
        assert self.process.stdout is not None
        deadline = threading.Timer(DEADLINE_SECONDS, self.process.kill)
        deadline.start()
        try:
            yield self.process.stdout
        finally:
            deadline.cancel()
            deadline.join()

    def line(self) -> str:
        """Return the next line the child says."""
        with self._ended_when_late() as pipe:
            said = pipe.readline()
        assert said, "the child said nothing"
        return said.decode().strip()

    def take(self, size: int) -> bytes:
        """Return so many bytes that the child writes."""
        with self._ended_when_late() as pipe:
            said = pipe.read(size)
        assert len(said) == size, "the child wrote less"
        return said

    def send(self, data: bytes) -> None:
        """Write to the child's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def go(self) -> None:
        """Let the child go on: it waits with ``sys.stdin.readline()`` or ``os.read(0, 1)``."""
        self.send(b"\n")

    def wait_asleep(self) -> None:
        """Wait until the child, which has said its line, waits for the next one: only now nothing of it changes."""
        wait_for_state(self.pid, "S")

    def wait_stopped(self) -> None:
        """Wait until the child has stopped itself with SIGSTOP."""
        for _ in range(DEADLINE_SECONDS * 100):
            pid, status = os.waitpid(self.pid, os.WUNTRACED | os.WNOHANG)
            if pid:
                assert os.WIFSTOPPED(status), f"the child ended instead of stopping: {status:#x}"
                return
            time.sleep(0.01)
        raise AssertionError("the child never stopped")

    def trace(self) -> None:
        """Have every signal to the child stop it before it takes effect (PTRACE_SEIZE; ptrace(2))."""
        _ptrace(_PTRACE_SEIZE, self.pid, 0)

    def wait_signalled(self, expected: signal.Signals) -> None:
        """Wait until a traced child is about to get this signal; it is stopped then, with its memory as it was.

        Others it gets: a terminal that changes its size tells everybody.
        """
        for _ in range(DEADLINE_SECONDS * 100):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                assert os.WIFSTOPPED(status), f"the child ended instead of stopping: {status:#x}"
                if os.WSTOPSIG(status) == expected:
                    return
                _ptrace(_PTRACE_CONT, self.pid, os.WSTOPSIG(status))
            time.sleep(0.01)
        raise AssertionError(f"the child never got {expected!r}")

    def resume(self, delivering: signal.Signals) -> int:
        """Let a stopped traced child have its signal; return how it ends."""
        _ptrace(_PTRACE_CONT, self.pid, delivering)
        return self.process.wait(DEADLINE_SECONDS)


def wait_for_state(pid: int, state: str, patience_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until all threads of a process are in a state, ``T`` after a signal to stop; proc_pid_stat(5)."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            texts = [path.read_text("utf-8", "replace") for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        except OSError:  # a thread has just ended
            texts = []
        if texts and {text.rpartition(")")[2].split()[0] for text in texts} == {state}:
            return
        assert time.monotonic() < deadline, f"the process is not in state {state}: {texts}"
        time.sleep(0.001)


_PTRACE_CONT, _PTRACE_SEIZE = 7, 0x4206  # linux/ptrace.h


_F_SETPIPE_SZ, _LEAST_PIPE_SIZE = 1031, 4096  # linux/fcntl.h; fcntl(2): a pipe has a page at least


def left_by_its_reader(command: Sequence[str]) -> int:
    """The exit code of a program of which somebody reads one line and leaves, and which has no more to say to that.

    Linux only. The pipe is a small one: what fits into a pipe is written before its reader has left, and a program that
    is through by then ends well.
    """
    import fcntl  # this module is imported on Windows too

    reading, writing = os.pipe()
    fcntl.fcntl(writing, _F_SETPIPE_SZ, _LEAST_PIPE_SIZE)
    process = subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.stderr is not None
    with open(reading, "rb") as lines:
        lines.readline()
    assert process.stderr.read() == b""
    process.stderr.close()
    return process.wait(DEADLINE_SECONDS)


def _ptrace(request: int, pid: int, data: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) != 0:
        if ctypes.get_errno() == errno.EPERM:
            import pytest

            pytest.skip(
                "tracing a child is forbidden here: needs ptrace (yama's ptrace_scope at most 1, and a "
                "container profile that allows it)"
            )
        raise OSError(ctypes.get_errno(), "ptrace")


def forked(function: Callable[[], object]) -> str:
    """Fork this process, run a function in the child, and return the text of what it returned.

    The child ends without running anybody's exit handlers. A crash or an exception there is an AssertionError here.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: fork beside threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writing, str(function()).encode())
            code = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"the forked child ended with {code}: {text}"
    return text
