"""What must hold before memory is handed out, and what happens when it cannot."""

from __future__ import annotations

from strongroom import guarantees

TYPE_CHECKING = False  # as typing's, without importing it
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Policy"]

_ON_SHORTFALL = ("raise", "warn", "allow")


class Policy:
    """Say which guarantees a buffer must have, and what to do when the system refuses one.

    Args:
        require: Names of guarantees, for example ``{"LOCKED", "NO_DUMP"}``. ``None`` stands for what this kind of
            memory gives by default on this system; see the platform notes.
        on_shortfall: ``"raise"`` (no buffer is made), ``"warn"`` (it is made, with a ``StrongroomWarning``) or
            ``"allow"`` (it is made, silently). What was refused shows in ``guarantees()`` in each case.

    Raises:
        ValueError: An unknown guarantee, one string instead of a set of them, or an unknown word for ``on_shortfall``.
        TypeError: ``require`` cannot be iterated over.

    Platform notes: by default Linux requires LOCKED, NO_DUMP and NOT_IN_CHILD; macOS and BSD LOCKED and NOT_IN_CHILD;
    Windows LOCKED. Making a policy asks the system nothing: what it cannot give shows when a buffer is made.

    Does not protect against: a guarantee that the system withdraws later (a debugger calling ``munlock``). Ask
    ``guarantees()`` again when that matters.

    Version added: 0.1.
    """

    __slots__ = ("_on_shortfall", "_require")

    def __init__(self, *, require: Iterable[str] | None = None, on_shortfall: str = "raise") -> None:
        if isinstance(require, str):
            raise ValueError(f"require must be a set of guarantee names such as {{{require!r}}}, not one string")
        names = None if require is None else frozenset(require)
        unknown = sorted((names or frozenset()) - set(guarantees.ALL))
        if unknown:
            raise ValueError(f"unknown guarantee {unknown[0]!r}; known are {', '.join(guarantees.ALL)}")
        if on_shortfall not in _ON_SHORTFALL:
            raise ValueError(f"on_shortfall must be one of {', '.join(_ON_SHORTFALL)}, not {on_shortfall!r}")
        self._require = names
        self._on_shortfall = on_shortfall

    @property
    def require(self) -> frozenset[str] | None:
        """The names that must hold, or ``None`` for the default of the kind.

        Version added: 0.1.
        """
        return self._require

    @property
    def on_shortfall(self) -> str:
        """What happens when one cannot be had: ``"raise"``, ``"warn"`` or ``"allow"``.

        Version added: 0.1.
        """
        return self._on_shortfall

    def __repr__(self) -> str:
        require = None if self._require is None else sorted(self._require)
        return f"Policy(require={require!r}, on_shortfall={self._on_shortfall!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return (self._require, self._on_shortfall) == (other._require, other._on_shortfall)

    def __hash__(self) -> int:
        return hash((self._require, self._on_shortfall))
