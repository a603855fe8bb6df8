"""How the address space is divided: what is for programs, what is the kernel's, in which steps."""

from __future__ import annotations

from collections import namedtuple

from strongroom._native import GRANULARITY, PAGE_SIZE
from strongroom._os import layouts
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError, UnsupportedError
from strongroom.vm.listing import read

__all__ = ["Layout", "layout"]

_TOP = 1 << 64


class Layout(namedtuple("_Layout", "bits physical_bits user_start user_end kernel_start page_size granularity")):
    """How the addresses of this process are divided.

    Attributes: ``bits`` of an address that page tables translate, 48 or 57 on x86-64; ``physical_bits`` of an address
    of memory, ``None`` where the system does not say; ``user_start``, the lowest address that a program can have;
    ``user_end``, the first beyond the highest; ``kernel_start``, where the kernel's half begins: what lies between is
    no address at all; ``page_size`` and ``granularity``, what reservations begin at, in bytes.

    Version added: 0.1.
    """

    __slots__ = ()
    bits: int
    physical_bits: int | None
    user_start: int
    user_end: int
    kernel_start: int
    page_size: int
    granularity: int


def layout() -> Layout:
    """Tell how the address space of this process is divided.

    Returns:
        The layout.

    Raises:
        UnsupportedError: This system does not tell.
        SystemCallError: It does, and what it tells cannot be read.

    Platform notes: Linux on x86 says the bits itself; a program has half of what they allow, less a page, and gets
    addresses above 47 bits only by asking for them. On other processors Linux is judged by the highest address that is
    mapped. Windows, macOS and the BSDs tell the highest address, and the bits are inferred from it.

    Does not protect against: nothing; where the halves meet is no secret, what lies where is (ASLR).

    Source: proc_cpuinfo(5), man-pages 6.10; Documentation/arch/x86/x86_64/mm.rst; GetSystemInfo; FreeBSD's
    KERN_PROC_VM_LAYOUT, NetBSD's vm.maxaddress, machine/vmparam.h of OpenBSD and mach/vm_param.h of macOS.

    Version added: 0.1.
    """
    try:
        physical, bits = layouts.read_address_sizes()
        start, end = layouts.read_user_space()
    except SystemCallError as error:
        if error.code == NO_SUCH_CALL:
            raise UnsupportedError("this system does not tell how address space is divided") from None
        raise
    if bits is not None:
        half = bits - 1
        end = (1 << half) - PAGE_SIZE
    elif end is not None:
        half = (end - 1).bit_length()
        bits = half + 1
    else:  # both halves have all bits there, and the stack lies at the top of ours
        ends = [row.address + row.size - 1 for row in read(0)[0] if row.path == "[stack]"]
        if not ends:
            raise UnsupportedError("this system does not tell how address space is divided, nor where the stack lies")
        half = bits = max(ends).bit_length()
        end = 1 << half
    return Layout(bits, physical, start, end, _TOP - (1 << half), PAGE_SIZE, GRANULARITY)
