"""The error tree: what each error is, what it carries, and that it survives a trip to another process."""

import copy
import errno
import pickle

import pytest

import needs
from strongroom import exceptions
from strongroom.exceptions import LockLimitError, StrongroomError, SystemCallError, UnsupportedError

LIMIT = LockLimitError("mlock", errno.ENOMEM, 8192, 65536, 61440, "Try 'ulimit -l'.", "Waited 2 seconds in vain.")
PLAIN = [
    exceptions.AccessError,
    exceptions.DestroyedError,
    exceptions.ForkedError,
    exceptions.PurgedError,
    exceptions.SealBrokenError,
    exceptions.SettledError,
    exceptions.UnsupportedError,
]


def test_one_tree() -> None:
    """Everything is a StrongroomError; the warning is not an error."""
    errors = {getattr(exceptions, name) for name in exceptions.__all__} - {exceptions.StrongroomWarning}
    assert all(issubclass(error, StrongroomError) for error in errors)
    assert issubclass(exceptions.StrongroomWarning, UserWarning)


def test_the_warning_names_both_that_give_it() -> None:
    """A shortfall that is allowed, and a fallback that serves: each with what forbids it."""
    words = exceptions.StrongroomWarning.__doc__ or ""
    for word in ('on_shortfall="warn"', "fallback", "guarantees()", "LOCKED"):
        assert word in words, word


@needs.unix
def test_system_call_errors_are_os_errors() -> None:
    """``except OSError`` and ``errno`` work, and the call is named."""
    error = SystemCallError("mprotect", errno.ENOMEM, "Close something.")
    assert isinstance(error, OSError)
    assert (error.errno, error.call, error.advice) == (errno.ENOMEM, "mprotect", "Close something.")
    assert str(error) == "mprotect: Cannot allocate memory. Close something."


def test_a_call_that_does_not_exist_is_said_to() -> None:
    """The code that stands for it is no errno, so strerror must not be asked."""
    assert str(SystemCallError("mseal", exceptions.NO_SUCH_CALL)) == "mseal: not available on this system"


def test_unsupported_is_not_implemented() -> None:
    """``except NotImplementedError`` works."""
    assert issubclass(UnsupportedError, NotImplementedError)


def test_the_lock_limit_error_says_the_numbers_and_the_remedy() -> None:
    """Request, limit and what is locked already, in the message and as attributes."""
    assert (LIMIT.requested, LIMIT.limit, LIMIT.locked_now) == (8192, 65536, 61440)
    for part in ("8,192", "65,536", "61,440", "mlock", "Try 'ulimit -l'."):
        assert part in str(LIMIT)


def test_unknown_numbers_are_said_to_be_unknown() -> None:
    """A system that does not tell is not invented for."""
    text = str(LockLimitError("VirtualLock", errno.ENOMEM, 4096, None, None, ""))
    assert "limit is unknown" in text
    assert "an unknown part" in text


@pytest.mark.parametrize("error", [LIMIT, SystemCallError("mmap", errno.EAGAIN, "Again.")])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_system_call_errors_survive_a_trip(error: SystemCallError, protocol: int) -> None:
    """Through pickle (a process pool) and copy they keep type, text and every attribute."""
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), vars(twin), twin.errno) == (str(error), vars(error), error.errno)


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_errors_survive_a_trip(kind: type[StrongroomError]) -> None:
    """The same for those that carry a sentence only."""
    twin = pickle.loads(pickle.dumps(kind("why")))
    assert (type(twin), str(twin)) == (kind, "why")
