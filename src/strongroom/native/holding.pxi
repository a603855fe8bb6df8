# Who relies on a region: the block that has a View of it, and who secured it. A part of _native.pyx.


@cython.final
@cython.no_gc_clear
cdef class RegionAccess(Use):
    """One use of a region's pages, for one ``with`` block that yields a View of them. ``view()`` returns it.

    The pages cannot be given back or made stricter before the block has ended and the last buffer is gone that a
    View of it handed out.

    Raises:
        TypeError: It was made directly, pickled or copied.
        AccessError: On entering, if it was entered before, or the pages do not allow what it is for.
        DestroyedError: On entering, if the region was released.
        BufferError: On leaving, if a buffer was kept; the message names what kept it.

    Platform notes: in a forked child a View that the parent had goes on, over the child's copy of the pages; of a
    window, whose pages are not there, it raises ``ForkedError``.

    Does not protect against: other code unmapping or protecting the pages; a touch then is a fault.

    Source: the buffer protocol (PEP 3118).

    Version added: 0.1.
    """

    cdef AddressSpace region
    cdef size_t offset, size
    cdef uint64_t hold

    def __dealloc__(self):
        if self.hold:
            self.let_go()

    def __enter__(self):
        cdef sr_request request
        if self.phase != NEW:
            raise AccessError("an access is good for one with block: call view() again")
        self.phase = ENTERING
        try:
            view = _new_view(self)
            self.region.pages_of(self.offset, self.size, &request)
            request.verb = SR_HOLD
            request.kind = SR_HOLD_VIEW
            request.mode = SR_READ_WRITE if self.writable else SR_READ_ONLY
            self.region.must(&request)
        except BaseException:
            self.phase = NEW
            raise
        self.hold = request.hold
        self.phase = OPEN
        view.data = <unsigned char *>self.region.region.address + self.offset
        view.size = self.size
        return view

    def __exit__(self, kind, value, traceback):
        if self.phase != OPEN:
            return
        self.phase = ENDED
        if self.exports == 0:
            self.let_go()
        elif value is None:  # an exception already on its way is never replaced
            start = self.region.address + self.offset
            keepers = _host.keepers(start, start + self.size)
            raise BufferError(
                f"a buffer of this region was kept past the block that viewed it: {keepers}. The pages can neither be "
                "given back nor made more restrictive until that is released.")

    cdef int require_open(self) except -1:
        Use.require_open(self)
        if self.region.region.kind == SR_KIND_WINDOW and (
                self.region.region.window == NULL or not sr_window_is_ours(self.region.region.window)):
            raise ForkedError("this View was made before a fork: its physical pages are not in this child")
        return 0

    cdef void let_go(self) noexcept:
        cdef sr_request request
        request.verb = SR_UNHOLD
        request.size = 0
        request.hold = self.hold
        self.region.do(&request)
        self.hold = 0

    cdef int take_back(self) except -1:
        self.exports -= 1
        if self.exports == 0 and self.phase == ENDED:
            self.let_go()
        return 0


@cython.final
@cython.no_gc_clear
cdef class SecureHandle:
    """The promise that a range is not given back nor made more restrictive. ``secure()`` of a region returns it.

    A context manager: leaving the block ends the promise, as ``unsecure()`` does. A handle that is forgotten keeps its
    region secured, and alive, until the process ends.

    Attributes: ``offset`` and ``size`` in bytes, whole pages; ``mode``, ``READ_ONLY`` or ``READ_WRITE``;
    ``is_permanent``; ``is_held``.

    Raises:
        TypeError: It was made directly, pickled or copied.
        AccessError: A block is entered with a handle that was ended.

    Platform notes: in a forked child it holds nothing, and cannot be ended.

    Does not protect against: code that calls the system itself, unless permanent; docs/vm/securing.md has what is left.

    Source: MmSecureVirtualMemory (ntddk.h); mseal(2), Linux 6.10.

    Version added: 0.1.
    """

    cdef AddressSpace region
    cdef readonly size_t offset    # bytes from the region's start, rounded down to a page
    cdef readonly size_t size      # bytes, rounded up
    cdef readonly unsigned mode    # READ_ONLY or READ_WRITE
    cdef readonly bint is_permanent
    cdef uint64_t hold, generation

    def __init__(self):
        raise TypeError("a SecureHandle comes from secure()")

    def __dealloc__(self):
        if self.hold and self.generation == sr_generation():
            Py_INCREF(self.region)  # for ever: nobody is left who could end the promise
            if not self.is_permanent:
                # Not the warnings module, which is gone when the last handles go at the end of the interpreter.
                PyErr_WarnEx(ResourceWarning, b"a SecureHandle was forgotten: its range stays secured until the "
                             b"process ends", 1)

    @property
    def is_held(self):
        """Whether the promise holds, here and now."""
        return self.hold != 0 and self.generation == sr_generation()

    def unsecure(self):
        """End the promise.

        Raises:
            AccessError: It was ended before.
            ForkedError: The handle was made before a fork and means nothing in this child.
            SecuredError: It is permanent.

        Source: MmUnsecureVirtualMemory.

        Version added: 0.1.
        """
        cdef sr_request request
        if self.hold == 0:
            raise AccessError("this handle was ended already")
        if self.generation != sr_generation():
            raise ForkedError("this handle was made before a fork: it secures the parent's memory, and ends there")
        if self.is_permanent:
            raise SecuredError("a permanent handle ends with the process")
        request.verb = SR_UNHOLD
        request.size = 0
        request.hold = self.hold
        self.region.must(&request)
        self.hold = 0

    def __enter__(self):
        if not self.is_held:
            raise AccessError("this handle holds nothing any more")
        return self

    def __exit__(self, kind, value, traceback):
        if self.hold == 0 or self.is_permanent:
            return
        try:
            self.unsecure()
        except ForkedError:
            if value is None:
                raise

    def __repr__(self):
        state = "permanent" if self.is_permanent else "held" if self.is_held else "ended"
        return f"<SecureHandle {self.size:,} bytes from offset {self.offset:#x}, {protection_name(self.mode)}, {state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a SecureHandle cannot be pickled or copied: it ends in the process that made it")


def view_region(AddressSpace region not None, offset, size, bint writable):
    """The access behind ``Region.view``."""
    cdef sr_request request
    cdef RegionAccess access = RegionAccess.__new__(RegionAccess)
    region.bytes_of(offset, size, &request)
    access.region = region
    access.offset = request.offset
    access.size = request.size
    access.writable = writable
    access.phase = NEW
    return access


def secure_region(AddressSpace region not None, offset, size, mode, permanent):
    """The handle behind ``Region.secure``."""
    cdef sr_request request
    cdef SecureHandle handle = SecureHandle.__new__(SecureHandle)
    cdef size_t wanted = _checked_number(mode, "mode")
    cdef bint is_permanent = checked_flag(permanent, "permanent")
    if wanted != SR_READ_ONLY and wanted != SR_READ_WRITE:
        raise ValueError(f"mode must be READ_ONLY or READ_WRITE, not {wanted:#x}")
    region.pages_of(offset, size, &request)
    handle.region = region
    request.verb = SR_HOLD
    request.kind = SR_HOLD_PERMANENT if is_permanent else SR_HOLD_SECURE
    request.mode = SR_READ_ONLY if wanted == SR_READ_ONLY else SR_READ_WRITE
    region.must(&request)
    handle.hold = request.hold
    handle.generation = sr_generation()
    handle.offset = request.offset
    handle.size = request.size
    handle.mode = <unsigned>wanted
    handle.is_permanent = is_permanent
    return handle
