"""The C library's calls that the attackers use, by ctypes; nothing of strongroom's own native code."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

# process_madvise has no wrapper before glibc 2.36; the numbers are the same on every Linux architecture
# (all calls since 5.1 share one table).
SYS_PIDFD_OPEN = 434
SYS_PROCESS_MADVISE = 440
MADV_PAGEOUT = 21  # asm-generic/mman-common.h, Linux 5.4
MADV_DONTDUMP = 16
MADV_DONTFORK = 10
PROT_NONE, PROT_READ = 0, 1

PR_SET_PDEATHSIG = 1
PR_SET_PTRACER = 0x59616D61  # "Yama", prctl(2)
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1).value

_CAPABILITY_VERSION_3 = 0x20080522  # capget(2)


class IoVector(ctypes.Structure):
    """struct iovec of readv(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


_libc.memmem.restype = ctypes.c_void_p
_libc.memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
_libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.read.restype = ctypes.c_ssize_t
_libc.read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_libc.write.restype = ctypes.c_ssize_t
_libc.write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)


def memmem(haystack: int, size: int, needle: int, needle_size: int) -> int | None:
    """Return the address of the first occurrence, or None: memmem(3)."""
    result: int | None = _libc.memmem(haystack, size, needle, needle_size)
    return result


def mlock(address: int, size: int) -> bool:
    """Lock pages; False where the lock limit or the system does not let us."""
    return bool(_libc.mlock(address, size) == 0)


def madvise(address: int, size: int, advice: int) -> int:
    """Return 0 or the errno of madvise(2)."""
    return 0 if _libc.madvise(address, size, advice) == 0 else ctypes.get_errno()


def mprotect(address: int, size: int, protection: int) -> bool:
    """Change the protection of whole pages; False where there are none, or the system refuses."""
    return bool(_libc.mprotect(address, size, protection) == 0)


def read_to(descriptor: int, address: int, size: int) -> int:
    """read(2) to a raw address: EFAULT comes back as an errno instead of a crash; returns bytes or -errno."""
    done = int(_libc.read(descriptor, address, size))
    return done if done >= 0 else -ctypes.get_errno()


def write_from(descriptor: int, address: int, size: int) -> int:
    """write(2) from a raw address: the kernel copies, so no copy lies in this process; bytes or -errno."""
    done = int(_libc.write(descriptor, address, size))
    return done if done >= 0 else -ctypes.get_errno()


def process_vm_readv(pid: int, local: int, remote: int, size: int) -> int:
    """Read another process's memory into ours; returns bytes (may be short) or -errno."""
    call = _libc.process_vm_readv  # looked up late: the C libraries of some systems have none
    call.restype = ctypes.c_ssize_t
    call.argtypes = (
        ctypes.c_int, ctypes.POINTER(IoVector), ctypes.c_ulong,
        ctypes.POINTER(IoVector), ctypes.c_ulong, ctypes.c_ulong,
    )  # fmt: skip
    here, there = IoVector(local, size), IoVector(remote, size)
    done = int(call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    return done if done >= 0 else -ctypes.get_errno()


def process_pageout(pid: int, ranges: list[tuple[int, int]]) -> int:
    """Ask the kernel to page ranges of another process out; returns bytes advised or -errno.

    Source: process_madvise(2), Linux 5.10. It needs CAP_SYS_NICE.
    """
    handle = int(_libc.syscall(SYS_PIDFD_OPEN, pid, 0))
    if handle < 0:
        return -ctypes.get_errno()
    try:
        vector = (IoVector * len(ranges))(*(IoVector(start, end - start) for start, end in ranges))
        done = int(_libc.syscall(
            SYS_PROCESS_MADVISE, handle, ctypes.byref(vector), ctypes.c_size_t(len(ranges)), MADV_PAGEOUT,
            ctypes.c_uint(0),
        ))  # fmt: skip
        return done if done >= 0 else -ctypes.get_errno()
    finally:
        os.close(handle)


def syncfs(descriptor: int) -> None:
    """Have the file system that a file is on write everything back, and wait for it: syncfs(2)."""
    if _libc.syncfs(descriptor) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "syncfs: " + os.strerror(error))


def prctl(option: int, argument: int) -> int:
    """Return 0 or the errno of prctl(2) with one argument."""
    result = _libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return 0 if result >= 0 else ctypes.get_errno()


def drop_capabilities() -> None:
    """Give every capability up for good, so that uid 0 is worth no more than any other uid.

    Called after the imports: without CAP_DAC_OVERRIDE even uid 0 could no longer read a virtual environment
    that lies in somebody's private home. ptrace's check compares permitted sets (cap_ptrace_access_check),
    so the victim has to do the same, or the reader would be refused for the wrong reason.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "capset: " + os.strerror(error))
