"""Errors as Windows has them: its own codes, in its own words."""

import pickle
import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

from strongroom import LockedBuffer, LockLimitError, SystemCallError
from strongroom._os import limits, procfs
from strongroom.buffers import evidence

ERROR_INVALID_PARAMETER, ERROR_WORKING_SET_QUOTA = 87, 1453


def test_a_refused_call_has_its_code_and_windows_words() -> None:
    """``winerror`` is GetLastError's value, ``errno`` what Python derives from it, and the message says the words."""
    error = SystemCallError("VirtualProtect", ERROR_INVALID_PARAMETER, "Try less.")
    assert (error.winerror, error.code) == (ERROR_INVALID_PARAMETER, ERROR_INVALID_PARAMETER)
    assert error.errno == OSError(0, "", None, ERROR_INVALID_PARAMETER).errno
    assert "parameter" in str(error)
    assert "error 87" in str(error)
    assert str(error).endswith("Try less.")
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.winerror) == (str(error), error.winerror)


def test_a_reservation_that_does_not_fit_names_virtualalloc() -> None:
    """More than the address space: the call with its flag, and its code."""
    with pytest.raises(SystemCallError) as caught:
        LockedBuffer(1 << 50)
    assert caught.value.call == "VirtualAlloc(MEM_RESERVE)"
    assert caught.value.winerror == caught.value.code > 0


def test_evidence_has_windows_words() -> None:
    """What guarantees() says of a refused lock is Windows' message for the code, not the C library's."""
    steps: evidence.Steps = dict.fromkeys(("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE", "LOCK"))
    found = evidence.judge_steps({**steps, "LOCK": ("VirtualLock", ERROR_INVALID_PARAMETER)}, False, 1.0)
    assert "parameter" in found["LOCKED"].source


def test_the_lock_limit_error_does_not_read_somebody_elses_proc() -> None:
    """A folder ``\\proc`` on the current drive is anybody's (under Wine: its server's): nothing is read there."""
    with pytest.raises(FileNotFoundError):
        procfs.read_status("VmLck")
    assert (limits.lock_limit(), limits.locked_now()) == (None, None)
    error = LockLimitError("VirtualLock", ERROR_WORKING_SET_QUOTA, 4096, None, None, limits.remedies())
    assert "SetProcessWorkingSetSize" in str(error)
    assert error.winerror == ERROR_WORKING_SET_QUOTA
