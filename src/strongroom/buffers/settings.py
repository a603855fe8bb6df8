"""What holds for every buffer and secret whose maker names no policy: set once, and then it stays.

Three may have a say. The program calls ``configure(policy=...)``, whoever runs it sets ``STRONGROOM_POLICY``, and a
single call names a policy of its own. The call wins: its code was written around what it names. Then the operator, who
knows the machine, and who changes only the fields that the variable names. Then the program.

What holds is settled by the first use, because memory that exists already cannot be made under other rules: buffers of
one process would differ by the accident of what was imported first.
"""

from __future__ import annotations

import os

from strongroom import _native
from strongroom._os import limits
from strongroom.exceptions import SettledError
from strongroom.policy import PLAIN, Policy, overridden, parse

__all__ = ["VARIABLE", "configure", "default", "has_no_fallback"]

#: The operator's environment variable.
VARIABLE = "STRONGROOM_POLICY"

#: Holds, under "policy", who came first: configure(), or the first use with nothing configured. A dict because
#: setdefault is one step for all threads, and needs no lock that a fork in another thread could leave held in a child.
_first: dict[str, list[Policy]] = {}
_settled: Policy | None = None
_has_no_fallback = False


def default() -> Policy:
    """Return what holds where a call names no policy; from the first time on it stays.

    Raises:
        ValueError: The operator's variable is malformed.
    """
    global _settled, _has_no_fallback
    if _settled is None:
        configured = _first.setdefault("policy", [PLAIN])[0]
        # Two threads may both come here: they compute the same, and the variable is read while nobody uses buffers yet.
        fields = parse(os.environ.get(VARIABLE, ""), VARIABLE)
        _has_no_fallback = fields.get("fallback") == ()
        try:
            _settled = overridden(configured, fields)
        except ValueError as error:  # each word is right, and together, or with the program's, they are not
            raise ValueError(f"{VARIABLE}: {error}") from None
    return _settled


def has_no_fallback() -> bool:
    """Return whether the operator wants nothing to stand in where a call names no policy."""
    default()
    return _has_no_fallback


def configure(*, policy: Policy | None = None, raise_lock_limit: bool = False) -> None:
    """Set what holds for the whole process, before the first buffer or secret is made.

    Args:
        policy: For every buffer and secret whose call names no policy. Of the operator's ``STRONGROOM_POLICY`` the
            fields that it names come before it. ``None`` leaves it as it is.
        raise_lock_limit: Also raise how much memory this process may lock, as far as it may do that itself; at any
            time, as often as you like. ``strongroom.vm.lock_limit()`` shows the result. Programs that this one starts
            inherit it.

    Raises:
        SettledError: A policy is configured already, or a buffer or secret was asked for; nothing changes.
        SystemCallError: The system would not raise the limit. The policy holds.
        TypeError: An argument of another type.

    Platform notes: Unix raises the soft limit of RLIMIT_MEMLOCK to the hard one. Windows has no such pair: the minimum
    working set is raised to just below the maximum, whose default is 1.4 MB; ``vm.set_working_set`` raises both.

    Does not protect against: code of this process that makes a buffer with a weaker policy of its own.

    Source: setrlimit(2) RLIMIT_MEMLOCK; SetProcessWorkingSetSize on Windows.

    Version added: 0.1.
    """
    if policy is not None and not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy or None, not {type(policy).__name__}")
    wants_more = _native.checked_flag(raise_lock_limit, "raise_lock_limit")
    if policy is not None:
        mine = [policy]
        if _first.setdefault("policy", mine) is not mine:
            raise SettledError(
                "the policy of this process is settled: a buffer or secret was asked for, or configure(policy=...) was "
                "called before. Configure it once, at the start of the program, or name a policy in the call that "
                "needs another"
            )
    if wants_more:
        limits.raise_lock_limit()
