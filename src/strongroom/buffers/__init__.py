"""Memory that holds plaintext: buffers over the native blocks, the plan for each, and what is known of it.

Importing this package tells the native layer whom to ask about backings, limits and keepers.
"""

from __future__ import annotations

from strongroom import _native
from strongroom._native import FileBuffer, LockedBuffer, VolatileBuffer
from strongroom.buffers import host
from strongroom.buffers.lifecycle import purge, stats
from strongroom.buffers.settings import configure

__all__ = ["FileBuffer", "LockedBuffer", "VolatileBuffer", "configure", "purge", "stats"]

_native.install_host(host)
