"""The process around the secrets: what it does when it is about to end."""

from __future__ import annotations

from strongroom.process.harden import FAULT_SIGNALS, TERMINATION_SIGNALS, harden

__all__ = ["FAULT_SIGNALS", "TERMINATION_SIGNALS", "harden"]
