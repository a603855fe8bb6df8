# The views of sections. A part of _native.pyx.

import weakref as _weakref

_views = _weakref.WeakValueDictionary()  # every MappedView that is mapped, by its address

#: What the pages of a view may become later.
_PAGES_OF = {
    SR_READ_ONLY: SR_NO_ACCESS | SR_READ_ONLY,
    SR_READ_WRITE: SR_NO_ACCESS | SR_READ_ONLY | SR_READ_WRITE,
    SR_WRITE_COPY: SR_NO_ACCESS | SR_READ_ONLY | SR_WRITE_COPY,
    SR_EXECUTE_READ: SR_NO_ACCESS | SR_READ_ONLY | SR_EXECUTE | SR_EXECUTE_READ,
    SR_EXECUTE_READ_WRITE: SR_NO_ACCESS | SR_READ_ONLY | SR_READ_WRITE | SR_EXECUTE | SR_EXECUTE_READ
        | SR_EXECUTE_READ_WRITE,
    SR_EXECUTE_WRITE_COPY: SR_NO_ACCESS | SR_READ_ONLY | SR_WRITE_COPY | SR_EXECUTE | SR_EXECUTE_READ
        | SR_EXECUTE_WRITE_COPY,
}

cdef enum:
    _WRITABLE = 0x04 | 0x08 | 0x40 | 0x80


cdef void _unlock_quietly(char *start, size_t length) noexcept nogil:
    """A lock that failed may have locked part of the range."""
    cdef sr_error error
    sr_os_unlock(start, length, &error)


@cython.final
@cython.no_gc_clear
cdef class MappedView:
    """A part of a section in this process's memory. ``map`` of a section returns it.

    Attributes: ``address`` and ``size`` in bytes; ``offset`` in the section; ``protection``, what it was made with.
    A context manager: leaving the block unmaps it. So does the end of the last reference to it.

    ``read`` and ``write`` go through the kernel: where a file was truncated they raise, touching it would be a fault.

    Platform notes: in a forked child it shows the same section, a copy of its own where it is ``WRITE_COPY``.

    Does not protect against: what is in a view is in its file, in the page cache, and in every process that maps it:
    secrets do not belong there.

    Version added: 0.1.
    """

    cdef char *data                # NULL once unmapped
    cdef Section section
    cdef size_t pages_size         # size, in whole pages
    cdef Py_ssize_t users          # blocks, buffers and calls that rely on it
    cdef readonly size_t address
    cdef readonly size_t size
    cdef readonly uint64_t offset
    cdef readonly unsigned protection
    cdef object __weakref__

    def __init__(self):
        raise TypeError("a MappedView comes from map() of a Section")

    def __dealloc__(self):
        cdef sr_error error
        if self.data != NULL:
            sr_os_unmap_view(self.data, self.pages_size, &error)
            self.let_go()

    cdef void let_go(self) noexcept:
        self.data = NULL
        self.section.view_count -= 1
        if self.section.view_count == 0 and self.section.is_closed:
            self.section.give_up()

    cdef char *part(self, object offset, object size, size_t *length, bint in_pages) except NULL:
        """Check a range of bytes, and that the view is there. In whole pages: its start goes down, its end up."""
        cdef size_t start = _checked_number(offset, "offset")
        if self.data == NULL:
            raise DestroyedError("this view was unmapped")
        if start >= self.size:
            raise ValueError(f"offset {start:,} is outside this view of {self.size:,} bytes")
        length[0] = self.size - start if size is None else _checked_number(size, "size")
        if not 1 <= length[0] <= self.size - start:
            raise ValueError(f"{length[0]:,} bytes from offset {start:,} are not in this view of {self.size:,} bytes")
        if in_pages:
            length[0] += start % _page_size
            start -= start % _page_size
            length[0] = (length[0] + _page_size - 1) // _page_size * _page_size
        return self.data + start

    cdef int settle(self, int outcome, sr_error *error) except -1:
        """A call that ran without the GIL has ended."""
        self.users -= 1
        if outcome:
            if sr_os_is_lock_limit(error):
                raise _host.refusal(error.call.decode(), error.code, True, self.pages_size)
            _raise(error)
        return 0

    def read(self, offset=0, size=None):
        """Copy bytes out, the kernel checking each page: a forbidden one is an error, not a crash.

        Args:
            offset: Bytes from the view's start.
            size: Bytes. ``None``: up to the view's end.

        Returns:
            The bytes, an ordinary copy.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the view, a view that was unmapped.
            AccessError: A page may not be read, or the file has become shorter.

        Version added: 0.1.
        """
        cdef size_t length
        cdef char *source = self.part(offset, size, &length, False)
        result = PyBytes_FromStringAndSize(NULL, length)
        self.copy(PyBytes_AS_STRING(result), source, length)
        return result

    def write(self, offset, data):
        """Copy bytes in, the kernel checking each page: a forbidden one is an error, not a crash.

        Args:
            offset: Bytes from the view's start.
            data: Anything with a buffer of contiguous bytes.

        Returns:
            How many bytes were written: all.

        Raises:
            ValueError, TypeError, DestroyedError, AccessError: As for ``read``.

        Version added: 0.1.
        """
        cdef Py_buffer source
        cdef size_t length
        cdef char *target
        PyObject_GetBuffer(data, &source, PyBUF_SIMPLE)
        try:
            if source.len == 0:
                return 0
            target = self.part(offset, source.len, &length, False)
            if <char *>source.buf < target + length and target < <char *>source.buf + length:  # it may lie where it goes
                return self.write(offset, PyBytes_FromStringAndSize(<char *>source.buf, source.len))
            self.copy(target, <char *>source.buf, length)
            return source.len
        finally:
            PyBuffer_Release(&source)

    cdef int copy(self, char *to, const char *source, size_t length) except -1:
        cdef sr_error error
        cdef int outcome
        self.users += 1
        with nogil:
            outcome = sr_os_copy(to, source, length, &error)
        self.users -= 1
        if outcome:
            raise AccessError(
                f"{length:,} bytes of this view cannot be copied ({error.call.decode()}, error {error.code}): a page "
                "forbids that, or the file has become shorter")
        return 0

    def view(self, offset=0, size=None, mode="r"):
        """Return the access for a ``with`` block that yields a View of the bytes themselves, not a copy.

        Args:
            offset: Bytes from the view's start.
            size: Bytes. ``None``: up to the view's end.
            mode: ``"r"`` to read, ``"rw"`` to write too.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside, an unknown mode, a view that was unmapped.
            AccessError: On entering the block, if the view was not made to be written.
            BufferError: On leaving it, if a buffer of the View was kept.

        Does not protect against: somebody making the file shorter; a touch then is a fault.

        Version added: 0.1.
        """
        cdef MappedAccess access = MappedAccess.__new__(MappedAccess)
        if mode not in ("r", "rw"):
            raise ValueError(f"mode must be 'r' or 'rw', not {mode!r}")
        access.data = self.part(offset, size, &access.size, False)
        access.mapped = self
        access.writable = mode == "rw"
        if access.writable and not self.protection & _WRITABLE:
            raise AccessError(f"this view is {protection_name(self.protection)}: map() it to be written")
        access.phase = NEW
        return access

    def flush(self, offset=0, size=None):
        """Have what was written through the view written to its file, and wait for it.

        Args:
            offset: Bytes from the view's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the view's end.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``read``.
            SystemCallError: The file system failed.

        Platform notes: Windows hands the pages to the file system; only ``os.fsync`` of the file waits for the disk.

        Source: FlushViewOfFile; msync(2) MS_SYNC.

        Version added: 0.1.
        """
        cdef sr_error error
        cdef size_t length
        cdef char *start = self.part(offset, size, &length, True)
        cdef int outcome
        self.users += 1
        with nogil:
            outcome = sr_os_flush_view(start, length, &error)
        self.settle(outcome, &error)

    def protect(self, offset, size, protection):
        """Change what may be done with pages, within what the view was made with.

        Args:
            offset: Bytes from the view's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the view's end.
            protection: One of the eight.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``read``; a protection that is none.
            AccessError: More than the view was made with.
            BufferError: A block or a buffer relies on the view.
            SystemCallError: The system refused.

        Source: VirtualProtect; mprotect(2).

        Version added: 0.1.
        """
        cdef sr_error error
        cdef size_t length
        cdef char *start = self.part(offset, size, &length, True)
        if protection not in PROTECTIONS.values():
            raise ValueError(f"protection must be one of the eight, not {protection!r}")
        if not <object>protection & _PAGES_OF[self.protection]:
            raise AccessError(f"a {protection_name(self.protection)} view cannot become {protection_name(protection)}")
        self.must_be_unused("its protection cannot change")
        if sr_os_protect(start, length, protection, &error):
            _raise(&error)

    def lock(self, offset=0, size=None):
        """Keep pages in RAM; not counted: one ``unlock`` undoes any number.

        Args:
            offset: Bytes from the view's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the view's end.

        Raises:
            ValueError, TypeError, DestroyedError: As for ``read``.
            LockLimitError: The system will keep no more of this process in RAM.
            SystemCallError: Another refusal.

        Does not protect against: pages of a file being written to that file; that is what they are for.

        Source: mlock(2), VirtualLock.

        Version added: 0.1.
        """
        cdef sr_error error
        cdef size_t length
        cdef char *start = self.part(offset, size, &length, True)
        cdef int outcome
        self.users += 1
        with nogil:
            outcome = sr_os_lock(start, length, &error)
            if outcome:
                _unlock_quietly(start, length)
        self.settle(outcome, &error)

    def unlock(self, offset=0, size=None):
        """Let the system page out what ``lock`` kept; what was not locked is fine.

        Args, Raises: As for ``lock``.

        Source: munlock(2), VirtualUnlock.

        Version added: 0.1.
        """
        cdef sr_error error
        cdef size_t length
        cdef char *start = self.part(offset, size, &length, True)
        if sr_os_unlock(start, length, &error):
            _raise(&error)

    cdef int must_be_unused(self, str what) except -1:
        if self.users:
            keepers = _host.keepers(self.address, self.address + self.size)
            raise BufferError(f"a with block or a buffer relies on this view, so {what}: {keepers}")
        return 0

    def unmap(self):
        """Take the view out of this process's memory; twice is fine.

        Raises:
            BufferError: A block or a buffer relies on it.
            SystemCallError: The system refused. Nothing was changed.

        Source: UnmapViewOfFile; munmap(2).

        Version added: 0.1.
        """
        cdef sr_error error
        if self.data == NULL:
            return
        self.must_be_unused("it cannot be unmapped")
        if sr_os_unmap_view(self.data, self.pages_size, &error):
            _raise(&error)
        if _views.get(self.address) is self:
            del _views[self.address]
        self.let_go()

    @property
    def is_unmapped(self):
        """Whether the view is gone."""
        return self.data == NULL

    def __len__(self):
        return self.size

    def __enter__(self):
        if self.data == NULL:
            raise DestroyedError("this view was unmapped")
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.unmap()
        except Exception as error:
            if value is None:
                raise
            _report(error)  # an exception already on its way is never replaced

    def __repr__(self):
        state = ", unmapped" if self.data == NULL else ""
        return f"<MappedView {self.size:,} bytes at {self.address:#x}, {protection_name(self.protection)}{state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a MappedView cannot be pickled or copied: it is memory of this process")
