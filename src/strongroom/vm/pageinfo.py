"""PageInfo: what is known of a run of pages, and by whom."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from strongroom._os.mappings import KNOWS_RESERVATIONS, shown
from strongroom.vm.protection import NO_ACCESS

if TYPE_CHECKING:
    from strongroom._os.entries import Entry

__all__ = ["PageInfo", "cut", "free", "record"]

_BEFORE_OURS = 7  # fields that come before "locks" and "secured", which no system tells


class PageInfo(
    namedtuple(
        "_PageInfo",
        "address size state protection allocation allocation_protection type locks secured is_shared path file_offset "
        "device inode resident_size swapped_size shared_size proportional_size is_locked is_droppable is_undumpable "
        "in_child flags share_count",
    )
):
    """What is known of a run of pages that are alike. ``None`` is never 0 or no: nobody told.

    Attributes, always there: ``address`` and ``size`` in bytes; ``state``, ``"free"``, ``"reserved"`` or
    ``"committed"``; ``protection``, 0 unless committed; ``allocation``, where the reservation or mapping begins that it
    belongs to, 0 if none is known; ``allocation_protection``, what that was made with; ``type``, ``"private"``,
    ``"mapped"`` or ``"image"`` (a program or library), empty if free.

    strongroom's own, of this process: ``locks``, how many unlocks it takes; ``secured``, what ``secure()`` promises,
    READ_ONLY, READ_WRITE or 0, and ``None`` outside strongroom's regions.

    Of what is mapped: ``is_shared``, whether other processes see what is written; ``path``, the file's, with
    ``" (deleted)"``, or the kernel's name for it such as ``"[heap]"``, empty where there is neither, on Windows a path
    that begins with the volume's device; ``file_offset`` in bytes, ``device`` as (major, minor) and ``inode`` where
    there is a file.

    From ``detail="smaps"`` on, on macOS and the BSDs always: ``resident_size``, ``swapped_size``, ``shared_size``
    (resident in several processes) and ``proportional_size`` (each page divided by how many have it), in bytes;
    ``is_locked``, by whomever; ``is_droppable``; ``is_undumpable``, left out of core dumps; ``in_child``, what a forked
    child has: ``"copied"``, ``"shared"``, ``"zeros"`` or ``"absent"``; ``flags``, Linux' own two-letter words for these
    and more.

    From ``detail="pages"`` on: ``share_count``, 1 for resident pages that are mapped once; ``None`` for others, but on
    Windows how many processes have them, 7 for more as well.

    Version added: 0.1.
    """

    __slots__ = ()
    address: int
    size: int
    state: str
    protection: int
    allocation: int
    allocation_protection: int
    type: str
    locks: int | None
    secured: int | None
    is_shared: bool | None
    path: str | None
    file_offset: int | None
    device: tuple[int, int] | None
    inode: int | None
    resident_size: int | None
    swapped_size: int | None
    shared_size: int | None
    proportional_size: int | None
    is_locked: bool | None
    is_droppable: bool | None
    is_undumpable: bool | None
    in_child: str | None
    flags: str | None
    share_count: int | None

    def known_by(self, field: str) -> str | None:
        """Say who knows a field.

        Args:
            field: Its name.

        Returns:
            ``"system"``; ``"strongroom"``, where only its own books tell; ``"inferred"`` from other things that the
            system says; ``None`` for a field that nobody told.

        Raises:
            ValueError: There is no such field.

        Platform notes: Windows knows reservations, modifiers and allocations itself; whether others see what is written
        is inferred there from what the view was made with. docs/vm/known.md has who knows what on each system.

        Version added: 0.1.
        """
        if field not in self._fields:
            raise ValueError(f"a PageInfo has no field {field!r}; it has {', '.join(self._fields)}")
        if getattr(self, field) is None:
            return None
        if field in ("locks", "secured"):
            return "strongroom"
        is_ours = self.secured is not None
        if KNOWS_RESERVATIONS and field == "is_shared":
            return "inferred"
        if KNOWS_RESERVATIONS and field == "allocation_protection" and is_ours:
            return "strongroom"
        if KNOWS_RESERVATIONS or self.state == "free":
            return "system"
        if field == "state":
            # What is mapped and may be touched is committed; what may not be could be reserved as well.
            if shown(self.protection) not in (0, NO_ACCESS):
                return "system"
            return "strongroom" if is_ours else "system" if self.state == "reserved" else "inferred"
        if field == "protection":
            is_told = not is_ours or (self.protection and self.protection == shown(self.protection))
            return "system" if is_told else "strongroom"
        if field in ("allocation", "allocation_protection"):
            return "strongroom" if is_ours else "inferred"
        return "inferred" if field == "type" and self.type == "image" else "system"


def record(told: Entry, locks: int | None) -> PageInfo:
    """What a system told, with the place for what our books know."""
    return PageInfo._make((*told[:_BEFORE_OURS], locks, None, *told[_BEFORE_OURS:]))


def free(address: int, end: int, locks: int | None) -> PageInfo:
    """A gap."""
    return PageInfo(address, end - address, "free", 0, 0, 0, "", locks, *(None,) * 16)


def cut(row: PageInfo, start: int, end: int) -> PageInfo:
    """A part of a run. Of a size only none and all can be divided."""
    size = end - start
    if size == row.size:
        return row
    offset = None if row.file_offset is None else row.file_offset + start - row.address
    sizes = [0 if told == 0 else size if told == row.size else None for told in row[14:18]]
    return PageInfo._make([start, size, *row[2:11], offset, *row[12:14], *sizes, *row[18:]])
