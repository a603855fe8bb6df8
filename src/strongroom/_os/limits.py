"""How much memory this process may lock, how much it has locked, and what to do when that is not enough."""

from __future__ import annotations

import errno

from strongroom import _native
from strongroom._os import procfs
from strongroom._os import remedies as _remedies
from strongroom.exceptions import SystemCallError

try:
    # Now: by the time an error asks for it, the process may have given up the right to read Python's own files.
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["hard_lock_limit", "lock_limit", "locked_now", "raise_lock_limit", "remedies", "resident_now"]


#: The capability that lifts the limit; capabilities(7), include/uapi/linux/capability.h.
_CAP_IPC_LOCK = 14


#: All of the initial user namespace; user_namespaces(7).
_EVERY_UID = ["0", "0", "4294967295"]


def _may_lock_anything() -> bool:
    """Whether the limit does not bind. In a user namespace of its own a process has every capability and yet none that
    counts here: can_do_mlock() and user_shm_lock() in mm/ ask for the initial namespace's.
    """
    try:
        capabilities = procfs.read_status("CapEff")
        is_initial = procfs.read_uid_map().split() == _EVERY_UID
    except OSError:
        return False
    return is_initial and capabilities is not None and bool(int(capabilities, 16) >> _CAP_IPC_LOCK & 1)


def _memlock() -> tuple[int | None, int | None]:
    """The soft and the hard limit, ``None`` for no limit or none that the system knows."""
    if resource is None:
        return None, None
    both = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    soft, hard = (None if limit == resource.RLIM_INFINITY else limit for limit in both)
    return soft, hard


def lock_limit() -> int | None:
    """Return how many bytes this process may lock, or ``None`` if there is no limit or the system does not say."""
    return None if _may_lock_anything() else _memlock()[0]


def hard_lock_limit() -> int | None:
    """Return how far this process may raise that limit itself, or ``None`` as for ``lock_limit``."""
    return None if _may_lock_anything() else _memlock()[1]


def _status_bytes(field: str) -> int | None:
    try:
        kilobytes = procfs.read_status(field)
    except OSError:
        return None
    return None if kilobytes is None else int(kilobytes.split()[0]) * 1024


def locked_now() -> int | None:
    """Return the bytes this process has locked, ours and others', or ``None`` if the system does not say."""
    return _status_bytes("VmLck")


def resident_now() -> int | None:
    """Return the bytes of this process that are in RAM, or ``None`` if the system does not say."""
    return _status_bytes("VmRSS")


def raise_lock_limit() -> None:
    """Raise how much this process may lock as far as it may do that itself.

    Raises:
        SystemCallError: The system refused.
    """
    if resource is None:
        _raise_working_set()
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    except (OSError, ValueError) as error:  # Python makes a ValueError of EINVAL and EPERM, without the code
        code = getattr(error, "errno", None) or errno.EPERM
        raise SystemCallError("setrlimit", code, "The soft limit RLIMIT_MEMLOCK stays as it was.") from None


#: The maximum working set must exceed the minimum by more than this; the system wants at least 8 pages between them.
_WORKING_SET_GAP_SIZE = 64 << 10


def _raise_working_set() -> None:
    minimum, maximum = _native.working_set()
    if minimum < maximum - _WORKING_SET_GAP_SIZE:
        _native.set_working_set(maximum - _WORKING_SET_GAP_SIZE, maximum)


def remedies() -> str:
    """Return what an operator can do to allow more locked memory, in sentences for the end of an error message."""
    return _remedies.advise(_remedies.look(*_memlock()))
