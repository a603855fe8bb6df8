"""Pages that leave memory and come back: the verbs that move them, and count what has moved."""

from __future__ import annotations

from collections import namedtuple

from strongroom import _native
from strongroom._native import PAGE_SIZE
from strongroom._os import mappings, pagefiles
from strongroom.exceptions import SystemCallError, UnsupportedError

__all__ = ["Moved", "PagedRegion", "page_out", "prefetch"]

_LAST_PAGE = (1 << 64) - PAGE_SIZE


class Moved(namedtuple("_Moved", "asked before after reason")):
    """What became of a request to move pages, counted and not assumed.

    Attributes, in pages: ``asked``, how many the range has; ``before`` and ``after``, how many of them were in memory,
    ``None`` where the system does not tell; ``reason``, of what was to leave and did not, in words, else ``None``: what
    is likely, since no system says why.

    Version added: 0.1.
    """

    __slots__ = ()
    asked: int
    before: int | None
    after: int | None
    reason: str | None


class PagedRegion(_native.Region):
    """A region with the verbs that move its pages, or let go of what they hold."""

    __slots__ = ()

    def page_out(self, offset: int = 0, size: int | None = None) -> Moved:
        """Have the system take pages out of memory, and count what has gone.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            How many pages were in memory before and after. That nothing moved is no error.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the region, a released region.
            AccessError: A page is not committed, or is locked.
            UnsupportedError, SystemCallError: The system has no such call (Linux before 5.4), or refused it.

        Platform notes: as for ``vm.page_out``.

        Does not protect against: what the pages hold being in a page file from then on, also after the process's end.

        Source: madvise(2) MADV_PAGEOUT; VirtualUnlock.

        Version added: 0.1.
        """
        return _out(*_native.page_out_region(self, offset, size))

    def prefetch(self, offset: int = 0, size: int | None = None, *, wait: bool = True) -> Moved:
        """Bring pages in before they are touched, many at a time.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.
            wait: Return when they are there; else the system is told, and may be reading when this returns.

        Returns:
            How many pages were in memory before and after.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the region, a released region.
            AccessError: A page is not committed or may not be read.
            UnsupportedError, SystemCallError: As for ``page_out``; what was to be read cannot be.

        Platform notes: as for ``vm.prefetch``.

        Does not protect against: the pages leaving again. ``lock`` keeps them.

        Source: madvise(2) MADV_POPULATE_READ, MADV_WILLNEED; PrefetchVirtualMemory.

        Version added: 0.1.
        """
        return Moved(*_native.prefetch_region(self, offset, size, wait), None)

    def reset(self, offset: int = 0, size: int | None = None) -> tuple[int, int]:
        """Say that what pages hold is not needed any more: the system may drop it instead of writing it out.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            The ``(offset, size)`` in bytes that it became. Until it is written to, each page holds what it held, or
            zeros; what is written afterwards stays.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``page_out``.
            AccessError: A page is not committed, or is locked.
            SecuredError, BufferError: A handle or a View relies on a page, whatever its mode.
            UnsupportedError, SystemCallError: A view of a file or section; no such call (Linux before 4.5); a refusal.

        Platform notes: pages that are shared with a child after a fork keep what they hold. Of what is in a page file
        Linux lets go at once.

        Does not protect against: the contents staying in memory and being read. To forget them, overwrite them.

        Source: VirtualAlloc MEM_RESET; madvise(2) MADV_FREE.

        Version added: 0.1.
        """
        return _native.reset_region(self, offset, size)

    def undo_reset(self, offset: int = 0, size: int | None = None) -> bool:
        """Take a reset back: from here on what pages hold is kept again.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            Whether all of it is certainly what it was. If not, some pages may be zeros.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``page_out``.
            AccessError: A page is not committed, may not be written, or is locked.
            UnsupportedError, SystemCallError: A view; no such call (Linux before 5.14, macOS, BSD); a refusal.

        Platform notes: Linux tells nobody what it dropped. A page that reads as zeros counts as lost there, whether it
        held anything before or not.

        Source: VirtualAlloc MEM_RESET_UNDO; madvise(2) MADV_POPULATE_WRITE.

        Version added: 0.1.
        """
        return _native.undo_reset_region(self, offset, size)


def page_out(where: _native.Region | int, offset: int = 0, size: int | None = None) -> Moved:
    """Have the system take pages out of memory, and count what has gone.

    Args:
        where: A region or view, or any address of this process.
        offset: Bytes from there, rounded down to a page.
        size: Bytes; the end is rounded up. ``None``: up to the region's end; an address must have a size.

    Returns:
        How many pages were in memory before and after. That nothing moved is no error.

    Raises:
        ValueError, TypeError: No range.
        AccessError: A page is locked, or one of a region not committed.
        UnsupportedError: No such call (Linux before 5.4); on Windows, memory that is no region's.
        SystemCallError: The system refused: not all of it is mapped.

    Platform notes: Linux moves no page that another process shares after a fork, nor one that was touched for the first
    time only just now on another processor, nor private memory without a page file; ``reason`` says which is likely. It
    waits a tenth of a second at most for pages to be written. Pages of a file go there, changed ones once they are
    flushed. Droppable pages are dropped. Windows takes pages out of the working set, and they reach a paging file when
    their memory is wanted; Wine does nothing. macOS and BSD only make them the first to go.

    Does not protect against: what the pages hold being in a page file from then on, also after the process's end.

    Source: madvise(2) MADV_PAGEOUT, mincore(2), man-pages 6.10; VirtualUnlock.

    Version added: 0.1.
    """
    if isinstance(where, _native.Region):
        return _out(*_native.page_out_region(where, offset, size))
    start, length = _range(where, offset, size)
    region = _region_of(start, length)
    if region is not None:
        return _out(*_native.page_out_region(region, start - region.address, length))
    if mappings.KNOWS_RESERVATIONS:
        raise UnsupportedError(
            "VirtualUnlock would undo what others have locked: here only pages of regions are for it"
        )
    return _out(*_native.move_pages(start, length, False))


def prefetch(where: _native.Region | int, offset: int = 0, size: int | None = None, *, wait: bool = True) -> Moved:
    """Bring pages in before they are touched, many at a time.

    Args:
        where: A region or view, or any address of this process.
        offset: Bytes from there, rounded down to a page.
        size: Bytes; the end is rounded up. ``None``: up to the region's end; an address must have a size.
        wait: Return when they are there; else the system is told, and may be reading when this returns.

    Returns:
        How many pages were in memory before and after.

    Raises:
        ValueError, TypeError: No range.
        AccessError: A page of a region is not committed or may not be read.
        UnsupportedError: No such call.
        SystemCallError: The system refused: not all of it is mapped and readable, or what was to be read cannot be.

    Platform notes: waiting maps the pages, so that touching them is no fault; without waiting Linux reads them into
    memory, and touching them is a minor one. Linux before 5.14 cannot wait. Wine does nothing but what waiting does.

    Does not protect against: the pages leaving again. ``lock`` keeps them.

    Source: madvise(2) MADV_POPULATE_READ, MADV_WILLNEED, man-pages 6.10; PrefetchVirtualMemory.

    Version added: 0.1.
    """
    if isinstance(where, _native.Region):
        return Moved(*_native.prefetch_region(where, offset, size, wait), None)
    start, length = _range(where, offset, size)
    region = _region_of(start, length)
    if region is not None:
        return Moved(*_native.prefetch_region(region, start - region.address, length, wait), None)
    return Moved(*_native.move_pages(start, length, True, wait)[1:], None)


def _range(where: int, offset: int, size: int | None) -> tuple[int, int]:
    """Whole pages from an address on."""
    if size is None:
        raise ValueError("an address has no end: size must be given")
    start = mappings.checked(where, "where") + mappings.checked(offset, "offset")
    end = start + mappings.checked(size, "size")
    if end == start:
        raise ValueError("size must be at least 1 byte")
    if end > _LAST_PAGE:
        raise ValueError(
            f"where, offset, size: {start:#x} and {end - start:,} bytes from there end beyond every address"
        )
    start -= start % PAGE_SIZE
    return start, -(-end // PAGE_SIZE) * PAGE_SIZE - start


def _region_of(start: int, length: int) -> _native.Region | None:
    """The region that all of a range lies in."""
    region = _native.find_region(start)
    return region if region is not None and start + length <= region.address + len(region) else None


def _out(start: int, asked: int, before: int | None, after: int | None) -> Moved:
    """What was counted, and why some pages are here still, as far as the system lets that be guessed."""
    return Moved(asked, before, after, _reason(start, asked) if after else None)


def _reason(start: int, pages: int) -> str:
    try:
        runs = _native.page_runs(0, start, start + pages * PAGE_SIZE)
    except SystemCallError:  # no such question here, or no right to ask it any more
        runs = []
    # Linux tells pages that are mapped once from all others, Windows counts, mincore(2) does neither
    others = sum(
        (end - begin) // PAGE_SIZE
        for begin, end, is_resident, shares, _ in runs
        if is_resident and (shares is None if mappings.LISTS_TEXT else (shares or 1) > 1)
    )
    if others:
        return f"{others:,} of them are mapped by others too, as after a fork, or are the page of zeros"
    if pagefiles.has_room() is False:
        return "there is no page file with room for private memory"
    return "the system kept them: pages touched only just now, or still being written, or a file's that were changed"
