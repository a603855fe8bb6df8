"""How much protected memory this process holds, and how it is used."""

from __future__ import annotations

from collections import namedtuple

from strongroom import _native
from strongroom._os import limits

__all__ = ["Arena", "Stats", "collect"]


class Arena(namedtuple("Arena", "backing slot_size size slots taken")):
    """Locked pages that small buffers share.

    Attributes: ``backing`` (``"locked"`` or ``"secretmem"``), ``slot_size`` (bytes of the largest buffer that fits a
    slot), ``size`` (bytes of pages), ``slots`` (how many there are), ``taken`` (how many are in use).

    Version added: 0.1.
    """

    __slots__ = ()


class Stats(
    namedtuple(
        "Stats",
        "isolated slots arenas idle_rooms locked_size secretmem_size unlocked_size volatile_size file_size locked_now "
        "lock_limit engine",
    )
):
    """A snapshot of the protected memory of this process; ``str()`` of it is a table for people.

    Attributes:
        isolated: Buffers with pages of their own; the sealing key and the rooms of secrets are among them.
        slots: Buffers that share pages.
        arenas: A tuple of :class:`Arena`: the pages they share.
        idle_rooms: Of the isolated ones, rooms that wait for the next secret; given back at the lock limit.
        locked_size: Bytes of pages with the backing ``"locked"``, shared or not, guard pages excluded.
        secretmem_size: The same for ``"secretmem"``. Not 0: while it lasts this machine cannot hibernate.
        unlocked_size: Of ``locked_size``, bytes that the system refused to lock and a policy let pass.
        volatile_size: Bytes of pages of ``VolatileBuffer`` and of what stands in for others, whose contents may vanish.
        file_size: Bytes of pages of private files.
        locked_now: Bytes that the system says this process has locked, other code's included; ``None`` if it does not
            say. Secret memory is not always counted there.
        lock_limit: Bytes it may lock; ``None`` if there is no limit or the system does not say.
        engine: The library and the cipher that seal secrets, for example ``"libsodium AEGIS-256"``; ``None`` before the
            first secret.

    Version added: 0.1.
    """

    __slots__ = ()

    def __str__(self) -> str:
        rows = [(name, value) for name, value in zip(self._fields, self, strict=True) if name != "arenas"]
        unsaid = {"lock_limit": "none, or not known", "engine": "none yet"}
        lines = [
            f"{name:<14}  {unsaid.get(name, 'not known') if value is None else format(value, ',' * (name != 'engine'))}"
            for name, value in rows
        ]
        for arena in self.arenas:
            lines.append(
                f"arena           {arena.backing}, {arena.size:,} bytes, "
                f"{arena.taken:,} of {arena.slots:,} slots for up to {arena.slot_size:,} bytes"
            )
        return "\n".join(lines)


def collect() -> Stats:
    """Ask the native layer and the system."""
    isolated, sizes, unlocked_size, idle_rooms, rows = _native.memory_held()
    arenas = tuple(Arena(*row) for row in rows)
    return Stats(
        isolated,
        sum(arena.taken for arena in arenas),
        arenas,
        idle_rooms,
        sizes["locked"],
        sizes["secretmem"],
        unlocked_size,
        sizes["droppable"] + sizes["partial"],
        sizes["file"],
        limits.locked_now(),
        limits.lock_limit(),
        _native.engine_in_use(),
    )
