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

    cdef Section section           # None if it is a file's and no section's, and once it is released
    cdef readonly uint64_t offset  # in the section, bytes

    def __init__(self, *_, **__):
        raise TypeError("a MappedView comes from map() of a Section, or from map_file()")

    def __dealloc__(self):
        if <void *>self.section != NULL and self.section is not None:  # NULL: making it failed before it was anything
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
        request.kind = SR_HOLD_CALL
        request.mode = SR_NO_ACCESS
        self.must(&request)
        with nogil:
            outcome = sr_os_flush_view(self.region.address + request.offset, request.size, &error)
        request.verb = SR_UNHOLD
        self.do(&request)
        if outcome:
            _raise(&error)


cdef int _raise_for_mapping(sr_error *error, uint64_t offset, uint64_t size) except -1:
    """Say why a file or a section cannot be shown, in words where the system's own are not enough."""
    cdef str words = ""
    if error.call == b"mmap(section)" and error.code == EINVAL:
        words = (f"{size:,} bytes from offset {offset:,} on: where a file has large pages (hugetlbfs), both are "
                 "multiples of these")
    elif error.call == b"mmap(section)" and error.code == EOVERFLOW:
        words = f"the file has become shorter than {offset + (size if size else 1):,} bytes meanwhile"
    elif error.call == b"mmap(file)" and error.code == EFBIG:
        words = f"the file has fewer than {offset + size:,} bytes, and only a READ_WRITE view makes it longer"
    raise SystemCallError(error.call.decode(), error.code, words)


cdef MappedView _map_view(type kind, Section section, intptr_t file, uint64_t offset, size_t size, unsigned protection):
    """A new view of a kind that is MappedView, or made from it: of a section, or of a file where that is None."""
    cdef sr_error error, ignored
    cdef MappedView view = kind.__new__(kind, _LATER)
    cdef void *address = NULL
    cdef size_t count
    cdef int outcome
    cdef intptr_t native
    cdef unsigned allowed = _PAGES_OF[protection]
    if section is None:
        with nogil:  # a file system may take its time, and some are served by a thread of this very process
            outcome = sr_os_map_file(file, offset, &size, <sr_protection>protection, &address, &error)
    else:
        section.must_be_open()  # making the view may have had the garbage collector run anybody's code
        native = section.native
        section.mapping_count += 1
        with nogil:
            outcome = sr_os_map_view(native, offset, &size, <sr_protection>protection, &address, &error)
        section.mapping_count -= 1
    try:
        if outcome:
            _raise_for_mapping(&error, offset, size)
        _make_room_for_region()
    except BaseException:
        if not outcome:
            sr_os_unmap_view(address, size, &ignored)
        if section is not None:
            section.end_if_unused()
        raise
    count = (size - 1) // _page_size + 1
    sr_region_adopt(&view.region, address, count, protection, allowed)
    view.address = <size_t>address
    view.size = size
    view.whole_size = count * _page_size
    view.allocation_protection = protection
    view.offset = offset
    if section is not None:
        view.section = section
        section.view_count += 1
        section.end_if_unused()  # another thread has closed it meanwhile
    view.enlist()
    return view


def map_file(type kind not None, intptr_t file, offset, size, protection):
    """The view behind ``vm.map_file``: ``file`` stays the caller's, and is needed no longer than this takes."""
    cdef uint64_t start = checked_view_offset(offset)
    cdef uint64_t length = 0 if size is None else _checked_number(size, "size")
    cdef unsigned known = _known_of_section(protection, "a view")
    if length > SIZE_MAX // 2 or start > SIZE_MAX // 2 - length:
        raise ValueError("offset and size end where no file does")
    _begin()
    return _map_view(kind, None, file, start, length, known)
