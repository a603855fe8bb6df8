"""Limits: what the system will keep in RAM, what happens beyond it, and that we say what the system says."""

import pytest

import observed
import vanishing
from children import succeed
from pages import needs_proc
from strongroom import UnsupportedError, vm

resource = pytest.importorskip("resource", reason="needs a Unix: its lock limit")
pytestmark = needs_proc


def test_over_the_limit_nothing_is_locked() -> None:
    """64 KiB and no privilege: what fits is locked; what does not raises LockLimitError and leaves no lock behind."""
    succeed("""
        from strongroom import vm
        from pages import PAGE, locked
        children.limit_locks(64 * 1024)
        room = 64 * 1024 // PAGE
        region = vm.allocate(2 * room * PAGE)
        try:
            region.lock()
        except LockLimitError as error:
            assert (2 * room * PAGE, 64 * 1024, "mlock") == (error.requested, error.limit, error.call), vars(error)
            assert "ulimit -l" in error.remedies
        else:
            raise SystemExit("no error")
        assert [] == locked(region)
        assert 0 == vm.lock_limit().locked_now
        region.lock(0, room * PAGE)
        region.lock(0, room * PAGE)      # counted, not charged twice
        before = locked(region)
        assert list(range(room)) == before
        for offset in (room * PAGE, (room - 1) * PAGE):
            try:
                region.lock(offset, 2 * PAGE)
            except LockLimitError as error:
                assert 64 * 1024 == error.locked_now
            else:
                raise SystemExit("no error")
            assert before == locked(region)
        region.unlock(0, room * PAGE)
        assert before == locked(region)
        region.unlock(0, room * PAGE)
        assert [] == locked(region)
        region.lock(room * PAGE, room * PAGE)
        assert vm.LockLimit(64 * 1024, vm.lock_limit().hard, 64 * 1024) == vm.lock_limit()
    """)


def test_without_any_limit_left_the_error_says_so() -> None:
    """A limit of zero refuses the first page (EPERM) as a LockLimitError too."""
    succeed("""
        from strongroom import vm
        children.limit_locks(0)
        assert 0 == vm.lock_limit().limit
        region = vm.allocate(1)
        try:
            region.lock()
        except LockLimitError as error:
            assert 0 == error.limit
        else:
            raise SystemExit("no error")
        region.write(0, b"1337")
    """)


def test_the_lock_limit_is_the_systems() -> None:
    """Soft and hard RLIMIT_MEMLOCK, none with the privilege; what is locked is VmLck."""

    import observed

    assert observed.status_size("VmLck") == vm.lock_limit().locked_now
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    told = vm.lock_limit()
    assert told.limit in (None, soft)
    assert told.hard in (None, hard)
    succeed("""
        from strongroom import vm
        children.limit_locks(32 * 1024)
        soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        assert (soft, None if hard == resource.RLIM_INFINITY else hard, 0) == vm.lock_limit(), vm.lock_limit()
    """)


def test_the_working_set_is_the_systems() -> None:
    """What is resident is VmRSS, and grows with what is touched; a minimum and a maximum only Windows has.

    On one CPU: Linux 6.2 to 6.16 leaves out what each has counted but not yet handed over, up to 32 pages or two for
    each CPU there is.
    """
    with vanishing.one_cpu(), vm.allocate(1 << 24) as region:
        before = vm.working_set()
        region.fill(0, None, 1)
        after = vm.working_set()
        assert before.resident is not None
        assert after.resident is not None
        assert after.resident - before.resident >= (1 << 24) - (1 << 20)
        assert abs(after.resident - observed.status_size("VmRSS")) < 1 << 20
    assert after[:2] == (None, None)
    with pytest.raises(UnsupportedError, match="ulimit -l"):
        vm.set_working_set(1 << 20, 1 << 21)
    with pytest.raises(ValueError, match="-1"):
        vm.set_working_set(-1, 1)
