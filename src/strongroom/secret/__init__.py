"""``Secret``: sealed at rest, opened for a block."""

from __future__ import annotations

from strongroom.secret.sealing import rekey
from strongroom.secret.secret import Secret

__all__ = ["Secret", "rekey"]
