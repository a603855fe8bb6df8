"""How much may be locked, and the remedies that an error offers."""

import pytest

from strongroom._os import limits, procfs


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "netbsd", "openbsd"])
def test_unix_remedies(platform: str) -> None:
    """Shell, systemd, containers and what needs no lock at all are named."""
    text = limits.remedies(platform)
    for word in ("ulimit -l", "limits.conf", "LimitMEMLOCK", "docker", "Kubernetes", "IPC_LOCK", "Secret"):
        assert word in text


def test_windows_remedies() -> None:
    """There it is the minimum working set, and no Unix word helps."""
    text = limits.remedies("windows")
    assert "SetProcessWorkingSetSize" in text
    assert "ulimit" not in text


ALL_BUT_IPC_LOCK = f"{0x1FFFFFFFFFF & ~(1 << 14):016x}"


@pytest.mark.parametrize(
    ("capabilities", "soft", "limit"),
    [
        ("0000000000000000", 65536, 65536),
        (ALL_BUT_IPC_LOCK, 65536, 65536),
        (ALL_BUT_IPC_LOCK, None, None),
        ("0000000000004000", 65536, None),  # CAP_IPC_LOCK alone: the limit does not apply
        (None, 65536, 65536),
    ],
)
def test_the_limit_holds_unless_privileged(
    monkeypatch: pytest.MonkeyPatch, capabilities: str | None, soft: int | None, limit: int | None
) -> None:
    """The soft limit in bytes; None where there is none, or CAP_IPC_LOCK lifts it."""
    resource = pytest.importorskip("resource", reason="needs a Unix: Windows has no such limits")
    monkeypatch.setattr(procfs, "read_status", {"CapEff": capabilities}.get)
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (infinity if soft is None else soft, infinity))
    assert limits.lock_limit() == limit


def test_without_proc_the_locked_bytes_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing /proc must not hide the error that is being made."""

    def refuse(field: str) -> str:
        raise FileNotFoundError(field)

    monkeypatch.setattr(procfs, "read_status", refuse)
    assert limits.locked_now() is None
