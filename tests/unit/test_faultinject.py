"""The fault injector makes exactly the call fail that it was told to."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent.parent


def load_faultinject() -> ModuleType:
    """Import ``tests/faultinject.py`` by its path."""
    spec = importlib.util.spec_from_file_location("faultinject", TESTS / "faultinject.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faultinject = load_faultinject()
needs_seccomp = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

# libc calls on one page of anonymous memory, each returning (result, errno).
PRELUDE = """
import ctypes, errno, mmap, os, threading
from faultinject import deny
libc = ctypes.CDLL(None, use_errno=True)
memory = mmap.mmap(-1, 4096)
page = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
size = ctypes.c_size_t(4096)
def call(name, *arguments):
    ctypes.set_errno(0)
    return getattr(libc, name)(page, size, *arguments), ctypes.get_errno()
"""


def run(code: str) -> None:
    """Run code after the prelude in a process of its own, which must end well."""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_seccomp
def test_denied_call_fails_with_the_given_errno() -> None:
    """A denied mlock fails with the errno asked for, where it succeeded before."""
    run("""
assert call("mlock") == (0, 0)
deny("mlock", errno.ENOMEM)
assert call("mlock") == (-1, errno.ENOMEM)
""")


@needs_seccomp
def test_other_calls_still_work() -> None:
    """Denying mlock leaves munlock, madvise and mprotect alone."""
    run("""
call("mlock")
deny("mlock", errno.EPERM)
assert call("munlock") == (0, 0)
assert call("madvise", 10) == (0, 0)
assert call("mprotect", 1) == (0, 0)
""")


@needs_seccomp
def test_only_the_given_argument_is_denied() -> None:
    """A denied madvise advice fails while the neighbouring ones succeed."""
    run("""
deny("madvise", errno.EINVAL, arg_equals=(2, 10))
assert call("madvise", 10) == (-1, errno.EINVAL)
assert call("madvise", 11) == (0, 0)
assert call("madvise", 16) == (0, 0)
""")


@needs_seccomp
def test_wide_arguments_are_compared_whole() -> None:
    """An address is compared in all its 64 bits: another one with the same lower half is let through."""
    run("""
deny("mprotect", errno.EACCES, arg_equals=(0, page.value ^ 1 << 40))
assert call("mprotect", 3) == (0, 0)
deny("mprotect", errno.EACCES, arg_equals=(0, page.value))
assert call("mprotect", 3) == (-1, errno.EACCES)
""")


@needs_seccomp
def test_denials_add_up() -> None:
    """Several calls can be denied one after the other, each with its own errno."""
    run("""
deny("memfd_secret", errno.ENOSYS)
deny("mlock", errno.EAGAIN)
assert libc.syscall(447, 0) == -1 and ctypes.get_errno() == errno.ENOSYS
assert call("mlock") == (-1, errno.EAGAIN)
""")


@needs_seccomp
def test_running_threads_and_children_are_denied_too() -> None:
    """A thread that was already running and a child forked later meet the same refusal."""
    run("""
go, results = threading.Event(), []
thread = threading.Thread(target=lambda: (go.wait(), results.append(call("mlock"))))
thread.start()
deny("mlock", errno.ENOMEM)
go.set()
thread.join()
assert results == [(-1, errno.ENOMEM)]
child = os.fork()
if child == 0:
    os._exit(0 if call("mlock") == (-1, errno.ENOMEM) else 1)
assert os.waitpid(child, 0)[1] == 0
""")


def test_unknown_calls_are_refused() -> None:
    """A call that is not in the table is a KeyError, not a filter for some other call."""
    if not faultinject.is_supported():
        pytest.skip("fault injection needs Linux on x86_64 or aarch64")
    with pytest.raises(KeyError):
        faultinject.deny("no_such_call", 1)


@needs_seccomp
def test_an_argument_out_of_range_is_refused() -> None:
    """There are six arguments; asking for a seventh is a ValueError before anything is installed."""
    with pytest.raises(ValueError, match="0 to 5"):
        faultinject.deny("madvise", 1, arg_equals=(6, 10))
