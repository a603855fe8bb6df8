"""Make single system calls fail, in this process and for good: a seccomp filter that answers with an errno.

Or have one wait until something else was done, as a slow disk would. For a child process that a test starts on purpose;
there is no way back, and threads and children share the fate. The kernel refuses before it does anything, so this shows
how a failure is handled, not what a half-done call leaves behind. Linux on x86_64 and aarch64; no privileges needed.
Source: seccomp(2), seccomp_unotify(2), Linux 3.17 and 5.5.
"""

import ctypes
import os
import platform
import queue
import struct
import threading
from collections.abc import Callable, Iterator

# linux/audit.h: ELF machine number with the bits for 64 bit and little endian.
_AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Numbers from the kernel's syscall tables: (x86_64, aarch64).
_NUMBERS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "ioctl": (16, 29),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "mremap": (25, 216),
    "msync": (26, 227),
    "mincore": (27, 232),
    "madvise": (28, 233),
    "fcntl": (72, 25),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "fchmod": (91, 52),
    "getrusage": (98, 165),
    "mlock": (149, 228),
    "munlock": (150, 229),
    "prctl": (157, 167),
    "setrlimit": (160, 164),
    "openat": (257, 56),
    "unlinkat": (263, 35),
    "fallocate": (285, 47),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "userfaultfd": (323, 282),
    "mlock2": (325, 284),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "memfd_secret": (447, 447),
    "mseal": (462, 462),
}
_SECCOMP = {"x86_64": 317, "aarch64": 277}

# linux/prctl.h, linux/seccomp.h
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
_RET_USER_NOTIF = 0x7FC00000
_NOTIF_FLAG_CONTINUE = 1
# _IOWR('!', 0, struct seccomp_notif of 80 bytes), _IOWR('!', 1, struct seccomp_notif_resp of 24).
_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101

# linux/bpf_common.h: load a 32-bit word of the call's description, jump if equal, return.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

# struct seccomp_data: number, architecture, instruction pointer, six 64-bit arguments.
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE, _OFFSET_OF_ARGUMENTS = 0, 4, 16
_ARGUMENT_COUNT = 6


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_supported() -> bool:
    """Return whether :func:`deny` knows this system's numbers."""
    return platform.system() == "Linux" and platform.machine() in _AUDIT_ARCHITECTURES


def _conditions(machine: str, call: str, arg_equals: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
    """Yield (offset, value) for each 32-bit word that a call must have to be refused."""
    yield _OFFSET_OF_ARCHITECTURE, _AUDIT_ARCHITECTURES[machine]
    yield _OFFSET_OF_NUMBER, _NUMBERS[call][list(_AUDIT_ARCHITECTURES).index(machine)]
    if arg_equals is not None:
        index, value = arg_equals
        if not 0 <= index < _ARGUMENT_COUNT:
            raise ValueError(f"a system call has arguments 0 to {_ARGUMENT_COUNT - 1}, not {index}")
        offset = _OFFSET_OF_ARGUMENTS + 8 * index
        yield offset, value & 0xFFFFFFFF
        # Of an int argument the upper half of the register is undefined: only wide values are compared whole.
        if value >> 32 not in (0, -1):
            yield offset + 4, value >> 32 & 0xFFFFFFFF


def _assemble(conditions: list[tuple[int, int]], answer: int) -> bytes:
    """Return the filter: the answer if all conditions hold, else allow."""
    steps = []
    for position, (offset, value) in enumerate(conditions):
        to_allow = 2 * (len(conditions) - position) - 1  # over the remaining pairs and the refusal
        steps += [(_LOAD, 0, 0, offset), (_JUMP_IF_EQUAL, 0, to_allow, value)]
    steps += [(_RETURN, 0, 0, answer), (_RETURN, 0, 0, _RET_ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def deny(syscall_name: str, errno: int, *, arg_equals: tuple[int, int] | None = None) -> None:
    """Make a system call fail from now on, in every thread and child of this process.

    Args:
        syscall_name: The kernel's name, for example ``"mlock"`` (glibc's ``mlock`` calls that one).
        errno: What it fails with, for example ``errno.ENOMEM``.
        arg_equals: Only when argument number ``[0]``, counted from 0, equals ``[1]``: ``(2, 10)`` for
            ``madvise(…, …, MADV_DONTFORK)``. Values below 2**32 are compared with the argument's lower half.

    Raises:
        KeyError: The call is not in the table.
        OSError: The kernel refused the filter.
    """
    _install(syscall_name, _RET_ERRNO | errno, _SECCOMP_FILTER_FLAG_TSYNC, arg_equals)


def hold(syscall_name: str, meanwhile: Callable[[], object], *, arg_equals: tuple[int, int] | None = None) -> None:
    """Have each such call of this thread wait until another thread has run a function.

    What holds the interpreter's lock while it waits, waits for ever: give the process a deadline.

    Args:
        syscall_name, arg_equals: As for ``deny``.
        meanwhile: The function.
    """
    import fcntl  # this module is imported on Windows too

    handed, received = queue.SimpleQueue[int](), bytearray(80)

    def serve() -> None:
        listener = handed.get()
        while True:
            received[:] = bytes(len(received))
            fcntl.ioctl(listener, _NOTIF_RECV, received)
            meanwhile()
            (number,) = struct.unpack_from("=Q", received)
            fcntl.ioctl(listener, _NOTIF_SEND, struct.pack("=QqiI", number, 0, 0, _NOTIF_FLAG_CONTINUE))

    threading.Thread(target=serve, daemon=True).start()  # before there is a filter, which it does not get
    handed.put(_install(syscall_name, _RET_USER_NOTIF, _SECCOMP_FILTER_FLAG_NEW_LISTENER, arg_equals))


def _install(name: str, answer: int, flags: int, arg_equals: tuple[int, int] | None) -> int:
    machine = platform.machine()
    code = _assemble(list(_conditions(machine, name, arg_equals)), answer)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl(PR_SET_NO_NEW_PRIVS): {os.strerror(ctypes.get_errno())}")
    result = libc.syscall(
        ctypes.c_long(_SECCOMP[machine]),
        ctypes.c_long(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_long(flags),
        ctypes.byref(program),
    )
    if result < 0 or (result > 0 and flags & _SECCOMP_FILTER_FLAG_TSYNC):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    return int(result)
