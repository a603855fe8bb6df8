# Windows: regions that show physical pages. physical.pxi has these. A part of _native.pyx.


@cython.no_gc_clear
cdef class Window(Region):
    """A region that shows physical pages; ``strongroom.vm.Window`` is its public face."""

    def __init__(self, *_, **__):
        raise TypeError("a Window comes from vm.window()")

    def map(self, pages, offset=0):
        """Show pages of a store, read and written, instead of what is shown there.

        Args:
            pages: ``PhysicalPages``, all of them, or a part: ``store[0:256]``, ``store[[7, 3]]``, in that order.
            offset: Bytes from the window's start, a multiple of ``vm.PAGE_SIZE``.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError: No pages, or more than the window has from there on; another offset.
            AccessError: A page is shown already, here outside the range or in another window, or named twice.
            SecuredError, BufferError: A handle or a View relies on what is shown there now.
            DestroyedError: The window or the store was released. ForkedError: It is a parent's.
            LockLimitError: The lock limit has no room: with ``"secretmem"`` what windows show counts, too.
            SystemCallError: No mapping is left.

        After an error what was shown before is there as before; but where mappings run out amid pages that are chosen
        in no order, some of it may be inaccessible until it is mapped again.

        Platform notes: it costs a system call and, but on Windows, a mapping for each run of consecutive pages (sysctl
        vm.max_map_count). While pages are replaced another thread may find nothing there (Windows; at the lock limit).

        Source: MapUserPhysicalPages, MapUserPhysicalPagesScatter; mremap(2) with an old size of 0, mmap(2) MAP_FIXED.

        Version added: 0.1.
        """
        cdef PageList chosen
        cdef size_t start
        cdef sr_request request
        if isinstance(pages, PhysicalPages):
            pages = pages[:]
        if not isinstance(pages, PageList):
            raise TypeError(f"pages must be PhysicalPages or a part of them, store[...], not {_describe(pages)}")
        chosen = pages
        start = _checked_number(offset, "offset")
        if start % _page_size:
            raise ValueError(f"offset must be a multiple of {_page_size:,}, not {start:,}")
        if chosen.page_count == 0:
            raise ValueError("there must be at least one page to show")
        self.pages_of(start, chosen.page_count * _page_size, &request)
        if self.region.address != NULL:
            chosen.store.must_be_here()
        request.verb = SR_MAP_PAGES
        request.store = chosen.store.store
        request.store_runs = chosen.runs
        self.must(&request)
        return request.offset, request.size

    def unmap(self, offset=0, size=None):
        """Show nothing there any more: reserved, and inaccessible. The pages keep what they hold.

        Args:
            offset: Bytes from the window's start, rounded down to a page.
            size: Bytes; the end is rounded up. ``None``: up to the window's end.

        Returns:
            The ``(offset, size)`` in bytes that it became.

        Raises:
            ValueError, TypeError, DestroyedError, ForkedError: As for ``map``.
            SecuredError, BufferError: A handle or a View relies on what is shown there.
            SystemCallError: The system refused, for want of mappings. Nothing was changed.

        Source: MapUserPhysicalPages with no pages; mmap(2) MAP_FIXED.

        Version added: 0.1.
        """
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_MAP_PAGES
        request.store = NULL
        request.store_runs = NULL
        self.must(&request)
        return request.offset, request.size

    def shown(self):
        """List what is shown where, as strongroom's books have it.

        Returns:
            ``(offset, size, store, page)`` of each run of consecutive pages: in bytes from the window's start, the
            store they belong to (``None`` if nobody has it any more), and the number there of the first.

        Raises:
            DestroyedError, ForkedError: The window was released, or is a parent's.
            MemoryError: There is no memory for the list.

        Source: strongroom's own books; ``vm.pages`` asks the system.

        Version added: 0.1.
        """
        cdef _Shown *runs
        cdef size_t i, count
        runs = _shown_runs(self, &count)  # and until they are objects the GIL stays here
        try:
            return [(runs[i].first * _page_size, runs[i].count * _page_size,
                     <object>runs[i].owner if runs[i].owner != NULL else None, runs[i].page) for i in range(count)]
        finally:
            free(runs)


cdef enum:
    INVALID_PARAMETER = 87  # ERROR_INVALID_PARAMETER, winerror.h


cdef struct _Shown:
    size_t first, count, page
    PyObject *owner  # NULL: nobody has that store any more


cdef _Shown *_shown_runs(Window window, size_t *count) except NULL:
    """To be freed. No Python while the mutex is held, and never wait for it with the GIL."""
    cdef size_t end = window.size // _page_size, i = 0, alike
    cdef sr_window *books
    cdef sr_pane *panes
    cdef sr_store *store
    cdef _Shown *runs
    cdef bint is_ours
    count[0] = 0
    if window.region.kind != SR_KIND_WINDOW or window.region.address == NULL:
        raise DestroyedError("shown: this window was released")
    runs = <_Shown *>malloc(end * sizeof(_Shown))
    if runs == NULL:
        raise MemoryError("shown: there is no memory for the list")
    while not sr_os_try_enter(SR_MUTEX_WINDOWS):
        with nogil:
            sr_os_enter(SR_MUTEX_WINDOWS)
            sr_os_leave(SR_MUTEX_WINDOWS)
    books = window.region.window  # NULL: another thread has released it meanwhile
    is_ours = books != NULL and sr_window_is_ours(books)
    panes = books.panes if is_ours else NULL
    while panes != NULL and i < end:
        alike = sr_panes_alike(panes, i, end)
        store = panes[i].store
        if store != NULL:
            runs[count[0]].first, runs[count[0]].count, runs[count[0]].page = i, alike, panes[i].page
            runs[count[0]].owner = <PyObject *>store.owner
            if store.owner != NULL and Py_REFCNT(<PyObject *>store.owner) == 0:  # it is just being taken apart
                runs[count[0]].owner = NULL
            count[0] += 1
        i += alike
    sr_os_leave(SR_MUTEX_WINDOWS)
    if not is_ours:
        free(runs)
        if books == NULL:
            raise DestroyedError("shown: this window was released")
        raise ForkedError("this window was made before a fork: its pages are not in this child")
    return runs


def make_window(type kind not None, size):
    """The window behind ``vm.window``."""
    cdef sr_error error
    cdef size_t wanted = _checked_number(size, "size"), count
    cdef Window window = kind.__new__(kind, _LATER)
    _require_some(wanted)
    count = (wanted - 1) // _page_size + 1
    _begin()
    _make_room_for_region()
    if sr_region_reserve_window(&window.region, count, &error):
        if error.call == b"malloc":
            raise MemoryError(f"{count * _page_size:,} bytes of window were asked for: there is no memory for the books of them")
        if error.call == b"VirtualAlloc(MEM_PHYSICAL)" and error.code == INVALID_PARAMETER:
            raise UnsupportedError("this system has no windows for physical pages (VirtualAlloc of MEM_PHYSICAL: Wine)")
        raise _refused_reservation(&error, count * _page_size, None)
    window.address = <size_t>window.region.address
    window.size = window.whole_size = count * _page_size
    window.allocation_protection = SR_READ_WRITE
    window.enlist()
    return window
