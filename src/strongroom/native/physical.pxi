# Physical pages: stores, and lists of their pages. window.pxi shows them. A part of _native.pyx.

#: The kinds of stores, in the order of ``enum sr_store_kind``; ``PhysicalPages.backing`` says one of these.
STORE_BACKINGS = ("secretmem", "locked", "awe")

cdef enum:
    PRIVILEGE_NOT_HELD = 1314  # ERROR_PRIVILEGE_NOT_HELD, winerror.h; no errno has that number


@cython.no_gc_clear
cdef class PhysicalPages:
    """A store of pages that are never swapped; ``strongroom.vm.PhysicalPages`` is its public face."""

    cdef sr_store *store           # NULL before it is made
    cdef readonly size_t size      # bytes

    def __init__(self, *_, **__):
        raise TypeError("PhysicalPages come from vm.physical()")

    def __dealloc__(self):
        if self.store != NULL:
            sr_store_let_go(self.store)

    cdef sr_store *made(self) except NULL:
        if self.store == NULL:
            raise DestroyedError("these physical pages were never made: vm.physical() does that")
        return self.store

    @property
    def backing(self):
        """What it is made of: ``"awe"``, ``"secretmem"`` or ``"locked"``."""
        return STORE_BACKINGS[<int>self.made().native.kind]

    @property
    def page_size(self):
        """Bytes in a page."""
        return _page_size

    @property
    def is_released(self):
        """Whether the pages were given back."""
        return self.made().is_ended != 0

    cdef int must_be_here(self) except -1:
        if self.made().is_ended:
            raise DestroyedError("these physical pages were released")
        if not sr_store_is_ours(self.store):
            raise ForkedError("these physical pages were made before a fork: they are not in this child")
        return 0

    def release(self):
        """Wipe the pages and give them back; doing it twice is fine.

        Raises:
            BufferError: A window shows a page of it: ``unmap`` that, or release the window, first.
            ForkedError: It is a parent's, and not in this child.
            SystemCallError: The system refused.

        Source: FreeUserPhysicalPages; munmap(2).

        Version added: 0.1.
        """
        cdef sr_error error
        cdef int outcome
        if self.made().is_ended:
            return
        self.must_be_here()
        with nogil:
            outcome = sr_store_end(self.store, &error)
        if outcome > 0:
            raise BufferError(f"release: windows show {self.store.shown_count:,} of these pages: unmap() them first")
        if outcome:
            _raise(&error)

    def __len__(self):
        return self.made().native.page_count

    def __getitem__(self, key):
        self.made()
        return _pages_of(self, key)

    def __enter__(self):
        self.must_be_here()
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.release()
        except Exception as error:
            if value is None:
                raise
            _report(error)  # an exception already on its way is never replaced

    def __repr__(self):
        state = ", released" if self.made().is_ended else ""
        return f"<PhysicalPages {self.store.native.page_count:,} pages, {self.backing}{state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("PhysicalPages cannot be pickled or copied: they are memory of this process")


@cython.final
@cython.no_gc_clear
cdef class PageList:
    """Pages of a store, in an order: what ``PhysicalPages[...]`` returns, and ``map`` of a window takes.

    ``len()`` says how many they are, iterating gives their numbers. It keeps its store alive.

    Attributes: ``store``.

    Raises:
        TypeError: It was made directly, pickled or copied.

    Source: the page array of MapUserPhysicalPages.

    Version added: 0.1.
    """

    cdef readonly PhysicalPages store
    cdef sr_store_run *runs
    cdef size_t run_count, page_count

    def __init__(self):
        raise TypeError("a PageList comes from indexing PhysicalPages")

    def __dealloc__(self):
        free(self.runs)

    cdef int make_room(self, size_t count) except -1:
        if count > SIZE_MAX // sizeof(sr_store_run):
            raise MemoryError()
        self.runs = <sr_store_run *>malloc((count + (count == 0)) * sizeof(sr_store_run))
        if self.runs == NULL:
            raise MemoryError()
        return 0

    cdef void add(self, size_t page) noexcept:
        cdef sr_store_run *last = self.runs + self.run_count - 1
        if self.run_count and page == last.first + last.count:
            last.count += 1
        else:
            self.runs[self.run_count].first = page
            self.runs[self.run_count].count = 1
            self.run_count += 1
        self.page_count += 1

    def __len__(self):
        return self.page_count

    def __iter__(self):
        cdef size_t i
        return iter([page for i in range(self.run_count)
                     for page in range(self.runs[i].first, self.runs[i].first + self.runs[i].count)])

    def __repr__(self):
        return f"<PageList {self.page_count:,} pages of {self.store!r}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a PageList cannot be pickled or copied: its pages are memory of this process")


cdef PageList _pages_of(PhysicalPages store, object key):
    """What ``store[key]`` stands for: a number, a slice, or numbers in any order."""
    cdef Py_ssize_t start, stop, step, length
    cdef size_t most = store.store.native.page_count, page
    cdef PageList pages = PageList.__new__(PageList)
    pages.store = store
    if isinstance(key, slice):
        PySlice_Unpack(key, &start, &stop, &step)
        length = PySlice_AdjustIndices(<Py_ssize_t>most, &start, &stop, step)
        pages.make_room(1 if step == 1 else <size_t>length)
        if step == 1 and length:
            pages.runs[0].first = <size_t>start
            pages.runs[0].count = pages.page_count = <size_t>length
            pages.run_count = 1
        elif step != 1:
            for page in range(<size_t>length):
                pages.add(<size_t>(start + <Py_ssize_t>page * step))
        return pages
    numbers = [_checked_page(number, most) for number in ((key,) if PyIndex_Check(key) else _numbers_of(key))]
    pages.make_room(<size_t>len(numbers))
    for number in numbers:
        pages.add(<size_t>number)
    return pages


cdef list _numbers_of(object key):
    if isinstance(key, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"pages are chosen by a number, a slice or numbers, not {_describe(key)}")
    try:
        return list(key)
    except TypeError:
        raise TypeError(f"pages are chosen by a number, a slice or numbers, not {_describe(key)}") from None


cdef object _checked_page(object number, size_t most):
    cdef size_t page = _checked_number(number, "a page's number", most - 1)
    if page >= most:
        raise IndexError(f"there is no page {_counted(page)}: the last one is {most - 1:,}")
    return page


cdef object _refused_store(sr_error *error, size_t size):
    call = error.call.decode()
    if error.call == b"malloc":
        return MemoryError(f"{size:,} bytes of physical pages were asked for: there is no memory for the books of them")
    if sr_os_is_lock_limit(error):
        return _host.refusal(call, error.code, True, size)
    if error.code == SR_UNSUPPORTED or (error.code in (ENOSYS, EPERM) and error.call == b"memfd_secret"):  # EPERM: a sandbox
        return UnsupportedError(
            f"this system has no such physical pages ({call}): secret memory takes Linux 5.14, and no sandbox that "
            "forbids it, \"awe\" Windows (Wine has no more than its name), \"locked\" anything else")
    advice = f"{size:,} bytes of physical pages were asked for"
    if error.code == PRIVILEGE_NOT_HELD:
        advice += ": that takes the privilege \"Lock pages in memory\" (secpol.msc, User Rights Assignment), and a new logon"
    return SystemCallError(call, error.code, advice)


def make_physical(type kind not None, size, backing):
    """The store behind ``vm.physical``; ``backing`` is one of STORE_BACKINGS."""
    cdef sr_error error
    cdef size_t wanted = _checked_number(size, "size"), count
    cdef sr_store_kind native = <sr_store_kind><int>STORE_BACKINGS.index(backing)
    cdef PhysicalPages pages
    cdef void *owner
    cdef sr_store *store
    _require_some(wanted)
    count = (wanted - 1) // _page_size + 1
    _begin()
    pages = kind.__new__(kind)
    owner = <void *>pages
    with nogil:
        store = sr_store_make(native, count, owner, &error)
    if store == NULL and sr_os_is_lock_limit(&error) and _give_up_idle():
        with nogil:
            store = sr_store_make(native, count, owner, &error)
    if store == NULL:
        raise _refused_store(&error, count * _page_size)
    pages.store = store
    pages.size = count * _page_size
    return pages
