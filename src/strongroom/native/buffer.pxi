# What every buffer of the user's can do: copy in and out, say what it has. A part of _native.pyx.

cdef class AnyBuffer(Block):
    """What ``LockedBuffer``, ``VolatileBuffer`` and ``FileBuffer`` have in common; none of itself."""

    def copy_from(self, source, offset=0):
        """Copy bytes into this buffer and leave the source as it is.

        Args:
            source: Anything with a contiguous buffer, another buffer of strongroom's, or a ``Secret``.
            offset: Bytes from the beginning of this buffer. What lies before, and after the source's last byte, stays.

        Raises:
            ValueError: It does not fit; says both sizes. Nothing was copied.
            TypeError: The source has no buffer, or the offset is no integer.
            AccessError: This buffer is frozen.
            BufferError: The source is not contiguous (NumPy says that as a ValueError), or a buffer of this one is still kept.
            DestroyedError, ForkedError, PurgedError: There is nothing to write to or to read.
            ContentsLostError: The system dropped the source's contents, or this buffer's: nothing but all the bytes at once
                brings those back. What was copied is zeros again. Where both may vanish the message says which has.
            SystemCallError: A private file's device does not give pages back, or has no room for what is to be written.

        Does not protect against: the source, which still holds the bytes. ``move_from`` wipes it.

        Version added: 0.1.
        """
        if isinstance(source, Keeper):
            self.put_contents(source, offset, False)
        else:
            self.put(source, offset)

    def move_from(self, source, offset=0):
        """Copy bytes into this buffer, then overwrite the source with zeros.

        Args:
            source: Anything with a writable contiguous buffer (``bytearray``, ``array``, a View opened with ``"rw"``),
                or another buffer of strongroom's.
            offset: Bytes from the beginning of this buffer. What lies before, and after the source's last byte, stays.

        Raises:
            ValueError: It does not fit, or is this very buffer. Nothing was copied or wiped.
            TypeError: The source cannot be written (``bytes``, ``str``, ``Secret``), so nobody can wipe it.
            AccessError: This buffer is frozen, or the source is.
            BufferError: The source is not contiguous (NumPy says that as a ValueError), or a buffer of this one is still kept.
            DestroyedError, ForkedError, PurgedError: There is nothing to write to or to read.
            ContentsLostError, SystemCallError: As for ``copy_from``. The source is wiped only when all of it was copied.

        Does not protect against: copies that were made of the source before: by growing a ``bytearray``, for example.

        Version added: 0.1.
        """
        if source is self:
            raise ValueError("a buffer cannot be moved into itself, nor can a part of it")
        if isinstance(source, AnyBuffer):
            self.put_contents(source, offset, True)
            return
        if isinstance(source, Sealed) or memoryview(source).readonly:
            raise TypeError(
                f"{type(source).__name__} cannot be overwritten: copy_from() takes it and leaves the original")
        if self.holds(source):
            raise ValueError("a buffer cannot be moved into itself, nor can a part of it")
        self.put(source, offset)
        _wipe_buffer(source)

    def read_into(self, target):
        """Copy the bytes out, and then make sure that they were there: what this returns from is never dropped memory.

        Args:
            target: Anything with a writable contiguous buffer of exactly as many bytes, or another buffer of strongroom's:
                one whose own contents were lost has these then, and its ``rebuild`` is not asked.

        Raises:
            ValueError: Another size; says both.
            TypeError: The target has no buffer.
            AccessError: The target is frozen.
            BufferError: It cannot be written to, or is not contiguous.
            ContentsLostError: The system dropped the contents, and nobody brings them back; the target is zeros, or lost
                if it can be. Or it dropped the target's time and again; the message says that it is those.
            DestroyedError, ForkedError, PurgedError: There is nothing to read, or to write to.
            SystemCallError: A private file's device does not give pages back, or has no room for what is to be written.

        Does not protect against: the copy, which is as safe as the target is.

        Version added: 0.1.
        """
        cdef Py_buffer buffer
        if isinstance(target, AnyBuffer):
            _read_into_buffer(self, target)
            return
        PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE)
        try:
            if <size_t>buffer.len != self.size:
                raise ValueError(f"a buffer of {self.size:,} bytes is read into exactly that many, not {buffer.len:,}")
            _read_out(self, &buffer)
        finally:
            PyBuffer_Release(&buffer)

    @property
    def intact(self):
        """Whether the contents are there: always, unless they can vanish.

        It asks nobody to bring them back, and of contents that were never stored where ``rebuild`` is to, says no. What
        vanishes after that is noticed when it is used.

        Raises:
            DestroyedError, ForkedError, PurgedError: There are none to ask about.
            SystemCallError: The page cannot be made readable, or its file's device does not give it back.

        Version added: 0.1.
        """
        cdef bint is_missing
        self.require_usable()
        if not sr_can_vanish(<sr_backing>self.kept_in):
            return True
        if self.exports:  # what was kept of it keeps it readable too
            return not self.is_missing(False)
        self.enter(False)
        is_missing = self.is_missing(False)
        self.leave(False)
        return not is_missing

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
        is_all = start == 0 and <size_t>size == self.size and sr_can_vanish(<sr_backing>self.kept_in)
        if is_all and not self.intact:
            self.store_anew(source)
            return 0
        try:
            with self.open("rw") as view:
                view[start:start + size] = source
        except ContentsLostError:  # since that was asked, and what was there does not matter
            if not is_all:
                raise
            self.store_anew(source)
        return 0

    @cython.final
    cdef int store_anew(self, object source) except -1:
        """All the bytes, into contents that were lost."""
        cdef Py_buffer buffer
        cdef bint is_lost = True
        cdef int attempt
        if isinstance(self, VolatileBuffer):
            (<VolatileBuffer>self).build(_Copying(source))
            return 0
        PyObject_GetBuffer(source, &buffer, PyBUF_SIMPLE)
        try:
            if <size_t>buffer.len != self.size:
                raise ValueError(f"all {self.size:,} bytes are stored anew, not {buffer.len:,}")
            for attempt in range(FILLS_TRIED):
                if self.frozen:
                    raise AccessError(f"this {type(self).__name__} is frozen: melt() makes it writable again")
                _renew(self)
                self.enter(True)  # from here to leave() no other thread runs: none takes the zeros for contents
                memmove(self.place.data, buffer.buf, self.size)
                sr_forget_registers()
                is_lost = self.is_missing(True)
                self.leave(True)
                if not is_lost:
                    return 0
        finally:
            PyBuffer_Release(&buffer)
        raise _lost(self)

    @cython.final
    cdef int put_contents(self, Keeper source, object offset, bint is_moved) except -1:
        """Copy a whole buffer or secret, and nothing of one whose contents turn out to have vanished meanwhile."""
        cdef bint is_put = False, is_mine = False
        start = checked_number(offset, "offset")  # once: another time it may be another one
        try:
            with source.open("rw") if is_moved else source.open() as view:
                try:
                    self.put(view, start)
                except ContentsLostError as error:
                    is_mine = True
                    raise ContentsLostError(f"the target of the copy: {error}") from error
                is_put = True
                if is_moved:
                    _wipe_buffer(view)
        except ContentsLostError as error:
            if is_put:
                self.take_back(start, len(source))
            if is_mine:
                raise
            raise ContentsLostError(f"the source of the copy: {error}") from error
        except SystemCallError:  # also where the source's page does not come back to be looked at
            if is_put:
                self.take_back(start, len(source))
            raise
        return 0

    @cython.final
    cdef int take_back(self, object start, size_t size) except -1:
        if size == self.size and sr_can_vanish(<sr_backing>self.kept_in):
            return _lose(self)
        with self.open("rw") as view:
            _wipe_buffer(view[start:start + size])
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


cdef class _Copying:
    """What fills a View with the bytes of a source."""

    cdef object source

    def __cinit__(self, source):
        self.source = source

    def __call__(self, view):
        view[:] = self.source


cdef int _read_out(Block block, Py_buffer *buffer) except -1:
    cdef int attempt
    cdef View view
    for attempt in range(FILLS_TRIED):
        try:
            with block.open() as view:
                memmove(buffer.buf, view.data, view.size)
                sr_forget_registers()
            return 0
        except ContentsLostError:
            sr_os_wipe(buffer.buf, buffer.len)
            if attempt == FILLS_TRIED - 1 or not block.refill():
                raise
    return 0


cdef int _read_into_buffer(AnyBuffer source, AnyBuffer target) except -1:
    """As ``copy_from`` does it, all of the bytes; and again if the source can be brought back."""
    cdef int attempt
    if target.size != source.size:
        raise ValueError(
            f"a buffer of {source.size:,} bytes is read into exactly that many, not {target.size:,}")
    target.require_usable()
    if target.frozen:
        raise AccessError(f"this {type(target).__name__} is frozen: melt() makes it writable again")
    for attempt in range(FILLS_TRIED):
        try:
            target.put_contents(source, 0, False)
            return 0
        except ContentsLostError:
            target.take_back(0, target.size)
            if attempt == FILLS_TRIED - 1 or not source.refill():
                raise
    return 0


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
