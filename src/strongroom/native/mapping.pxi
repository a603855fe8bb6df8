# Mapped views: regions whose pages are a section's. A part of _native.pyx.

cdef enum:
    _SHARED_VIEW = SR_NO_ACCESS | SR_READ_ONLY | SR_GUARD
    _EXECUTABLE_VIEW = _SHARED_VIEW | SR_EXECUTE | SR_EXECUTE_READ

#: What the pages of a view may become, by what it was made with.
_PAGES_OF = {
    SR_READ_ONLY: _SHARED_VIEW,
    SR_READ_WRITE: _SHARED_VIEW | SR_READ_WRITE,
    SR_WRITE_COPY: _SHARED_VIEW | SR_WRITE_COPY,
    SR_EXECUTE_READ: _EXECUTABLE_VIEW,
    SR_EXECUTE_READ_WRITE: _EXECUTABLE_VIEW | SR_READ_WRITE | SR_EXECUTE_READ_WRITE,
    SR_EXECUTE_WRITE_COPY: _EXECUTABLE_VIEW | SR_WRITE_COPY | SR_EXECUTE_WRITE_COPY,
}


@cython.no_gc_clear
cdef class MappedView(Region):
    """A region whose pages are a section's; ``strongroom.vm.MappedView`` is its public face."""

    cdef Section section           # None once it is released
    cdef readonly uint64_t offset  # in the section, bytes

    def __init__(self, *_, **__):
        raise TypeError("a MappedView comes from map() of a Section, or from map_file()")

    def __dealloc__(self):
        if self.section is not None:
            self.section.let_go()  # the base does the rest

    cdef void was_released(self) noexcept:
        cdef Section section = self.section
        self.delist()
        self.section = None
        if section is not None:
            section.let_go()

    @property
    def protection(self):
        """What it was made with."""
        return self.allocation_protection

    def flush(self, offset=0, size=None):
        """Have what was written through the view written to its file, and wait for it.

        Args:
            offset: Bytes from the view's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the view's end.

        Raises:
            ValueError, TypeError, DestroyedError: A range outside the view, a view that was released.
            SystemCallError: The file system failed.

        Platform notes: Windows hands the pages to the file system; only ``os.fsync`` of the file waits for the disk.

        Source: FlushViewOfFile; msync(2) MS_SYNC.

        Version added: 0.1.
        """
        cdef sr_request request
        cdef sr_error error
        cdef int outcome
        self.pages_of(offset, size, &request)
        request.verb = SR_HOLD  # it stays mapped meanwhile
        request.kind = SR_HOLD_VIEW
        request.mode = SR_NO_ACCESS
        self.must(&request)
        with nogil:
            outcome = sr_os_flush_view(self.region.address + request.offset, request.size, &error)
        request.verb = SR_UNHOLD
        self.do(&request)
        if outcome:
            _raise(&error)


cdef MappedView _map_view(type kind, Section section, uint64_t offset, size_t size, unsigned protection):
    """A new view of a kind that is MappedView, or made from it."""
    cdef sr_error error
    cdef MappedView view = kind.__new__(kind, _LATER)
    cdef void *address = NULL
    cdef size_t count = (size - 1) // _page_size + 1
    cdef unsigned allowed = _PAGES_OF[protection]
    _make_room_for_region()
    if sr_os_map_view(section.native, offset, &size, <sr_protection>protection, &address, &error):
        _raise(&error)
    sr_region_adopt(&view.region, address, count, protection, allowed)
    view.address = <size_t>address
    view.size = size
    view.whole_size = count * _page_size
    view.allocation_protection = protection
    view.offset = offset
    view.section = section
    section.view_count += 1
    view.enlist()
    return view
