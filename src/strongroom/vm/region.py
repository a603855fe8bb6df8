"""Regions: reserved address space, page by page."""

from __future__ import annotations

from collections import namedtuple

from strongroom import _native
from strongroom._native import Locked, Protected, RegionAccess, SecureHandle
from strongroom.vm.moving import PagedRegion
from strongroom.vm.protection import READ_WRITE

__all__ = ["Pages", "Region", "allocate", "reserve"]


class Pages(namedtuple("_Pages", "offset size protection locks")):
    """A run of pages that are alike, as strongroom has made them.

    Attributes: ``offset`` and ``size`` in bytes; ``protection``, 0 where the pages are reserved, not committed;
    ``locks``, how many unlocks it takes until the system may page them out again.

    Version added: 0.1.
    """

    __slots__ = ()
    offset: int
    size: int
    protection: int
    locks: int

    @property
    def is_committed(self) -> bool:
        """Whether there is memory behind the pages."""
        return self.protection != 0


class Region(PagedRegion):
    """Reserved address space whose pages are committed, protected and locked one by one.

    ``reserve`` and ``allocate`` make one; this is what they, and ``vm.win32``, ask for it.

    Args:
        size: Bytes, rounded up to a page.
        address: Where it must begin, a multiple of ``vm.GRANULARITY``; taken already is an error.
        near: Where it should begin; if that is taken, it goes wherever the system likes.
        top_down: At the highest addresses, which is where Linux puts it anyway.
        alignment: Bytes that the address shall be a multiple of, whole pages; not with a place.
        large: A protection: large pages, committed with that, as ``allocate`` makes them; with nothing but a size.
        allocation_protection: What ``vm.query`` is to say that it was made with; the pages are reserved all the same.

    Raises:
        ValueError, TypeError: Numbers that make no sense, or not together; the message names them.
        UnsupportedError: No large pages here, or no such protection.
        SystemCallError: The address is taken, or the system has no more address space or mappings.

    A context manager: leaving the block releases it. So does the end of the last reference to it.

    Attributes: ``address``, ``size`` and ``page_size`` in bytes, ``is_released``.

    Platform notes: in a forked child the region is a copy of the parent's, without its locks and secure handles. On
    Windows an alignment beyond ``vm.GRANULARITY`` is refused by the system.

    Does not protect against: other code in this process that unmaps or protects the same pages; strongroom's own
    calls then report what the system says.

    Source: VirtualAlloc MEM_RESERVE; mmap(2) PROT_NONE.

    Version added: 0.1.
    """

    __slots__ = ()

    def view(self, offset: int = 0, size: int | None = None, mode: str = "r") -> RegionAccess:
        """Return the access for a ``with`` block that yields a View of the bytes themselves, not a copy.

        Args:
            offset: Bytes from the region's start, as given.
            size: Bytes. ``None``: up to the region's end.
            mode: ``"r"`` to read, ``"rw"`` to write too.

        Raises:
            ValueError, TypeError: A range outside the region, an unknown mode.
            AccessError, DestroyedError: On entering the block, if the pages do not allow that.
            BufferError: On leaving it, if a buffer of the View was kept; the message names what kept it.

        While it lasts the pages cannot be given back or made more restrictive (``BufferError``).

        Does not protect against: other code unmapping or protecting the pages; a touch then is a fault.

        Source: the buffer protocol (PEP 3118).

        Version added: 0.1.
        """
        if not isinstance(mode, str) or mode not in ("r", "rw"):
            raise ValueError(f"mode must be 'r' or 'rw', not {_native.describe(mode)}")
        return _native.view_region(self, offset, size, mode == "rw")

    def secure(
        self, offset: int = 0, size: int | None = None, mode: int = READ_WRITE, *, permanent: bool = False
    ) -> SecureHandle:
        """Promise that a range stays, and stays accessible, as long as the handle is held.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.
            mode: The most restrictive protection allowed: ``READ_WRITE`` (it must remain writable) or ``READ_ONLY``
                (it must remain readable).
            permanent: Ask the kernel itself to refuse, until the process ends: no protection of the range can change
                at all from then on, by whomever.

        Returns:
            The handle: a context manager, or ``unsecure()`` it. Handles nest and overlap; each is a promise of its own.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the region, another mode, a released region.
            AccessError: A page is not committed, or does not satisfy the mode now.
            UnsupportedError: ``permanent`` where the kernel has no mseal (Linux before 6.10, other systems).
            SystemCallError: The kernel refused to seal.

        Platform notes: what counts as more restrictive is the Windows kernel's answer, on every system: what can be
        executed can be read, and a guard page satisfies no mode. docs/vm/securing.md prints the whole matrix.

        Does not protect against: code that calls the system itself, unless permanent; and then still munlock, a write
        through /proc/self/mem, MADV_DONTDUMP taken back. A handle means nothing in a forked child.

        Source: MmSecureVirtualMemory (ntddk.h); mseal(2), Linux 6.10.

        Version added: 0.1.
        """
        return _native.secure_region(self, offset, size, mode, permanent)

    def protected(self, offset: int, size: int | None, protection: int) -> Protected:
        """Return a context manager that protects a range and brings back what each page had before.

        Args:
            offset: As for ``protect``.
            size: As for ``protect``.
            protection: What it is inside the block.

        Returns:
            The context manager; its block gets the region. For one block at a time.

        Raises:
            ValueError, TypeError, AccessError, SystemCallError: As for ``protect``, on entering the block.

        On leaving it, every page that was changed gets its old protection back; if one cannot (it was decommitted, or
        secured meanwhile), the others still do, and the first error is raised, unless an exception is on its way.

        Source: VirtualProtect; mprotect(2).

        Version added: 0.1.
        """
        return Protected(self, offset, size, protection)

    def locked(self, offset: int = 0, size: int | None = None) -> Locked:
        """Return a context manager that locks a range and unlocks it again.

        Args:
            offset: As for ``lock``.
            size: As for ``lock``.

        Returns:
            The context manager; its block gets the region. For one block at a time.

        Raises:
            ValueError, TypeError, AccessError, LockLimitError: As for ``lock`` on entering the block, as for ``unlock``
                on leaving it.

        On leaving it, every page is unlocked once; if one cannot be (it was decommitted, which ends locks), the others
        still are, and the first error is raised, unless an exception is on its way.

        Source: VirtualLock, VirtualUnlock; mlock(2), munlock(2).

        Version added: 0.1.
        """
        return Locked(self, offset, size)

    def pages(self, offset: int = 0, size: int | None = None) -> list[Pages]:
        """List what strongroom has made of the pages of a range: one entry for each run that is alike.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            The runs in order, the first and the last cut to the range.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the region, a released region.

        Does not protect against: other code having changed them since. ``vm.query`` asks the system.

        Source: strongroom's own books; VirtualQuery has no such list.

        Version added: 0.1.
        """
        return [Pages(*run) for run in self._runs(offset, size)]


def reserve(size: int, *, address: int | None = None, near: int | None = None, top_down: bool = False) -> Region:
    """Reserve address space: no memory, no access, nothing else comes to lie there.

    Args:
        size: Bytes, rounded up to a page.
        address: Where it must begin, a multiple of ``vm.GRANULARITY``; taken already is an error.
        near: Where it should begin; if that is taken, it goes wherever the system likes.
        top_down: At the highest addresses.

    Returns:
        The region, all of its pages reserved.

    Raises:
        ValueError, TypeError, SystemCallError: As for ``Region``.

    Source: VirtualAlloc MEM_RESERVE; mmap(2) PROT_NONE.

    Version added: 0.1.
    """
    if address is None and near is None and top_down is False:
        return Region(size)  # nothing to parse: the one way that is called often
    return Region(size, address=address, near=near, top_down=top_down)


def allocate(
    size: int,
    protection: int = READ_WRITE,
    *,
    address: int | None = None,
    near: int | None = None,
    top_down: bool = False,
    large_pages: bool = False,
) -> Region:
    """Reserve and commit in one step.

    Args:
        size: Bytes, rounded up to a page; with ``large_pages`` to a large one.
        protection: What may be done with the pages.
        address: As for ``reserve``.
        near: As for ``reserve``.
        top_down: As for ``reserve``.
        large_pages: Take pages of ``vm.large_page_size()``, which are never paged out.

    Returns:
        The region, all of its pages committed.

    Raises:
        ValueError, TypeError, UnsupportedError: As for ``reserve`` and ``commit``; no large pages here.
        SystemCallError: The system has none left. Nothing stays reserved.

    Platform notes: large pages come from a pool that an administrator fills (Linux: vm.nr_hugepages), or take a
    privilege (Windows: "Lock pages in memory").

    Source: VirtualAlloc; mmap(2) MAP_HUGETLB.

    Version added: 0.1.
    """
    _native.is_protection_possible(protection)  # an error about it has this name, not that of Region's argument
    if _native.checked_flag(large_pages, "large_pages"):
        if address is not None or near is not None or top_down:
            raise ValueError("large_pages goes where the system likes: address=, near= and top_down= are not for it")
        return Region(size, large=protection)
    region = Region(size, address=address, near=near, top_down=top_down, allocation_protection=protection)
    try:
        region.commit(0, None, protection)
    except BaseException:
        region.release()
        raise
    return region
