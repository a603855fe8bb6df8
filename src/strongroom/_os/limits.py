"""How much memory this process may lock, how much it has locked, and what to do when that is not enough."""

from __future__ import annotations

from strongroom._os import PLATFORM, procfs

__all__ = ["lock_limit", "locked_now", "remedies"]


def lock_limit() -> int | None:
    """Return the soft limit on locked memory in bytes, or ``None`` if there is none or the system does not say."""
    try:
        import resource  # Unix only

        soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    except (ImportError, AttributeError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def locked_now() -> int | None:
    """Return the bytes this process has locked, ours and others', or ``None`` if the system does not say."""
    try:
        return procfs.read_status("VmLck")
    except OSError:
        return None


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
