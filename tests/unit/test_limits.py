"""How much may be locked, and how a process raises that itself."""

import pytest

from strongroom import SystemCallError, _native
from strongroom._os import limits, procfs

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


def test_a_refused_raise_is_an_error_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python makes a ValueError without a code of some refusals; the caller gets one kind of error for all."""
    resource = pytest.importorskip("resource", reason="needs a Unix: Windows has no such limits")

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (65536, 131072))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(SystemCallError, match="RLIMIT_MEMLOCK") as caught:
        limits.raise_lock_limit()
    assert caught.value.call == "setrlimit"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((204_800, 1_413_120), (1_413_120 - 65_536, 1_413_120)),  # Windows' defaults
        ((131_072, 131_072), None),  # what Wine says
        ((1_400_000, 1_413_120), None),  # near enough
    ],
)
def test_on_windows_the_minimum_goes_up_to_the_maximum(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int] | None
) -> None:
    """There the minimum working set is what bounds locking; the maximum stays, and nothing is ever lowered."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(limits, "resource", None)
    monkeypatch.setattr(_native, "working_set", lambda: before)
    monkeypatch.setattr(_native, "set_working_set", lambda *sizes: asked.append(sizes))
    limits.raise_lock_limit()
    assert asked == ([] if after is None else [after])
