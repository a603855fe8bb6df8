"""``Secret``: sealed at rest, opened for a block; ``SecretLength``: its limits as a field of a pydantic model."""

from __future__ import annotations

from strongroom.secret.field import SecretLength
from strongroom.secret.sealing import rekey
from strongroom.secret.secret import Secret

__all__ = ["Secret", "SecretLength", "rekey"]
