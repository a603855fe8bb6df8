"""How much memory this process may lock, how much it has locked, and what to do when that is not enough."""

from __future__ import annotations

from strongroom._os import PLATFORM, procfs

__all__ = ["lock_limit", "locked_now", "remedies"]


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
        with open("/proc/self/uid_map", encoding="ascii") as file:
            is_initial = file.read().split() == _EVERY_UID
    except OSError:
        return False
    return is_initial and capabilities is not None and bool(int(capabilities, 16) >> _CAP_IPC_LOCK & 1)


def lock_limit() -> int | None:
    """Return how many bytes this process may lock, or ``None`` if there is no limit or the system does not say."""
    if _may_lock_anything():
        return None
    try:
        import resource  # Unix only

        soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    except (ImportError, AttributeError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def locked_now() -> int | None:
    """Return the bytes this process has locked, ours and others', or ``None`` if the system does not say."""
    try:
        kilobytes = procfs.read_status("VmLck")
    except OSError:
        return None
    return None if kilobytes is None else int(kilobytes.split()[0]) * 1024


def remedies(platform: str = PLATFORM) -> str:
    """Return what an operator can do to allow more locked memory, in sentences for the end of an error message."""
    if platform == "windows":
        return (
            "Raise the process's minimum working set (SetProcessWorkingSetSize), destroy buffers that are no longer "
            "needed, or keep secrets sealed with Secret, which needs no locked memory at rest."
        )
    return (
        "Destroy buffers that are no longer needed, or keep secrets sealed with Secret, which needs locked memory only "
        "while open. To raise the limit: 'ulimit -l' in the shell (hard limit: /etc/security/limits.conf, memlock), "
        "LimitMEMLOCK= in a systemd unit, '--ulimit memlock=' for docker run; Kubernetes has no field for it: set it "
        "in the node's container runtime, or grant the capability IPC_LOCK."
    )
