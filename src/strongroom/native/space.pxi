# Reserved address space, from its making to its release. A part of _native.pyx.

#: What is done to more pages than this is done without the GIL: it takes longer than handing that over costs.
cdef enum:
    FEW_PAGES = 64


#: Every region that has address space, sorted by where that begins; not counted as references. While one is being given
#: back another may begin at the same address: both are here for that moment.
cdef PyObject **_regions = NULL
cdef size_t _region_count = 0, _region_room = 0
cdef object _LATER = object()    # the size of a region that adopts what will be mapped


cdef size_t _regions_until(size_t address) noexcept:
    """How many regions begin at an address or below."""
    cdef size_t low = 0, high = _region_count, middle
    while low < high:
        middle = low + (high - low) // 2
        if (<AddressSpace>_regions[middle]).address <= address:
            low = middle + 1
        else:
            high = middle
    return low


cdef int _make_room_for_region() except -1:
    global _regions, _region_room
    cdef size_t room = 2 * _region_room if _region_room else 16
    cdef void *regions
    if _region_count == _region_room:
        regions = realloc(_regions, room * sizeof(PyObject *))
        if regions == NULL:
            raise MemoryError()
        _regions = <PyObject **>regions
        _region_room = room
    return 0


def find_region(size_t address):
    """The region that an address lies in, or None; a mapped view is one, too."""
    cdef size_t i = _regions_until(address)
    cdef AddressSpace region
    while i:
        i -= 1
        if Py_REFCNT(_regions[i]) == 0:  # it is just being taken apart
            continue
        region = <AddressSpace>_regions[i]
        if region.region.address == NULL:  # another thread has just given it back, and a larger one may lie there
            continue
        return region if address - region.address < region.whole_size else None
    return None


def regions():
    """Every region and mapped view that has address space, in order of address."""
    cdef size_t i
    return [<AddressSpace>_regions[i] for i in range(_region_count)
            if Py_REFCNT(_regions[i]) != 0 and (<AddressSpace>_regions[i]).region.address != NULL]


cdef class AddressSpace:
    """A reservation: where it lies, how it ends, and the one door to what is done with its pages."""

    cdef sr_region region
    cdef readonly size_t address   # where it begins; still the number after release()
    cdef readonly size_t size      # bytes; whole pages, but for a mapped view
    cdef size_t whole_size         # bytes, in whole pages
    cdef readonly unsigned allocation_protection  # what it was made with: VirtualQuery tells that for ever
    cdef object __weakref__

    def __cinit__(self, size, *, address=None, near=None, top_down=False, alignment=0, large=None,
                  allocation_protection=SR_NO_ACCESS):
        if size is _LATER:
            return
        cdef sr_error error
        cdef sr_place place = SR_PLACE_TOP_DOWN if checked_flag(top_down, "top_down") else SR_PLACE_ANYWHERE
        cdef void *wish = NULL
        cdef size_t page = sr_os_large_page_size() if large is not None else _page_size
        cdef size_t wanted = _checked_number(size, "size")
        cdef size_t at = 0, count, step = _checked_number(alignment, "alignment")
        cdef unsigned protection = 0
        cdef unsigned made_with = _checked_protection(allocation_protection, True, "allocation_protection")
        cdef bint failed
        if page == 0:
            raise UnsupportedError("this system has no large pages, or does not say how large they are")
        _require_some(wanted)
        if (address is not None) + (near is not None) + (place == SR_PLACE_TOP_DOWN) > 1:
            raise ValueError("address=, near= and top_down= exclude each other: each says where the region goes")
        if step % _page_size:
            raise ValueError(f"alignment must be a multiple of {_page_size:,}, not {step:,}")
        if step and (place == SR_PLACE_TOP_DOWN or address is not None or near is not None or large is not None):
            raise ValueError("alignment= is for a region that goes where the system likes, on ordinary pages")
        if large is not None:
            protection = _checked_protection(large, True, "large")
            if place == SR_PLACE_TOP_DOWN or address is not None or near is not None or made_with != SR_NO_ACCESS:
                raise ValueError("large= says the protection, and the pages go where the system likes")
            if protection & SR_GUARD:
                raise UnsupportedError("large pages cannot be guard pages")
        count = (wanted - 1) // page + 1
        if address is not None or near is not None:
            at = _checked_number(address if address is not None else near, "address" if near is None else "near")
            if address is not None and (at == 0 or at % GRANULARITY):
                raise ValueError(f"address must be a positive multiple of {GRANULARITY:,}, not {at:#x}")
            wish = <void *>(at - at % <size_t>GRANULARITY)
            place = SR_PLACE_EXACT if address is not None else SR_PLACE_NEAR
        _begin()
        _make_room_for_region()
        if large is not None:
            failed = sr_region_reserve_large(&self.region, count, protection, &error)
        else:
            failed = sr_region_reserve(&self.region, count, place, wish, step, &error)
        if failed:
            raise _refused_reservation(&error, count * page, at if address is not None else None)
        self.address = <size_t>self.region.address
        self.size = self.whole_size = count * page
        self.allocation_protection = protection if protection else made_with
        self.enlist()

    cdef void enlist(self) noexcept:
        """There must be room: nothing here can fail."""
        global _region_count
        cdef size_t i = _regions_until(self.address)
        memmove(&_regions[i + 1], &_regions[i], (_region_count - i) * sizeof(PyObject *))
        _regions[i] = <PyObject *>self
        _region_count += 1

    cdef void delist(self) noexcept:
        """Twice is fine."""
        global _region_count
        cdef size_t i = _regions_until(self.address)
        while i and (<AddressSpace>_regions[i - 1]).address == self.address:
            i -= 1
            if _regions[i] == <PyObject *>self:
                _region_count -= 1
                memmove(&_regions[i], &_regions[i + 1], (_region_count - i) * sizeof(PyObject *))
                return

    cdef void was_released(self) noexcept:
        """Its address space is gone. Between the system call and this nothing must run that can fail."""
        self.delist()

    def __dealloc__(self):
        cdef sr_request request
        self.delist()
        if self.region.address == NULL:
            return
        request.verb = SR_RELEASE  # Views and handles keep the region alive: a hold that refuses this is permanent
        self.do(&request)
        sr_region_end(&self.region)

    cdef sr_answer do(self, sr_request *request) noexcept:
        """Do it under the region's mutex; without the GIL if it may take long, or if the mutex is taken.

        The mutex is never held while the GIL is waited for: a fork takes both, the GIL first.
        """
        cdef sr_answer outcome
        cdef bint is_short = request.verb not in (SR_LOCK, SR_PAGE_OUT) and (
            self.size <= FEW_PAGES * _page_size if request.verb == SR_RELEASE
            else request.size <= FEW_PAGES * _page_size)
        if is_short and sr_os_try_enter(self.region.mutex):
            outcome = sr_region_do(&self.region, request)
            sr_os_leave(self.region.mutex)
        else:
            with nogil:
                sr_os_enter(self.region.mutex)
                outcome = sr_region_do(&self.region, request)
                sr_os_leave(self.region.mutex)
        return outcome

    cdef int bytes_of(self, object offset, object size, sr_request *request) except -1:
        """Check a range of bytes: within the region, not empty. No size means up to the end."""
        return self.range_of(offset, size, request, self.size)

    cdef int range_of(self, object offset, object size, sr_request *request, size_t limit) except -1:
        cdef size_t start = _checked_number(offset, "offset"), length
        if start >= self.size:
            raise ValueError(f"offset {start:,} is outside this {self.noun()} of {self.size:,} bytes")
        length = limit - start if size is None else _checked_number(size, "size")
        if length == 0:
            raise ValueError("size must be at least 1 byte")
        if length > limit - start:
            raise ValueError(
                f"{length:,} bytes from offset {start:,} end outside this {self.noun()} of {self.size:,} bytes: size must be "
                f"at most {limit - start:,} there")
        request.offset = start
        request.size = length
        return 0

    cdef int pages_of(self, object offset, object size, sr_request *request) except -1:
        """The pages that such a range touches: its start is rounded down, its end up."""
        self.range_of(offset, size, request, self.whole_size)
        request.first = request.offset // self.region.page_size
        request.count = (request.offset + request.size - 1) // self.region.page_size - request.first + 1
        request.offset = request.first * self.region.page_size
        request.size = request.count * self.region.page_size
        return 0

    cdef unsigned known(self, object protection) except? 0:
        """One that pages here may be asked to have; of a view, whether they may is known further down."""
        if self.region.kind == SR_KIND_MAPPED or self.region.kind == SR_KIND_WINDOW:
            return _known_protection(protection)
        return _checked_protection(protection)

    cdef str noun(self):
        if self.region.kind == SR_KIND_WINDOW:
            return "window"
        return "view" if self.region.kind == SR_KIND_MAPPED else "region"

    cdef int copy(self, sr_request *request) except -1:
        """Copy or fill. Pages of a view may have to come from a disk: the mutex, and the GIL, do not wait for that."""
        cdef sr_request hold
        cdef sr_verb verb = request.verb
        cdef sr_answer outcome
        if self.region.kind != SR_KIND_MAPPED:
            return self.must(request)
        self.pages_of(request.offset, request.size, &hold)
        hold.verb = SR_HOLD
        hold.kind = SR_HOLD_CALL
        hold.mode = SR_READ_ONLY if verb == SR_COPY_OUT else SR_READ_WRITE
        outcome = self.do(&hold)
        hold.verb = SR_UNHOLD
        if outcome == SR_DONE:
            with nogil:
                outcome = sr_region_copy(&self.region, request)
            hold.size = 0
            self.do(&hold)
        else:
            hold.offset, hold.size, hold.verb = request.offset, request.size, verb
            request[0] = hold
        if outcome != SR_DONE:
            raise _refusal(self, outcome, request)
        return 0

    cdef int must(self, sr_request *request) except -1:
        cdef sr_answer outcome = self.do(request)
        if (outcome == SR_FAILED and (request.verb == SR_LOCK or request.verb == SR_MAP_PAGES)
                and sr_os_is_lock_limit(&request.error) and _give_up_idle()):
            outcome = self.do(request)
        if outcome != SR_DONE:
            raise _refusal(self, outcome, request)
        return 0

    def release(self):
        """Give the whole region back, address space included; doing it twice is fine.

        Raises:
            SecuredError, BufferError: A handle or a View relies on a page.
            SystemCallError: The system refused, for want of mappings. Nothing was changed.

        Source: VirtualFree MEM_RELEASE; munmap(2).

        Version added: 0.1.
        """
        cdef sr_request request
        request.verb = SR_RELEASE
        request.size = 0
        cdef sr_answer outcome = self.do(&request)
        if outcome == SR_DONE:
            self.was_released()
        elif outcome != SR_IS_RELEASED:
            raise _refusal(self, outcome, &request)

    cdef list listed(self, sr_request *request):
        cdef size_t i
        cdef sr_run *run
        try:
            return [
                (request.runs[i].first * self.region.page_size,
                 (request.runs[i + 1].first - request.runs[i].first) * self.region.page_size,
                 request.runs[i].protection, request.runs[i].locks)
                for i in range(request.run_count)]
        finally:
            free(request.runs)

    def _runs(self, offset=0, size=None):
        """What strongroom knows: ``(offset, size, protection, locks)`` of each run of pages that are alike."""
        cdef sr_request request
        self.pages_of(offset, size, &request)
        request.verb = SR_LIST
        self.must(&request)
        return self.listed(&request)

    def _secured(self):
        """What nobody may make stricter: ``(offset, size, mode)`` of each secure handle, and of what is sealed."""
        cdef sr_request request
        cdef sr_hold *hold
        cdef size_t i
        cdef list found = []
        request.verb = SR_LIST_HOLDS
        request.size = 0
        self.must(&request)
        for i in range(request.hold_count):
            hold = &request.holds[i]
            if hold.kind == SR_HOLD_SECURE or hold.kind == SR_HOLD_PERMANENT:
                found.append((hold.first * self.region.page_size, hold.count * self.region.page_size, <unsigned>hold.mode))
        free(request.holds)
        return found

    @property
    def page_size(self):
        """Bytes in one page of this region."""
        return self.region.page_size

    @property
    def is_released(self):
        """Whether the address space was given back."""
        return self.region.address == NULL

    def __len__(self):
        return self.size

    def __enter__(self):
        if self.region.address == NULL:
            raise DestroyedError(f"this {self.noun()} was released")
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.release()
        except Exception as error:
            if value is None:
                raise
            _report(error)  # an exception already on its way is never replaced

    def __repr__(self):
        state = ", released" if self.region.address == NULL else ""
        return f"<{type(self).__name__} {self.size:,} bytes at {self.address:#x}{state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: it is address space of this process")
