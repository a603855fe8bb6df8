"""What must hold before memory is handed out, and what happens when it cannot."""

from __future__ import annotations

import os

from strongroom import guarantees

TYPE_CHECKING = False  # as typing's, without importing it
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["PLAIN", "Policy", "overridden", "parse"]

_ON_SHORTFALL = ("raise", "warn", "allow")
_VERIFY = ("first", "each")
_HIBERNATION = ("allow", "block")
_FALLBACK = ("volatile", "file")
_NO_FALLBACK = "none"  # in a line of text; nothing at all may be a variable that a script left empty


def _checked_word(value: str, words: tuple[str, ...], field: str) -> str:
    if value not in words:
        raise ValueError(f"{field} must be one of {', '.join(words)}, not {value!r}")
    return value


def _checked_names(require: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(require, str):
        raise ValueError(f"require must be a set of guarantee names such as {{{require!r}}}, not one string")
    if require is None:
        return None
    names = frozenset(require)
    for name in names:
        if name not in guarantees.ALL:
            raise ValueError(f"unknown guarantee {name!r}; known are {', '.join(guarantees.ALL)}")
    return names


def _checked_seconds(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"wait_seconds must be a number of seconds, not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:  # an int beyond every float
        seconds = float("inf")
    if not 0 <= seconds < float("inf"):  # nan compares to nothing
        raise ValueError(f"wait_seconds must be from 0 (do not wait) to a finite number of seconds, not {seconds}")
    return seconds


def _checked_fallback(value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, tuple | list):
        words = type(value).__name__
        raise TypeError(
            f"fallback must be a tuple of words in the order to try them, such as ('volatile',), not {words}"
        )
    for index, word in enumerate(value):
        if word not in _FALLBACK:
            raise ValueError(f"fallback knows {' and '.join(map(repr, _FALLBACK))}, not {word!r}")
        if word in value[:index]:
            raise ValueError(f"fallback names {word!r} twice")
    return tuple(value)


def _checked_directory(value: str | bytes | os.PathLike[str] | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"directory must be a path or None, not {type(value).__name__}")
    path = os.fsdecode(value)
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError(f"directory must be an absolute path, not {path!r}: it is used wherever the program is then")
    return path


class Policy:
    """Say which guarantees a buffer must have, and what to do when the system refuses one.

    Args:
        require: Names of guarantees, for example ``{"LOCKED", "NO_DUMP"}``. ``None`` stands for what this kind of
            memory gives by default on this system; see the platform notes. What is ``requested`` is enough: asked for
            and not refused, though it could not be read back, or has an exception that its evidence names.
        on_shortfall: ``"raise"`` (no buffer is made), ``"warn"`` (it is made, with a ``StrongroomWarning``) or
            ``"allow"`` (it is made, silently). What was refused shows in ``guarantees()`` in each case.
        wait_seconds: How long to wait at the lock limit for memory to be given back, in seconds, a finite number, not
            rounded; 0 does not wait. ``on_shortfall`` decides when the time is over.
        verify: How often what the system did is read back from it: ``"first"`` (for shared pages when they are made,
            and for the first buffer of each backing with pages of its own) or ``"each"`` (for every buffer, which costs
            about a millisecond, more with thousands of mappings).
        hibernation: ``"allow"`` (memory that keeps the machine from hibernating is only used where it cannot anyway, or
            by name) or ``"block"`` (where the machine may hibernate, secret memory of any size, which keeps it from
            doing so as long as it exists: this requires NEVER_WRITTEN).
        fallback: What may stand in for a ``LockedBuffer`` with ``backing="auto"`` where locking is refused, after
            waiting, in this order: ``"volatile"`` (memory that is never written out and may be dropped:
            ``ContentsLostError``), ``"file"`` (pages of a private file in ``directory``). Each one that does is told
            with a ``StrongroomWarning``, ``backing`` and ``guarantees()``. Empty: nothing does. Secrets and their key
            are never kept so.
        directory: An absolute path, for what a fallback keeps in files, and for partial pages of a ``VolatileBuffer``
            that names none. ``"file"`` needs it.

    Raises:
        ValueError: An unknown guarantee, one string instead of a set of them, an unknown word, or a time to wait that
            is negative or not finite; an unknown fallback, ``"file"`` without a directory, a relative one, or a
            fallback where LOCKED is required by name, which none gives.
        TypeError: ``require`` cannot be iterated over, ``wait_seconds`` is no number, ``fallback`` no tuple or list,
            ``directory`` no path.

    Platform notes: by default Linux requires LOCKED, NO_DUMP and NOT_IN_CHILD; macOS and BSD LOCKED and NOT_IN_CHILD;
    Windows LOCKED. Only Linux has secret memory: elsewhere ``hibernation="block"`` is a shortfall. Linux and Windows
    can be asked what they did; elsewhere ``verify`` changes nothing. Making a policy asks the system nothing: what it
    cannot give shows when a buffer is made.

    Does not protect against: a guarantee that the system withdraws later (a debugger calling ``munlock``). Ask
    ``guarantees()`` again when that matters. The exceptions of what is only ``requested``: a partial page may be
    written at the moment of its write-back, a droppable one by a hibernation, and NEVER_WRITTEN is met by both.

    Version added: 0.1.
    """

    __slots__ = ("_directory", "_fallback", "_hibernation", "_on_shortfall", "_require", "_verify", "_wait_seconds")

    def __init__(
        self,
        *,
        require: Iterable[str] | None = None,
        on_shortfall: str = "raise",
        wait_seconds: float = 0,
        verify: str = "first",
        hibernation: str = "allow",
        fallback: Sequence[str] = (),
        directory: str | bytes | os.PathLike[str] | None = None,
    ) -> None:
        self._require = _checked_names(require)
        self._on_shortfall = _checked_word(on_shortfall, _ON_SHORTFALL, "on_shortfall")
        self._wait_seconds = _checked_seconds(wait_seconds)
        self._verify = _checked_word(verify, _VERIFY, "verify")
        self._hibernation = _checked_word(hibernation, _HIBERNATION, "hibernation")
        self._fallback = _checked_fallback(fallback)
        self._directory = _checked_directory(directory)
        if "file" in self._fallback and self._directory is None:
            raise ValueError("fallback 'file' needs directory=, the place for its files")
        if self._fallback and self._require is not None and guarantees.LOCKED in self._require:
            raise ValueError("require names LOCKED, which no fallback gives: leave out the one or the other")

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

    @property
    def wait_seconds(self) -> float:
        """How long to wait at the lock limit, in seconds; 0 does not wait.

        Version added: 0.1.
        """
        return self._wait_seconds

    @property
    def verify(self) -> str:
        """How often the system is asked what it did: ``"first"`` or ``"each"``.

        Version added: 0.1.
        """
        return self._verify

    @property
    def hibernation(self) -> str:
        """Whether the machine's hibernation is left alone: ``"allow"`` or ``"block"``.

        Version added: 0.1.
        """
        return self._hibernation

    @property
    def fallback(self) -> tuple[str, ...]:
        """What may stand in where locking is refused, in this order; empty: nothing.

        Version added: 0.1.
        """
        return self._fallback

    @property
    def directory(self) -> str | None:
        """Where files of buffers that nothing locks go, or ``None``.

        Version added: 0.1.
        """
        return self._directory

    def _fields(self) -> dict[str, object]:
        """The arguments that make an equal policy, in their order."""
        return {
            "require": self._require,
            "on_shortfall": self._on_shortfall,
            "wait_seconds": self._wait_seconds,
            "verify": self._verify,
            "hibernation": self._hibernation,
            "fallback": self._fallback,
            "directory": self._directory,
        }

    def __repr__(self) -> str:
        fields = self._fields()
        fields["require"] = None if self._require is None else sorted(self._require)
        return f"Policy({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(tuple(self._fields().values()))


#: What holds when nobody says anything. By far the most common: whoever plans compares with ``is``.
PLAIN = Policy()

#: How each field is written in a line of text: ``require=LOCKED,NO_DUMP on_shortfall=warn wait_seconds=2``.
_FORMS = {
    "require": "NAME,NAME",
    "on_shortfall": "|".join(_ON_SHORTFALL),
    "wait_seconds": "SECONDS",
    "verify": "|".join(_VERIFY),
    "hibernation": "|".join(_HIBERNATION),
    "fallback": f"{_NO_FALLBACK}|{','.join(_FALLBACK)}",
    "directory": "/PATH",
}

#: Those that are checked for themselves when they are read, and make sense only together.
_TOGETHER = ("fallback", "directory")


def _parsed_fallback(value: str) -> tuple[str, ...]:
    if value == _NO_FALLBACK:
        return ()
    words = value.split(",")
    for word in words:
        if word not in _FALLBACK:
            wrong = value if word == _NO_FALLBACK else word
            known = " and ".join(map(repr, _FALLBACK))
            raise ValueError(f"fallback knows {known}, or {_NO_FALLBACK!r} alone, not {wrong!r}")
    return _checked_fallback(words)


def _parsed(field: str, value: str) -> object:
    if field == "require":
        if not value:  # a variable that a script left empty must not mean "nothing is required"
            raise ValueError("it names no guarantee; on_shortfall=allow goes without what cannot be had")
        return frozenset(value.split(","))
    if field == "wait_seconds":
        try:
            return float(value)
        except ValueError:
            raise ValueError("wait_seconds must be a number of seconds") from None
    if field == "fallback":
        return _parsed_fallback(value)
    return _checked_directory(value) if field == "directory" else value


def parse(text: str, source: str) -> dict[str, object]:
    """Return the fields that a line of text sets, as keyword arguments of :class:`Policy`.

    Args:
        text: Words of the form ``field=value`` with white space between them, so that no path has any.
        source: Where the text is from, for the error.

    Raises:
        ValueError: Names the source, the word that is wrong and every form there is.
    """
    known = " ".join(f"{field}={form}" for field, form in _FORMS.items())
    fields: dict[str, object] = {}
    for word in text.split():
        field, equals, value = word.partition("=")
        try:
            if not equals or field not in _FORMS:
                raise ValueError("there is no such field")
            if field in fields:
                raise ValueError("the field was set by an earlier word")
            fields[field] = _parsed(field, value)
            if field not in _TOGETHER:
                Policy(**{field: fields[field]})  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"{source}: cannot take {word!r}: {error}. Known: {known}") from None
    return fields


def overridden(policy: Policy, fields: dict[str, object]) -> Policy:
    """Return the policy with these fields put in the place of its own.

    Raises:
        ValueError: They make no sense together, or beside what stays of the policy; says then whose that is.
    """
    if not fields:
        return policy
    required = fields.get("require")
    requires_lock = isinstance(required, frozenset) and guarantees.LOCKED in required
    if requires_lock and policy.fallback and "fallback" not in fields:
        raise ValueError(
            "require names LOCKED, which no fallback gives, and the program's own policy has fallback="
            f"{','.join(policy.fallback)}: fallback={_NO_FALLBACK} beside it switches that off"
        )
    return Policy(**{**policy._fields(), **fields})  # type: ignore[arg-type]
