"""What tests' children call on themselves. Imported by more than a thousand of them: it imports little itself."""

import ctypes
import mmap
import os
import sys

if sys.platform != "win32":
    import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any, NoReturn


def __getattr__(name: str) -> "Any":
    """What is for parents, children of children too, and takes longer to import."""
    import children

    return getattr(children, name)


def make_writable(page: int) -> None:
    """Change the protection of one page behind everybody's back."""
    address, size = ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE)
    if sys.platform == "win32":
        assert ctypes.WinDLL("kernel32").VirtualProtect(address, size, 4, ctypes.byref(ctypes.c_ulong()))
    else:
        assert ctypes.CDLL(None).mprotect(address, size, mmap.PROT_READ | mmap.PROT_WRITE) == 0


_CAP_IPC_LOCK = 14
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}


def limit_locks(size: int) -> None:
    """Allow this process ``size`` bytes of locked memory and take its privilege to have more (CAP_IPC_LOCK).

    Under Wine the limit is Linux's, and comes from whoever started Wine.
    """
    if sys.platform == "win32":
        if os.environ.get("SR_TEST_LOCK_LIMIT") != str(size):
            skip(f"needs Wine started with a lock limit of {size} bytes (.ci/windows does so with 65536)")
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < size:
        skip(f"the hard limit on locked memory is {hard} bytes: needs 'ulimit -H -l' of at least {size // 1024}")
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, hard))
    number = _SYS_CAPSET.get(os.uname().machine)
    if number is None:
        skip("dropping CAP_IPC_LOCK is only written for x86_64 and aarch64")
    import struct

    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    nothing = bytes(24)  # effective, permitted and inheritable, twice 32 bits each
    if ctypes.CDLL(None, use_errno=True).syscall(number, header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def once_a_thread_waits(act: "Callable[[], object]") -> "Thread":
    """Have a thread do something as soon as another one waits at the lock limit, however long that takes to begin."""
    import threading
    import time

    from strongroom import _native

    def look() -> None:
        while not _native.bells():
            time.sleep(0.01)
        time.sleep(0.1)
        act()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    return looking


def skip(reason: str) -> "NoReturn":
    """End this child and have the test skipped."""
    print(reason, flush=True)  # noqa: T201
    os._exit(77)


def end_fork(pid: int, word: str) -> None:
    """After a fork by something else: the child tells its word and ends, the parent tells how, and its own word."""
    if pid == 0:
        os.write(1, f"child {word}\n".encode())
        os._exit(0)
    print("status", os.waitpid(pid, 0)[1], "parent", word)  # noqa: T201


def stop_at_exit() -> None:
    """Have this process stop itself (SIGSTOP) when the C library runs its exit handlers: after all of Python's."""
    import signal  # whose enumerations take time

    libc = ctypes.CDLL(None)
    libc.__cxa_atexit.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    libc.__cxa_atexit(ctypes.cast(libc["raise"], ctypes.c_void_p), signal.SIGSTOP, None)


def immortal(thing: object) -> None:
    """Keep an object beyond the end of the interpreter, so that no finalizer gets to it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def locked_and_recorded(backing: str = "locked") -> "list[Any]":
    """Have whatever memory is made from now on be ``locked``, for others to read; return the list of sealing keys.

    ``key._layout()[1] - 32`` is where a key in that list lies.
    """
    from strongroom import LockedBuffer
    from strongroom.buffers import host
    from strongroom.secret import sealing

    keys: list[Any] = []

    class Key(LockedBuffer):
        def __init__(self, *_size: object, **_words: object) -> None:
            keys[:] = [self]

    plan = host.plan
    host.plan = lambda size, _asked, *rest: plan(size, backing, *rest)
    vars(sealing)["LockedBlock"] = Key
    return keys
