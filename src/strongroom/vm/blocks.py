"""What a ``with`` block did to pages, and how it is undone when the block ends, whatever has happened inside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType

from strongroom.exceptions import AccessError, DestroyedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.vm.region import Pages, Region

__all__ = ["Locked", "Protected"]

#: How often a range is cut in parts before what is left of it stays as it is. Finding one bad page in a terabyte takes
#: 60; each cut may mean looking at every page of the range, so thousands would be minutes.
_MOST_CUTS = 200


def _is_committed(run: Pages) -> bool:
    return run.is_committed


def _is_locked(run: Pages) -> bool:
    return run.locks > 0


def _parts(
    region: Region, error: Exception, is_possible: Callable[[Pages], bool], offset: int, size: int
) -> list[tuple[int, int]]:
    """After an error, the smaller ranges for which it may still be done; none if there are no smaller ones."""
    if isinstance(error, AccessError):  # the state of some page forbids it
        runs = region.pages(offset, size)
        return [(run.offset, run.size) for run in runs if is_possible(run)] if len(runs) > 1 else []
    end = offset + size
    if hasattr(error, "_held"):  # somebody relies on some pages
        first, count = error._held
        ranges = [(offset, min(first, end)), (max(first + count, offset), end)]
    else:  # the system refuses, and does not say for which page
        middle = offset + size // region.page_size // 2 * region.page_size
        ranges = [(offset, middle), (middle, end)] if middle > offset else []
    return [(low, high - low) for low, high in ranges if low < high]


def _undo(
    verb: Callable[[int, int], object], region: Region, is_possible: Callable[[Pages], bool], offset: int, size: int
) -> Exception | None:
    """Do it to all pages of a range that let it be done, run by run; return the first error that kept one from it."""
    kept: Exception | None = None
    todo = [(offset, size)]
    cuts = 0
    while todo:
        offset, size = todo.pop()
        try:
            verb(offset, size)
        except DestroyedError as error:  # nothing is left to do it to
            return kept or error
        except Exception as error:
            cuts += not hasattr(error, "_held")  # those come to an end by themselves: each hold is met once
            parts: list[tuple[int, int]] = []
            if cuts <= _MOST_CUTS:
                with suppress(DestroyedError):
                    parts = _parts(region, error, is_possible, offset, size)
            if sum(length for _, length in parts) < size:
                kept = kept or error
            todo += reversed(parts)
    return kept


class Protected:
    """One use of ``Region.protected``."""

    __slots__ = ("_arguments", "_region", "_runs")

    def __init__(self, region: Region, offset: int, size: int | None, protection: int) -> None:
        self._region = region
        self._arguments = (offset, size, protection)
        self._runs: list[tuple[int, int, int]] = []

    def __enter__(self) -> Region:
        if self._runs:
            raise RuntimeError("this context manager is entered already")
        self._runs = self._region._protect_listed(*self._arguments)
        return self._region

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runs, self._runs = self._runs, []
        first: Exception | None = None
        for offset, size, protection in runs:
            restore = partial(self._region.protect, protection=protection)
            error = _undo(restore, self._region, _is_committed, offset, size)
            first = first or error
            if self._region.is_released:
                break
        if first is not None and value is None:
            raise first


class Locked:
    """One use of ``Region.locked``."""

    __slots__ = ("_arguments", "_locked", "_region")

    def __init__(self, region: Region, offset: int, size: int | None) -> None:
        self._region = region
        self._arguments = (offset, size)
        self._locked: tuple[int, int] | None = None

    def __enter__(self) -> Region:
        if self._locked is not None:
            raise RuntimeError("this context manager is entered already")
        self._locked = self._region.lock(*self._arguments)
        return self._region

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._locked is None:
            return
        locked, self._locked = self._locked, None
        first = _undo(self._region.unlock, self._region, _is_locked, *locked)
        if first is not None and value is None:
            raise first
