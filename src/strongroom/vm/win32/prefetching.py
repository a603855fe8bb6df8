"""PrefetchVirtualMemory, and the ranges that it is given."""

from __future__ import annotations

from typing import Protocol

from strongroom import _native
from strongroom.exceptions import Win32Error
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import fail_unless_own, items, number, pointer
from strongroom.vm.win32.errors import Translated, fail_unless

__all__ = ["WIN32_MEMORY_RANGE_ENTRY", "HasRange", "HasRanges", "PrefetchVirtualMemory"]

_RANGES = "WIN32_MEMORY_RANGE_ENTRY"


class HasRange(Protocol):
    """What says which bytes are meant: a ``WIN32_MEMORY_RANGE_ENTRY`` of ours, or a ``ctypes.Structure`` like it."""

    @property
    def VirtualAddress(self) -> int | None:
        """Where it begins."""

    @property
    def NumberOfBytes(self) -> int:
        """How long it is."""


class HasRanges(Protocol):
    """A sequence of them, or an array of ``ctypes``, which is none for a type checker."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> HasRange: ...


class WIN32_MEMORY_RANGE_ENTRY:
    """A range of addresses, for ``PrefetchVirtualMemory``.

    Args:
        VirtualAddress: Where it begins; NULL is None or 0.
        NumberOfBytes: How long it is.

    Attributes: the same.

    Source: memoryapi.h.

    Version added: 0.1.
    """

    __slots__ = ("NumberOfBytes", "VirtualAddress")

    def __init__(self, VirtualAddress: int | None = None, NumberOfBytes: int = 0) -> None:
        self.VirtualAddress = VirtualAddress
        self.NumberOfBytes = NumberOfBytes


def PrefetchVirtualMemory(hProcess: int, NumberOfEntries: int, VirtualAddresses: HasRanges | None, Flags: int) -> bool:
    """Have the system bring in, together, what will be touched soon and has left memory.

    Args:
        hProcess: -1, as GetCurrentProcess returns it.
        NumberOfEntries: How many ranges.
        VirtualAddresses: The ranges, in bytes; all pages that they touch. Of any memory of this process.
        Flags: 0.

    Returns:
        True. It is a hint: what is not there, is only reserved or cannot be brought in is passed over.

    Raises:
        TypeError: Objects of other kinds.
        Win32Error: ERROR_INVALID_PARAMETER (87): no range, fewer than NumberOfEntries, one of no bytes or outside user
            space, other flags. ERROR_NOACCESS (998): VirtualAddresses is NULL. ERROR_INVALID_HANDLE (6): another
            process. All of that is found before the system is told of any range. ERROR_NOT_SUPPORTED (50): no such
            call here (Windows before 8). ERROR_ACCESS_DENIED (5), ERROR_NOT_ENOUGH_MEMORY (8): the system refused.

    Platform notes: Unix is told of one range after the other, reads from there on, and nobody waits for it. A page
    that has come is in no working set: touching it is a minor fault. One that was never touched stays as it is, and a
    guard page guards on. ``vm.prefetch`` refuses what cannot be brought in, can wait, and counts.

    Does not protect against: the pages leaving again before they are touched. ``VirtualLock`` keeps them.

    Source: PrefetchVirtualMemory (memoryapi.h); madvise(2) MADV_WILLNEED, man-pages 6.10.

    Version added: 0.1.
    """
    call = "PrefetchVirtualMemory"
    fail_unless_own(call, hProcess)
    count, flags = number(call, "NumberOfEntries", NumberOfEntries, 64), number(call, "Flags", Flags)
    fail_unless(count and not flags, call, c.ERROR_INVALID_PARAMETER, "at least one range, and Flags 0")
    if VirtualAddresses is None:
        raise Win32Error(call, c.ERROR_NOACCESS, "VirtualAddresses is NULL")
    entries = items(call, "VirtualAddresses", VirtualAddresses, count, _RANGES)
    ranges = [_range(call, index, entry) for index, entry in enumerate(entries)]
    with Translated(call, None):
        _native.prefetch_all(ranges)
    return True


def _range(call: str, index: int, entry: object) -> tuple[int, int]:
    """Where a range begins, and its bytes."""
    name = f"VirtualAddresses[{index}]"
    try:
        place, size = entry.VirtualAddress, entry.NumberOfBytes  # type: ignore[attr-defined]
    except Exception:  # whatever the object raises
        raise TypeError(f"{call}: {name} must be a {_RANGES}, not {type(entry).__name__}") from None
    start = pointer(call, f"{name}.VirtualAddress", place)
    length = number(call, f"{name}.NumberOfBytes", size, 64)
    is_within = 0 < length <= c.ADDRESS_LIMIT - start
    fail_unless(is_within, call, c.ERROR_INVALID_PARAMETER, f"{name}: {length:,} bytes from {start:#x} on")
    return start, length
