"""What no fork may fall into the middle of: loading the libraries that have ciphers, and their first use.

A child forked while another thread imports waits for ever when it needs the same module; libsodium's first call takes a
mutex, and the first calls of ``cryptography`` fill places that whoever else calls waits for. A child has nobody who
would ever finish. So forks wait, for the same lock that keeps keys from being drawn while one hands keys over.
"""

from __future__ import annotations

import os
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["forks_wait", "have_forks_wait", "load_once"]

#: Held by each thread that forks, from before its fork until after it; and by whom forks are to wait for. It is the
#: only one: with two, a thread that forks could hold the one that another wants, and wait for the one that it has.
forks_wait = RLock()
_do_forks_wait = False
_loaded: dict[Callable[[], Any], Any] = {}


def have_forks_wait(*, again: bool = False) -> None:
    """Have forks wait from now on; with ``again``, before they run any hook that is registered so far.

    The lock's own methods are the hooks: a signal handler that raises (Ctrl-C) does so where Python code begins, and
    another thread's next fork would wait for a lock that was never given back.
    """
    global _do_forks_wait
    if hasattr(os, "register_at_fork") and (again or not _do_forks_wait):  # more than once is no harm: it counts
        os.register_at_fork(
            before=forks_wait.acquire, after_in_parent=forks_wait.release, after_in_child=forks_wait.release
        )
        _do_forks_wait = True


def load_once(load: Callable[[], Any]) -> Any:
    """Return what ``load()`` returned the first time; nothing is remembered of a time when it raised."""
    if load not in _loaded:
        have_forks_wait()
        with forks_wait:
            if load not in _loaded:
                _loaded[load] = load()
    return _loaded[load]
