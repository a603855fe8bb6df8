"""Physical pages that are never written to swap, and windows that show them.

A store is memory that the system keeps in RAM and never pages out; a window is address space in which pages of it are
shown. A program with little address space, or a small lock limit for what it maps, keeps much in a store and looks at a
part of it at a time. It is what Windows calls Address Windowing Extensions, on every system.

Source: Address Windowing Extensions (Microsoft); memfd_secret(2), mremap(2), mlock(2).
"""

from __future__ import annotations

from contextlib import suppress

from strongroom import _native
from strongroom._native import PageList
from strongroom._os import PLATFORM, power
from strongroom.exceptions import UnsupportedError
from strongroom.vm.region import Region

__all__ = ["PageList", "PhysicalPages", "Window", "physical", "window"]


class PhysicalPages(_native.PhysicalPages):
    """A store of pages that are never written to swap. ``physical`` makes it.

    ``len()`` says how many pages it has. Indexing it chooses some for a window: ``store[3]``, ``store[0:256]``, or
    numbers in any order, ``store[[7, 3, 5]]``. A context manager: leaving the block releases it. So does the end of the
    last reference, once no window shows a page of it.

    Attributes: ``backing``, ``"secretmem"``, ``"locked"`` or ``"awe"``; ``size`` and ``page_size`` in bytes;
    ``is_released``.

    Platform notes: in a forked child it is not there, and raises ``ForkedError``.

    Source: AllocateUserPhysicalPages; memfd_secret(2); mlock(2).

    Version added: 0.1.
    """

    __slots__ = ()


class Window(_native.Window, Region):
    """A region in which physical pages are shown. ``window`` makes it.

    All that a ``Region`` can do with committed pages can be done with those that ``map`` shows: ``read``, ``write``,
    ``fill``, ``view``, ``secure``, and ``protect`` to READ_ONLY, READ_WRITE or NO_ACCESS. Nothing else is committed,
    and nothing is locked, paged out, fetched or reset. ``release`` gives back the address space; the pages keep what
    they hold.

    Attributes: ``address``, ``size`` and ``page_size`` in bytes, ``is_released``.

    Platform notes: in a forked child it is address space without pages, and raises ``ForkedError``.

    Does not protect against: other code in this process that unmaps the same addresses.

    Source: VirtualAlloc MEM_PHYSICAL; mremap(2), mmap(2).

    Version added: 0.1.
    """

    __slots__ = ()


def physical(size: int, *, backing: str = "auto") -> PhysicalPages:
    """Take pages of RAM that are never written to swap.

    Args:
        size: Bytes, rounded up to a page.
        backing: What they are made of: ``"secretmem"`` (Linux 5.14), ``"locked"`` (any Unix), ``"awe"`` (Windows), or
            ``"auto"``: on Linux secret memory, unless there is none, a sandbox forbids it, or the machine can
            hibernate, which that would stop; else locked; on Windows AWE.

    Returns:
        The store, of zeros.

    Raises:
        ValueError, TypeError: A size of no bytes or more than there can be, an unknown backing.
        UnsupportedError: This system has no such pages, or a sandbox forbids memfd_secret.
        LockLimitError: The lock limit has no room for it. ``vm.lock_limit()`` tells it; of secret memory what windows
            show counts as well, so that a store of n windows takes n + 1.
        MemoryError: There is no memory for the books of that many pages.
        SystemCallError: The system has no memory for it; or on Windows the process lacks the privilege "Lock pages in
            memory".

    Platform notes: secret memory comes into being page by page at the first touch, about 20 microseconds each, so that
    a store larger than RAM is no error until it is touched; no machine hibernates while there is some. Locked and AWE
    pages are all there from the start. Where free RAM does not suffice, at once or at a touch, Linux kills processes,
    this one or others, and raises nothing: choose a size that RAM has.

    Does not protect against: hibernation, with ``"locked"`` and ``"awe"``; the kernel moving a ``"locked"`` page and
    leaving its old copy in free RAM; readers, debuggers and dumps of others, which only ``"secretmem"`` keeps out; the
    end of the process without ``release``, which leaves ``"locked"`` contents in free RAM until it is used again. And
    it is taken from everybody else: what cannot be paged out is RAM that no other program gets.

    Source: AllocateUserPhysicalPages; memfd_secret(2); mlock(2). Raymond Chen, "VirtualLock only locks your memory into
    the working set", 2007.

    Version added: 0.1.
    """
    if not isinstance(backing, str) or backing not in ("auto", *_native.STORE_BACKINGS):
        names = ", ".join(("auto", *_native.STORE_BACKINGS))
        raise ValueError(f"backing must be one of {names}, not {_native.describe(backing)}")
    if backing != "auto":
        return _native.make_physical(PhysicalPages, size, backing)
    if PLATFORM == "linux" and not power.can_hibernate():
        with suppress(UnsupportedError):
            return _native.make_physical(PhysicalPages, size, "secretmem")
    return _native.make_physical(PhysicalPages, size, "awe" if PLATFORM == "windows" else "locked")


def window(size: int) -> Window:
    """Reserve address space in which physical pages can be shown.

    Args:
        size: Bytes, rounded up to a page.

    Returns:
        The window, showing nothing: ``map`` of it shows pages.

    Raises:
        ValueError, TypeError: A size of no bytes or more than there can be.
        UnsupportedError: Wine, which has no such windows.
        SystemCallError: The system has no more address space or mappings.

    Source: VirtualAlloc MEM_RESERVE | MEM_PHYSICAL; mmap(2) PROT_NONE.

    Version added: 0.1.
    """
    return _native.make_window(Window, size)
