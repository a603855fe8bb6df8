"""The words for what a piece of memory promises, and the form its evidence takes. Pure: asks nobody.

A guarantee is one of ten promises. For each the system is asked, and afterwards it is asked what it did; the answer
is one of four words:

``verified``     read back from the operating system: its listing says so, or shows memory that has it by nature
``requested``    asked for and not refused, but not read back: there is no way to, or it was before a fork; or with an
                 exception, which ``source`` names
``unavailable``  this kind of memory, or this system, cannot give it
``refused``      asked for, and the system said no
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALL",
    "CLOSED_AT_REST",
    "FIXED_LAYOUT",
    "GUARDED",
    "LOCKED",
    "NEVER_WRITTEN",
    "NOT_IN_CHILD",
    "NO_DUMP",
    "NO_MERGE",
    "NO_MIGRATION",
    "REFUSED",
    "REQUESTED",
    "UNAVAILABLE",
    "UNREADABLE_BY_OTHERS",
    "VERIFIED",
    "Evidence",
    "Guarantees",
]

LOCKED = "LOCKED"  #: kept in RAM while the machine runs
NO_DUMP = "NO_DUMP"  #: left out of core dumps that the kernel writes
NOT_IN_CHILD = "NOT_IN_CHILD"  #: absent from processes made by fork
GUARDED = "GUARDED"  #: an inaccessible page on either side
CLOSED_AT_REST = "CLOSED_AT_REST"  #: inaccessible to this process too, except while open
UNREADABLE_BY_OTHERS = "UNREADABLE_BY_OTHERS"  #: the kernel itself refuses other processes' reads, root's included
NO_MIGRATION = "NO_MIGRATION"  #: never moved to another frame, leaving the old one behind unwiped
NO_MERGE = "NO_MERGE"  #: never deduplicated against pages of other processes
FIXED_LAYOUT = "FIXED_LAYOUT"  #: the mapping cannot be changed or removed any more
NEVER_WRITTEN = "NEVER_WRITTEN"  #: contents never reach storage: swap, hibernation image or file

#: Every guarantee, in the order in which they are shown.
ALL = (
    LOCKED,
    NO_DUMP,
    NOT_IN_CHILD,
    GUARDED,
    CLOSED_AT_REST,
    UNREADABLE_BY_OTHERS,
    NO_MIGRATION,
    NO_MERGE,
    FIXED_LAYOUT,
    NEVER_WRITTEN,
)

VERIFIED = "verified"
REQUESTED = "requested"
UNAVAILABLE = "unavailable"
REFUSED = "refused"


class Evidence:
    """What is known about one guarantee of one piece of memory.

    Args:
        state: ``verified``, ``requested``, ``unavailable`` or ``refused``.
        source: Where that was read, or which call said it, in words for a log.
        time: When, in seconds since the epoch, not rounded.
        is_current: Asked whenever ``state`` or ``source`` is read: whether what was read back then can still be taken
            for the truth. ``None``: always.

    Attributes: ``state``, ``source`` and ``time``, as above; what was ``verified`` is ``requested`` from the moment on
    when it is no longer current, and ``source`` says so. Two are equal if they say the same now.

    Platform notes: what ``guarantees()`` returns is current until this process forks, and never in a child.

    Does not protect against: change. It tells of that time; the system may have been told otherwise since.

    Version added: 0.1.
    """

    __slots__ = ("_is_current", "_source", "_state", "time")

    def __init__(self, state: str, source: str, time: float, is_current: Callable[[], bool] | None = None) -> None:
        self._state = state
        self._source = source
        self.time = time
        self._is_current = is_current

    def _is_outdated(self) -> bool:
        return self._state == VERIFIED and self._is_current is not None and not self._is_current()

    @property
    def state(self) -> str:
        """The word for it. Version added: 0.1."""
        return REQUESTED if self._is_outdated() else self._state

    @property
    def source(self) -> str:
        """Where that was read. Version added: 0.1."""
        return f"read back before a fork, ask again ({self._source})" if self._is_outdated() else self._source

    def __repr__(self) -> str:
        return f"Evidence({self.state!r}, {self.source!r}, {self.time!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return (self.state, self.source, self.time) == (other.state, other.source, other.time)

    def __hash__(self) -> int:
        return hash(self.time)  # what stays the same


class Guarantees(dict[str, Evidence]):
    """Hold a snapshot: the name of each guarantee and its evidence. ``str()`` of it is a table for people.

    A ``dict`` from the names in ``strongroom.guarantees.ALL`` to :class:`~strongroom.Evidence`, in that order.

    Raises:
        KeyError: It was asked for a name that is not one of a guarantee.

    Does not protect against: change. It is not brought up to date; ask the buffer again. After a fork nothing in it is
    ``verified`` any more, see :class:`~strongroom.Evidence`.

    Version added: 0.1.
    """

    __slots__ = ()

    def __str__(self) -> str:
        width = max((len(name) for name in self), default=0)
        return "\n".join(f"{name:<{width}}  {self[name].state:<11}  {self[name].source}" for name in self)
