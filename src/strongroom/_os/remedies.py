"""What an operator can do to allow more locked memory: the remedy for where this process runs first, then the others.

Where that is, the process can only guess, from what service managers and container engines leave lying about: an
environment variable, a file, the name of a control group. A wrong guess costs one sentence too many, since the other
remedies follow.
"""

from __future__ import annotations

import os

from strongroom._os import PLATFORM

__all__ = ["Surroundings", "advise", "look", "place_of"]

#: Files that container engines put into each container.
_DOCKER_FILE, _PODMAN_FILE = "/.dockerenv", "/run/.containerenv"

_SEALED = (
    "Destroy buffers that are no longer needed, or keep secrets sealed with Secret, which needs locked memory only "
    "while open."
)
_WINDOWS = (
    "Raise the process's minimum working set: configure(raise_lock_limit=True), or vm.set_working_set "
    "(SetProcessWorkingSetSize). Destroy buffers that are no longer needed, or keep secrets sealed with Secret, which "
    "needs no locked memory at rest."
)
#: For each place: the whole remedy, and what is left of it where another place is the likely one.
_LINUX = {
    "kubernetes": (
        "This looks like a Kubernetes pod, which has no field for it: raise the limit in the node's container runtime "
        "(LimitMEMLOCK= of containerd.service, default_ulimits of CRI-O), or add the capability IPC_LOCK in "
        "securityContext.capabilities, which reaches containers that run as root.",
        "in Kubernetes the node's container runtime, or the capability IPC_LOCK",
    ),
    "docker": (
        "This looks like a Docker container: start it with 'docker run --ulimit memlock=BYTES:BYTES' (compose: "
        "ulimits, memlock), or as root with --cap-add IPC_LOCK.",
        "'docker run --ulimit memlock=BYTES:BYTES'",
    ),
    "podman": (
        "This looks like a Podman container: start it with 'podman run --ulimit memlock=BYTES:BYTES', without root at "
        "most the hard limit of the user who starts it.",
        "",
    ),
    "systemd": (
        "This looks like {unit}: set LimitMEMLOCK=BYTES in its [Service] section ('systemctl {edit}') and restart it.",
        "LimitMEMLOCK= in a systemd unit",
    ),
    "shell": (
        "'ulimit -l KIBIBYTES' in the shell that starts this process raises it, beyond the hard limit "
        "/etc/security/limits.conf (memlock, in KiB) and a new login.",
        "'ulimit -l' in a shell (hard limit: limits.conf)",
    ),
}
_OTHER_UNIX = {
    "darwin": (
        "'ulimit -l KIBIBYTES' in the shell that starts this process raises it; for a launchd job, MemoryLock in "
        "SoftResourceLimits and HardResourceLimits of its property list."
    ),
}
_BSD = (
    "'ulimit -l KIBIBYTES' in the shell that starts this process raises it, beyond the hard limit memorylocked in "
    "/etc/login.conf and a new login."
)


class Surroundings:
    """What a process can see of where it runs.

    Args:
        platform: As ``_os.PLATFORM``.
        soft: The soft limit in bytes, ``None`` for none.
        hard: The hard limit in bytes, ``None`` for none.
        variables: Of the environment, INVOCATION_ID (systemd.exec(5)) and KUBERNETES_SERVICE_HOST.
        cgroup: ``/proc/self/cgroup``, empty if it cannot be read; cgroups(7).
        files: Which of ``/.dockerenv`` and ``/run/.containerenv`` exist.
    """

    __slots__ = ("cgroup", "files", "hard", "platform", "soft", "variables")

    def __init__(
        self,
        platform: str,
        soft: int | None,
        hard: int | None,
        variables: frozenset[str] = frozenset(),
        cgroup: str = "",
        files: frozenset[str] = frozenset(),
    ) -> None:
        self.platform = platform
        self.soft = soft
        self.hard = hard
        self.variables = variables
        self.cgroup = cgroup
        self.files = files


def look(soft: int | None, hard: int | None) -> Surroundings:
    """Look around. What cannot be seen is not there; nothing here may hide the error that is being made."""
    if PLATFORM != "linux":
        return Surroundings(PLATFORM, soft, hard)
    variables = frozenset({"INVOCATION_ID", "KUBERNETES_SERVICE_HOST"} & os.environ.keys())
    files = frozenset(path for path in (_DOCKER_FILE, _PODMAN_FILE) if os.path.exists(path))
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            cgroup = file.read()
    except OSError:
        cgroup = ""
    return Surroundings(PLATFORM, soft, hard, variables, cgroup, files)


def _unit(cgroup: str) -> tuple[str, bool]:
    """The systemd service that a process belongs to, and whether it is a user's own; empty if it is none.

    The nearest unit counts: a login's shell is in a scope, though below the service user@1000.
    """
    for line in cgroup.splitlines():
        _number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        if controllers not in ("", "name=systemd"):  # cgroup v2, or v1's hierarchy that is systemd's own
            continue
        parts = path.split("/")
        for part in reversed(parts):
            if part.endswith(".scope") or part.startswith("user@"):
                break
            if part.endswith(".service"):
                return part, any(other.startswith("user@") for other in parts)
    return "", False


def place_of(facts: Surroundings) -> str:
    """Guess where a Linux process runs: ``kubernetes``, ``docker``, ``podman``, ``systemd`` or ``shell``.

    The innermost first: a pod's container has an engine's traces too, and the engine is a systemd service.
    """
    if "KUBERNETES_SERVICE_HOST" in facts.variables or "kubepods" in facts.cgroup:
        return "kubernetes"
    if _DOCKER_FILE in facts.files or "/docker/" in facts.cgroup or "/docker-" in facts.cgroup:
        return "docker"
    if _PODMAN_FILE in facts.files or "/libpod-" in facts.cgroup:
        return "podman"
    is_telling = any(line.endswith((".scope", ".service")) for line in facts.cgroup.splitlines())
    if _unit(facts.cgroup)[0] or ("INVOCATION_ID" in facts.variables and not is_telling):
        return "systemd"  # the variable alone may be inherited: the terminals of a desktop have it
    return "shell"


def advise(facts: Surroundings) -> str:
    """Return what to do, in sentences for the end of an error message."""
    if facts.platform == "windows":
        return _WINDOWS
    sentences = []
    if facts.soft is not None and (facts.hard is None or facts.hard > facts.soft):
        top = "any size" if facts.hard is None else f"{facts.hard:,} bytes"
        sentences.append(
            f"This process may raise its own limit from {facts.soft:,} bytes to {top}: "
            "strongroom.configure(raise_lock_limit=True)."
        )
    if facts.platform != "linux":
        return " ".join([*sentences, _OTHER_UNIX.get(facts.platform, _BSD), _SEALED])
    place = place_of(facts)
    unit, is_users = _unit(facts.cgroup)
    edit = f"edit {unit or 'NAME'}"
    sentences.append(
        _LINUX[place][0].format(
            unit=f"the systemd unit {unit}" if unit else "a systemd unit", edit=f"--user {edit}" if is_users else edit
        )
    )
    others = [brief for name, (_whole, brief) in _LINUX.items() if brief and name != place]
    return " ".join([*sentences, _SEALED, f"Elsewhere: {'; '.join(reversed(others))}."])
