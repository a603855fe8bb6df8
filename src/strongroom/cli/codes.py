"""Exit codes that mean the same in every sub-command and are not its own."""

from __future__ import annotations

OWN_ERROR = 4
