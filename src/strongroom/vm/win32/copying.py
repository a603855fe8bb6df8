"""RtlMoveMemory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from strongroom.vm.region import Region
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.arguments import memory, number
from strongroom.vm.win32.errors import Translated, fail_unless
from strongroom.vm.win32.regions import within

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["RtlMoveMemory"]


def RtlMoveMemory(Destination: int | Buffer, Source: int | Buffer, Length: int) -> None:
    """Copy bytes, which may overlap. A forbidden page is an error, not a crash.

    Args:
        Destination: An address in an allocation or a mapped view, or a contiguous buffer that can be written.
        Source: The same, to be read.
        Length: Bytes. 0 copies nothing, from and to wherever.

    Raises:
        TypeError: What is neither an address nor a contiguous buffer, a Length that is no integer.
        Win32Error: ERROR_INVALID_ADDRESS (487): nothing is allocated there, or not all of it. ERROR_NOACCESS (998): a
            page is reserved or forbids that, a buffer that is read-only, a file that has become shorter.
            ERROR_INVALID_PARAMETER (87): a Length that is negative, or more than a buffer has.

    Does not protect against: the copy being a copy; where both sides are addresses there is one more, in ordinary
    memory, until Python uses that again. On Windows itself a wrong address ends the process.

    Source: RtlMoveMemory (wdm.h); process_vm_readv(2).

    Version added: 0.1.
    """
    call, size = "RtlMoveMemory", number("RtlMoveMemory", "Length", Length, 64)
    with ExitStack() as stack, Translated(call):
        target = memory(call, "Destination", Destination, stack)
        source = memory(call, "Source", Source, stack)
        for side in (target, source):
            if isinstance(side, memoryview):
                fits = size <= len(side)
                fail_unless(fits, call, c.ERROR_INVALID_PARAMETER, f"a buffer has {len(side):,} bytes, not {size:,}")
        if not size:
            return
        if isinstance(target, memoryview):
            fail_unless(not target.readonly, call, c.ERROR_NOACCESS, "Destination is read-only")
        if not isinstance(source, memoryview):
            held, start = _holder(call, source, size)
            source = memoryview(held.read(start, size))
        if isinstance(target, memoryview):
            target[:size] = source[:size]
        else:
            held, start = _holder(call, target, size)
            held.write(start, source[:size])


def _holder(call: str, place: int, size: int) -> tuple[Region, int]:
    """The allocation or view that a range of bytes lies in, and its offset there."""
    region, _, _ = within(call, place, size)
    offset = place - region.address
    fail_unless(offset + size <= region.size, call, c.ERROR_NOACCESS, "the view ends before that")
    return region, offset
