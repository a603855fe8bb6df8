"""What this machine and this process may do with memory: page sizes, the working set, the lock limit."""

from __future__ import annotations

from collections import namedtuple

from strongroom import _native
from strongroom._os import limits
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError, UnsupportedError

__all__ = ["LockLimit", "WorkingSet", "large_page_size", "lock_limit", "set_working_set", "working_set"]


class WorkingSet(namedtuple("_WorkingSet", "minimum maximum resident")):
    """What of this process is, and may be, in RAM; all in bytes.

    Attributes: ``minimum`` and ``maximum``, what the system keeps for it and allows it, ``None`` where there is no such
    thing; ``resident``, what is in RAM now, ``None`` if the system does not say.

    Version added: 0.1.
    """

    __slots__ = ()
    minimum: int | None
    maximum: int | None
    resident: int | None


class LockLimit(namedtuple("_LockLimit", "limit hard locked_now")):
    """How much memory this process may keep in RAM, in bytes.

    Attributes: ``limit``, ``None`` if nothing limits it or the system does not say; ``hard``, how far the process may
    raise that itself; ``locked_now``, what it has locked, by whomever, ``None`` if the system does not say.

    Version added: 0.1.
    """

    __slots__ = ()
    limit: int | None
    hard: int | None
    locked_now: int | None


def large_page_size() -> int:
    """Tell how large a large page is.

    Returns:
        Bytes; 0 if this system has none or does not say. It raises nothing.

    Source: Hugepagesize in proc_meminfo(5); GetLargePageMinimum.

    Version added: 0.1.
    """
    return _native.large_page_size()


def working_set() -> WorkingSet:
    """Tell what of this process is, and may be, in RAM.

    Returns:
        The minimum, the maximum and what is resident, in bytes.

    Raises:
        SystemCallError: The system does not tell.

    Platform notes: only Windows has a minimum and a maximum. On Linux a control group or RLIMIT_AS may limit a process,
    which is not the same.

    Source: GetProcessWorkingSetSize; VmRSS in proc_pid_status(5).

    Version added: 0.1.
    """
    minimum: int | None = None
    maximum: int | None = None
    try:
        minimum, maximum = _native.working_set()
    except SystemCallError as error:
        if error.code != NO_SUCH_CALL:
            raise
    return WorkingSet(minimum, maximum, limits.resident_now())


def set_working_set(minimum: int, maximum: int) -> None:
    """Change how much of this process the system keeps in RAM, and how much it allows.

    Args:
        minimum: Bytes; about what can be locked at a time.
        maximum: Bytes.

    Raises:
        ValueError, TypeError: No numbers of bytes.
        UnsupportedError: This system has no such thing; on Linux, ``ulimit -l`` bounds what can be locked.
        SystemCallError: The system refused, for want of privilege or of memory.

    Platform notes: Windows. ``lock`` raises the minimum by itself when it has to.

    Source: SetProcessWorkingSetSize.

    Version added: 0.1.
    """
    try:
        _native.set_working_set(minimum, maximum)
    except SystemCallError as error:
        if error.code == NO_SUCH_CALL:
            raise UnsupportedError(
                "only Windows has a working set that can be set; here RLIMIT_MEMLOCK (ulimit -l) bounds what can be "
                "locked, and nothing else is promised to stay in RAM"
            ) from None
        raise


def lock_limit() -> LockLimit:
    """Tell how much memory this process may lock, and how much it has.

    Returns:
        The limit, how far it may be raised by the process itself, and what is locked now, in bytes.

    Raises:
        SystemCallError: The system does not tell (Windows).

    Platform notes: on Linux the soft and the hard RLIMIT_MEMLOCK, none with CAP_IPC_LOCK. On Windows the minimum
    working set, which ``lock`` raises when it has to; what is locked is not told.

    Source: getrlimit(2), VmLck in proc_pid_status(5); VirtualLock.

    Version added: 0.1.
    """
    minimum = working_set().minimum
    if minimum is not None:
        return LockLimit(minimum, None, None)
    return LockLimit(limits.lock_limit(), limits.hard_lock_limit(), limits.locked_now())
