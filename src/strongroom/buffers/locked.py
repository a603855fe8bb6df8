"""``LockedBuffer``: one secret in guarded, locked pages of its own."""

from __future__ import annotations

from strongroom import _native
from strongroom.buffers import evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.guarantees import Guarantees
    from strongroom.policy import Policy

__all__ = ["LockedBuffer"]


class LockedBuffer(_native.Block):
    """Keep bytes in memory that stays out of swap, core dumps, forked children and freed heap.

    The bytes lie flush against an inaccessible page, with a canary before them; while no block has them open the
    pages are inaccessible to this process too.

        with LockedBuffer(32) as key:
            with key.open("rw") as view:
                view[:] = derive()
            with key.open() as view:
                sign(view, message)

    Args:
        size: Bytes, at least 1. Locked memory is used in whole pages: ``size`` plus 16 bytes for the canary, rounded
            up.
        backing: ``"locked"`` (private pages, locked), ``"secretmem"`` (Linux: pages that the kernel itself does not
            map) or ``"auto"``: secret memory for up to 64 KiB where the machine cannot hibernate, else locked.
        isolated: ``True`` or ``None``: pages of its own. ``False`` is refused in this version.
        policy: A :class:`~strongroom.Policy`; ``None`` stands for the operator's (``STRONGROOM_POLICY``), the
            program's (:func:`~strongroom.configure`), or what the system can give by default.

    Raises:
        ValueError, TypeError: A size, backing or policy that makes no sense, ``STRONGROOM_POLICY`` included; the
            message names it.
        LockLimitError: The system will lock no more; nothing else is harmed. Says the limit and the remedies, and how
            long it waited.
        UnsupportedError: This system lacks what was asked for, or its own listing says that it did not do it.
        SystemCallError: Another refusal, with the call's name.

    Platform notes: Linux complete; Windows, macOS and BSD give LOCKED and what their kernels offer beside it.

    Does not protect against: whoever can read this process's memory while a block has it open (with ``"locked"`` also
    root at any time, ``gcore -a``, and hibernation); code running in this process; copies that you make.

    Source: mlock(2), madvise(2), memfd_secret(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

    Version added: 0.1.
    """

    __slots__ = ()

    def __init__(
        self, size: int, *, backing: str = "auto", isolated: bool | None = None, policy: Policy | None = None
    ) -> None:
        """Show help() and inspect.signature what the native ``__new__`` has taken by now."""

    def guarantees(self) -> Guarantees:
        """Ask the operating system what this buffer really has, now.

        Returns:
            The name of each guarantee and its evidence: ``state`` (verified, requested, unavailable, refused),
            ``source`` (where that was read) and ``time`` (seconds since the epoch).

        Raises:
            DestroyedError, ForkedError, PurgedError: There is nothing to ask about.

        Platform notes: read back from ``/proc/self/smaps`` on Linux (about a millisecond); elsewhere what the calls
        answered.

        Version added: 0.1.
        """
        return evidence.collect(self)
