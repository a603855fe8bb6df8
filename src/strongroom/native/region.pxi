# Regions: what is done to the pages of reserved address space. A part of _native.pyx.


cdef class Region(AddressSpace):
    """Region(size, *, address=None, near=None, top_down=False, alignment=0, large=None, allocation_protection=1)
--

Address space whose pages are reserved or committed; ``strongroom.vm.Region`` is its public face. The first lines are
where inspect.signature() looks, and take nothing when one is made.
"""

    cdef bint is_made

    def __init__(self, size, *, address=None, near=None, top_down=False, alignment=0, large=None,
                 allocation_protection=1):
        if self.is_made:
            raise TypeError("a region is made once: take another one for other address space")
        self.is_made = True

    def commit(self, offset=0, size=None, protection=4):  # SR_READ_WRITE, as a number: only that has a signature
        """Put memory behind pages; what was reserved becomes zeros, what was committed keeps its content.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up to a page. ``None``: up to the region's end.
            protection: What may be done with the pages, committed ones included.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError: A range outside the region, a protection that is none.
            UnsupportedError: A protection that this system cannot give.
            SecuredError, BufferError: Pages that a handle or a View relies on would become more restrictive.
            SystemCallError: The system has no memory to promise. Nothing was changed.
            DestroyedError: The region was released.

        Platform notes: nothing is resident until touched. Linux charges for writable pages only, when they first become
        so, and refuses only what is absurd unless vm.overcommit_memory is 2.

        Source: VirtualAlloc MEM_COMMIT; mprotect(2), Linux mm/mprotect.c on accounting.

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_COMMIT
        request.protection = self.known(protection)
        self.must(&request)
        return request.offset, request.size

    def decommit(self, offset=0, size=None):
        """Give the memory back and keep the address space; a later commit reads as zeros.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``commit``.
            SecuredError, BufferError: A handle or a View relies on a page.
            UnsupportedError: Large pages.
            SystemCallError: The system refused. Nothing was changed.

        Platform notes: locks on the pages end, however many there were. Pages that are reserved already are fine.

        Does not protect against: what the pages held staying in free memory until the system uses it again.

        Source: VirtualFree MEM_DECOMMIT; mmap(2) MAP_FIXED.

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_DECOMMIT
        self.must(&request)
        return request.offset, request.size

    def protect(self, offset, size, protection):
        """Change what may be done with committed pages.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.
            protection: One of the eight, with or without a modifier.

        Returns:
            The old protection of the first page. ``protected()`` brings back ranges in which there were several.

        Raises:
            ValueError, TypeError, UnsupportedError, DestroyedError: As for ``commit``.
            AccessError: A page is not committed.
            SecuredError, BufferError: A handle or a View relies on more than this leaves.
            SystemCallError: The system refused. Nothing was changed.

        Platform notes: EXECUTE is readable everywhere. GUARD is one-shot for every access on Windows; elsewhere it is
        one-shot for ``read``, ``write``, ``fill`` and ``view``, and a fault for everything else. Locked pages cannot
        become inaccessible on Windows, which would unlock them.

        Source: VirtualProtect; mprotect(2).

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_PROTECT
        request.wants_runs = 0
        request.protection = self.known(protection)
        self.must(&request)
        return request.protection

    def _protect_listed(self, offset, size, protection):
        """As ``protect``, but return every old run as ``(offset, size, protection)``."""
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_PROTECT
        request.wants_runs = 1
        request.protection = self.known(protection)
        self.must(&request)
        return [run[:3] for run in self.listed(&request)]

    def lock(self, offset=0, size=None):
        """Keep committed pages in RAM, until as many unlocks have come.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``commit``.
            AccessError: A page is not committed, or not accessible.
            LockLimitError: The system will keep no more of this process in RAM. Nothing was locked.
            SystemCallError: Another refusal. Nothing was locked.

        Platform notes: every page is touched. Locks are counted for strongroom's own calls; pages that other code had
        locked before stay locked after the last unlock (on Linux before 5.4, macOS and BSD that cannot be seen). On
        Windows the minimum working set is raised if it is too small.

        Does not protect against: hibernation, a fork (a child has copies that are not locked), the kernel moving the
        page within RAM and leaving the old copy, readers. docs/vm/locking.md says it for each system.

        Source: mlock(2), VirtualLock.

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_LOCK
        self.must(&request)
        return request.offset, request.size

    def unlock(self, offset=0, size=None):
        """Undo one ``lock`` of each page; the last one lets the system page it out again.

        Args:
            offset: Bytes from the region's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the region's end.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``commit``.
            AccessError: A page that strongroom has not locked (in a child: before the fork counts for nothing).
            SystemCallError: The system refused. Nothing was unlocked.

        Source: munlock(2), VirtualUnlock.

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_UNLOCK
        self.must(&request)
        return request.offset, request.size

    def read(self, offset=0, size=None):
        """Copy bytes out, the kernel checking each page: a forbidden one is an error, not a crash.

        Args:
            offset: Bytes from the region's start, as given.
            size: Bytes. ``None``: up to the region's end.

        Returns:
            The bytes, an ordinary copy.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``commit``.
            AccessError: A page is reserved or may not be read; the message has its state. A guard page is none after.

        Source: process_vm_readv(2), ReadProcessMemory.

        Version added: 0.1.
        """
        cdef sr_request request
        self.bytes_of(offset, size, &request)
        if request.size > MAX_SIZE:
            raise ValueError(f"size: {request.size:,} bytes are more than bytes can hold")
        request.verb = SR_COPY_OUT
        if request.size > FEW_PAGES * _page_size:  # before there is memory for what may not be read at all
            request.memory = NULL
            self.must(&request)
        result = PyBytes_FromStringAndSize(NULL, request.size)
        request.memory = PyBytes_AS_STRING(result)
        self.copy(&request)
        return result

    def write(self, offset, data):
        """Copy bytes in, the kernel checking each page: a forbidden one is an error, not a crash.

        Args:
            offset: Bytes from the region's start, as given.
            data: Anything with a buffer of contiguous bytes.

        Returns:
            How many bytes were written: all.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``commit``.
            AccessError: A page is reserved or may not be written; nothing was written if strongroom knows that. If
                other code forbade it, what came before that page may be written.

        Source: process_vm_readv(2), ReadProcessMemory.

        Version added: 0.1.
        """
        cdef sr_request request
        cdef Py_buffer source
        cdef size_t start, end
        if not PyObject_CheckBuffer(data):
            raise TypeError(f"data must be something with a buffer of bytes, not {_describe(data)}")
        PyObject_GetBuffer(data, &source, PyBUF_SIMPLE)
        try:
            if source.len == 0:
                start = _checked_number(offset, "offset")
                if start > self.size:
                    raise ValueError(f"offset {start:,} is outside this region of {self.size:,} bytes")
                if self.region.address == NULL:
                    raise DestroyedError("write: this region was released")
                return 0
            start = <size_t>source.buf
            end = start + <size_t>source.len
            if start < self.address + self.size and self.address < end:  # it may lie where it is to go
                return self.write(offset, PyBytes_FromStringAndSize(<char *>source.buf, source.len))
            self.bytes_of(offset, source.len, &request)
            request.verb = SR_COPY_IN
            request.memory = source.buf
            self.copy(&request)
            return source.len
        finally:
            PyBuffer_Release(&source)

    def fill(self, offset=0, size=None, byte=0):
        """Set bytes to one value, the kernel checking each page.

        Args:
            offset: Bytes from the region's start, as given.
            size: Bytes. ``None``: up to the region's end.
            byte: From 0 to 255.

        Raises:
            ValueError, TypeError, DestroyedError, AccessError: As for ``write``.

        Platform notes: done in steps of 4,096 bytes: what the system forbids half-way leaves the first part filled.

        Source: FillMemory (minwinbase.h); process_vm_readv(2), WriteProcessMemory.

        Version added: 0.1.
        """
        cdef sr_request request
        self.bytes_of(offset, size, &request)
        value = _checked_number(byte, "byte")
        if value > 255:
            raise ValueError(f"byte must be from 0 to 255, not {value:,}")
        request.verb = SR_FILL
        request.byte = value
        self.copy(&request)
