"""Loading the libraries that have ciphers, without a fork in the middle of it.

A child forked while another thread imports waits for ever when it needs the same module, and libsodium's first call
takes a mutex. So that is done once for each library, and forks wait until it is done.
"""

from __future__ import annotations

import os
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["load_once"]

_loaded: dict[Callable[[], Any], Any] = {}
_loading = RLock()
_do_forks_wait = False


def load_once(load: Callable[[], Any]) -> Any:
    """Return what ``load()`` returned the first time; nothing is remembered of a time when it raised."""
    global _do_forks_wait
    if load not in _loaded:
        if not _do_forks_wait:  # two threads at once have them wait twice, which an RLock allows
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release
                )
            _do_forks_wait = True
        with _loading:
            if load not in _loaded:
                _loaded[load] = load()
    return _loaded[load]
