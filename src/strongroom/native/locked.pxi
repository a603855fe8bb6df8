# LockedBuffer: the public face of a block. A part of _native.pyx.

cdef class LockedBuffer(Block):
    """LockedBuffer(size, *, backing="auto", isolated=None, policy=None, align=1)
--

Keep bytes in memory that stays out of swap, core dumps, forked children and freed heap.

        with LockedBuffer(32) as key:
            with key.open("rw") as view:
                view[:] = derive()
            with key.open() as view:
                sign(view, message)

    Up to 1,024 bytes share locked pages with other small buffers: a 32-byte key takes 48 bytes of the lock limit, not
    a page. A canary lies before each, which is checked when a block that may write ends and when the buffer is
    destroyed; inaccessible pages lie around them all. Larger ones, and those with ``isolated=True``, have pages of
    their own: the bytes end where an inaccessible page begins, and while no block has them open the pages are
    inaccessible to this process too. One that is left to the garbage collector is wiped then, and ``python -X dev``
    warns of it, with the line that made it.

    Args:
        size: Bytes, at least 1. Locked memory is used in steps of 16, 32, 64, 128, 256, 512 and 1,024 bytes plus 16
            bytes for the canary; for pages of its own, ``size`` plus 16 rounded up to whole pages.
        backing: ``"locked"`` (private pages, locked), ``"secretmem"`` (Linux: pages that the kernel itself does not
            map) or ``"auto"``: secret memory for up to 64 KiB where the machine cannot hibernate, else locked.
        isolated: ``True``: pages of its own. ``False``: shared pages, for up to 1,024 bytes. ``None``: shared ones for
            up to 1,024 bytes unless the policy requires what only own pages give.
        align: Bytes, a power of two up to the page size: where the first byte lies is a multiple of it, as NumPy and
            vector instructions want for wider items. The bytes then end up to ``align`` - 1 bytes before their slot or
            page does; those are zeros, checked with the canary. Above 16 the buffer has pages of its own.
        policy: A :class:`~strongroom.Policy`; ``None`` stands for the operator's (``STRONGROOM_POLICY``), the
            program's (:func:`~strongroom.configure`), or what the system can give by default.

    Raises:
        ValueError, TypeError: A size, backing or policy that makes no sense, ``STRONGROOM_POLICY`` included; the
            message names it.
        LockLimitError: The system will lock no more; nothing else is harmed. Says the limit and the remedies, and how
            long it waited.
        UnsupportedError: This system lacks what was asked for, or its own listing says that it did not do it.
        MemoryError: There is no ordinary memory for what describes the locked pages.
        SystemCallError: Another refusal, with the call's name.

    ``==`` compares with another buffer, a ``Secret`` or bytes, and takes the same time wherever two values of one
    length differ. ``freeze()`` lets it be opened for reading only until ``melt()``.

    Platform notes: Linux complete; Windows, macOS and BSD give LOCKED and what their kernels offer beside it.

    Does not protect against: whoever can read this process's memory while a block has it open (small ones, and with
    ``"locked"`` also root, at any time; ``gcore -a`` and hibernation with ``"locked"``); code running in this process;
    copies that you make.

    Source: mlock(2), madvise(2), memfd_secret(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

    Version added: 0.1.
    """

    def copy_from(self, source, offset=0):
        """Copy bytes into this buffer and leave the source as it is.

        Args:
            source: Anything with a contiguous buffer, another ``LockedBuffer``, or a ``Secret``.
            offset: Bytes from the beginning of this buffer. What lies before, and after the source's last byte, stays.

        Raises:
            ValueError: It does not fit; says both sizes. Nothing was copied.
            TypeError: The source has no buffer, or the offset is no integer.
            AccessError: This buffer is frozen.
            BufferError: The source is not contiguous (NumPy says that as a ValueError), or a buffer of this one is still kept.
            DestroyedError, ForkedError, PurgedError: There is nothing to write to or to read.

        Does not protect against: the source, which still holds the bytes. ``move_from`` wipes it.

        Version added: 0.1.
        """
        if isinstance(source, Keeper):
            with source.open() as view:
                self.put(view, offset)
        else:
            self.put(source, offset)

    def move_from(self, source, offset=0):
        """Copy bytes into this buffer, then overwrite the source with zeros.

        Args:
            source: Anything with a writable contiguous buffer (``bytearray``, ``array``, a View opened with ``"rw"``),
                or another ``LockedBuffer``.
            offset: Bytes from the beginning of this buffer. What lies before, and after the source's last byte, stays.

        Raises:
            ValueError: It does not fit, or is this very buffer. Nothing was copied or wiped.
            TypeError: The source cannot be written (``bytes``, ``str``, ``Secret``), so nobody can wipe it.
            AccessError: This buffer is frozen, or the source is.
            BufferError: The source is not contiguous (NumPy says that as a ValueError), or a buffer of this one is still kept.
            DestroyedError, ForkedError, PurgedError: There is nothing to write to or to read.

        Does not protect against: copies that were made of the source before: by growing a ``bytearray``, for example.

        Version added: 0.1.
        """
        if source is self:
            raise ValueError("a buffer cannot be moved into itself, nor can a part of it")
        if isinstance(source, LockedBuffer):
            with source.open("rw") as view:
                self.put(view, offset)
                _wipe_buffer(view)
            return
        if isinstance(source, Sealed) or memoryview(source).readonly:
            raise TypeError(
                f"{type(source).__name__} cannot be overwritten: copy_from() takes it and leaves the original")
        if self.holds(source):
            raise ValueError("a buffer cannot be moved into itself, nor can a part of it")
        self.put(source, offset)
        _wipe_buffer(source)

    def guarantees(self):
        """Ask the operating system what this buffer really has, now.

        Returns:
            The name of each guarantee and its evidence: ``state`` (verified, requested, unavailable, refused),
            ``source`` (where that was read) and ``time`` (seconds since the epoch).

        Raises:
            DestroyedError, ForkedError, PurgedError: There is nothing to ask about.

        Platform notes: read back from ``/proc/self/smaps`` on Linux (about a millisecond), by VirtualQuery and
        QueryWorkingSetEx on Windows; elsewhere what the calls answered. From the next fork on, in parent and child,
        what was ``verified`` reads ``requested``: ask again.

        Version added: 0.1.
        """
        return _host.collect(self)

    @cython.final
    cdef int put(self, object source, object offset) except -1:
        """Copy a buffer's bytes to an offset; they fit or nothing is done."""
        size = memoryview(source).nbytes
        start = checked_number(offset, "offset")
        if start + size > self.size:
            raise ValueError(f"{size:,} bytes at offset {start:,} do not fit into {self.size:,} bytes")
        with self.open("rw") as view:
            view[start:start + size] = source
        return 0

    @cython.final
    cdef bint holds(self, object thing) except -1:
        """Whether a buffer lies in this memory, or reaches into it."""
        cdef Py_buffer buffer
        PyObject_GetBuffer(thing, &buffer, PyBUF_FULL_RO)
        start = <size_t>buffer.buf
        end = start + <size_t>buffer.len
        PyBuffer_Release(&buffer)
        return start < <size_t>self.place.data + self.size and <size_t>self.place.data < end


cdef object _is_equal(Keeper mine, object other):
    """In constant time for equal lengths; what is no memory at all is left to the other's own opinion."""
    if isinstance(other, str):
        raise TypeError(f"a {type(mine).__name__} holds bytes: compare it with bytes, not with str")
    if not (isinstance(other, Keeper) or PyObject_CheckBuffer(other)):
        return NotImplemented
    with mine.open() as left:
        if isinstance(other, Keeper):
            with other.open() as right:
                return _compare_digest(left, right)
        return _compare_digest(left, other)
