"""Every error strongroom raises, in one tree.

Wrong arguments stay ``ValueError`` and ``TypeError``. A message says what failed, in which native call, with which
sizes, and what to try; it never holds a byte of a secret, nor the address of one.
"""

from __future__ import annotations

import os

__all__ = [
    "AccessError",
    "DestroyedError",
    "ForkedError",
    "LockLimitError",
    "PurgedError",
    "SealBrokenError",
    "StrongroomError",
    "StrongroomWarning",
    "SystemCallError",
    "UnsupportedError",
]

#: The code that stands for "this system has no such call" (``SR_UNSUPPORTED`` in the native contract).
NO_SUCH_CALL = -1


class StrongroomError(Exception):
    """The root of the tree."""


class StrongroomWarning(UserWarning):
    """A shortfall that ``Policy(on_shortfall="warn")`` allowed."""


class SystemCallError(StrongroomError, OSError):
    """The operating system refused a call.

    Args:
        call: The native call, for example ``"mlock"``.
        code: Its errno (Unix) or ``GetLastError`` value (Windows).
        advice: What to try, appended to the message.

    ``errno`` (and ``winerror`` on Windows) are set as on any ``OSError``; ``call`` names the call.
    """

    def __init__(self, call: str, code: int, advice: str = "") -> None:
        reason = "not available on this system" if code == NO_SUCH_CALL else os.strerror(code)
        text = f"{call}: {reason}" + (f". {advice}" if advice else "")
        if hasattr(self, "winerror"):  # Windows: the code is GetLastError's, and OSError finds the errno itself
            OSError.__init__(self, 0, text, None, code)
        else:
            OSError.__init__(self, code, text)
        self.call = call
        self.code = code
        self.advice = advice

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.call, self.code, self.advice)


class LockLimitError(SystemCallError):
    """The system will not keep more of this process's memory in RAM.

    Args:
        call: The native call that was refused.
        code: Its errno or ``GetLastError`` value.
        requested: Bytes that were to be locked, whole pages.
        limit: Bytes this process may lock, or ``None`` if the system does not say.
        locked_now: Bytes it has locked already, by whomever, or ``None`` if the system does not say.
        advice: Remedies for this system.
    """

    def __init__(
        self, call: str, code: int, requested: int, limit: int | None, locked_now: int | None, advice: str
    ) -> None:
        bound = "unknown" if limit is None else f"{limit:,} bytes"
        held = "an unknown part" if locked_now is None else f"{locked_now:,} bytes"
        text = f"Cannot lock {requested:,} more bytes: the limit is {bound}, of which {held} are locked. {advice}"
        super().__init__(call, code, text)
        self.requested = requested
        self.limit = limit
        self.locked_now = locked_now
        self.remedies = advice

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.call, self.code, self.requested, self.limit, self.locked_now, self.remedies)


class AccessError(StrongroomError):
    """Memory was touched in a way that its state or protection forbids, or outside the block that opened it."""


class DestroyedError(StrongroomError):
    """The object was destroyed: its memory is wiped and given back."""


class ForkedError(StrongroomError):
    """The object was made before a fork, and its memory is not in this child."""


class PurgedError(StrongroomError):
    """``strongroom.purge()`` wiped the object, perhaps while it was in use: discard what was computed from it."""


class SealBrokenError(StrongroomError):
    """A sealed secret is not what was sealed: its ciphertext in ordinary memory was changed."""


class UnsupportedError(StrongroomError, NotImplementedError):
    """This system, or this version of strongroom, cannot do what was asked."""
