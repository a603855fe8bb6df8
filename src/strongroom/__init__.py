"""Keep secrets in memory that stays out of swap, core dumps, children, other processes and freed heap.

    exceptions, guarantees      the errors, and the words for what memory promises
    policy                      what must hold, and what happens when it cannot
    _native, _os                plain C under one Cython file; text and policy per operating system
    vm                          Windows' virtual memory model on every system
    buffers                     LockedBuffer: one secret in locked memory; configure(): the policy of a process;
                                VolatileBuffer, FileBuffer: where nothing can be locked
    secret                      Secret: sealed at rest, opened for a block
    process                     harden(): what the process does when it is about to end
    prove, report, cli          the proof on the user's own machine; they use the names below and those of vm

Importing this changes nothing in the process: no lock, no limit, no handler, until the first buffer is made.
"""

from __future__ import annotations

from strongroom import _main_only  # noqa: F401, first: what comes next is loaded once for all interpreters
from strongroom._native import Access, View
from strongroom.buffers import FileBuffer, LockedBuffer, VolatileBuffer, configure, purge, stats
from strongroom.exceptions import (
    AccessError,
    ContentsLostError,
    DestroyedError,
    ForkedError,
    LockLimitError,
    PurgedError,
    SealBrokenError,
    SecuredError,
    SettledError,
    StrongroomError,
    StrongroomWarning,
    SystemCallError,
    UnsupportedError,
    Win32Error,
)
from strongroom.guarantees import Evidence, Guarantees
from strongroom.policy import Policy
from strongroom.process import harden
from strongroom.secret import Secret, SecretLength, rekey

__all__ = [
    "Access",
    "AccessError",
    "ContentsLostError",
    "DestroyedError",
    "Evidence",
    "FileBuffer",
    "ForkedError",
    "Guarantees",
    "LockLimitError",
    "LockedBuffer",
    "Policy",
    "PurgedError",
    "SealBrokenError",
    "Secret",
    "SecretLength",
    "SecuredError",
    "SettledError",
    "StrongroomError",
    "StrongroomWarning",
    "SystemCallError",
    "UnsupportedError",
    "View",
    "VolatileBuffer",
    "Win32Error",
    "__version__",
    "configure",
    "harden",
    "purge",
    "rekey",
    "stats",
]

__version__ = "0.1.0"
