# Blocks that undo what they did to a range: Protected and Locked. A part of _native.pyx.
#
# In C, so that no signal handler runs between what __enter__ did and the block, or between the block and __exit__.

#: A range that the system refuses as a whole is halved at most this often: it may be a terabyte.
cdef enum:
    HALVINGS_MAX = 4096


cdef object _wherever_possible(AddressSpace region, sr_verb verb, size_t first, size_t count, unsigned protection):
    """Do it to every page of a range that lets it be done; returns the first refusal, or None.

    What stands in the way is left out as a whole: a hold, or the run of pages that are all not committed.
    """
    cdef sr_request request
    cdef sr_answer outcome
    cdef size_t begin, end, stop
    cdef int halvings = HALVINGS_MAX
    cdef list todo = [(first, count)]
    refusal = None
    while todo:
        first, count = todo.pop()
        stop = first + count
        request.verb = verb
        request.first, request.count = first, count
        request.offset, request.size = first * region.region.page_size, count * region.region.page_size
        request.protection = protection
        request.wants_runs = 0
        outcome = region.do(&request)
        if outcome == SR_DONE:
            continue
        if refusal is None:
            refusal = _refusal(region, outcome, &request)
        if outcome == SR_IS_RELEASED:
            break
        if outcome == SR_HELD:
            begin, end = request.held.first, request.held.first + request.held.count
        elif outcome == SR_NOT_COMMITTED or outcome == SR_NOT_LOCKED or outcome == SR_WOULD_UNLOCK:
            begin = request.page
            end = begin + _pages_alike(region, begin, stop)
        elif count > 1 and halvings > 0:
            halvings -= 1
            begin = end = first + count // 2
        else:
            continue
        if end < stop:
            todo.append((end, stop - end))
        if first < begin:
            todo.append((first, begin - first))
    return refusal


cdef size_t _pages_alike(AddressSpace region, size_t first, size_t stop):
    """How many pages from one on, and before another, look like it."""
    cdef sr_request request
    cdef size_t count = 1
    request.verb = SR_LIST
    request.first, request.count = first, stop - first
    request.size = 0
    if region.do(&request) == SR_DONE:
        count = request.runs[1].first - request.runs[0].first
        free(request.runs)
    return count


cdef class Restoring:
    """One use of a range, for a ``with`` block that undoes it."""

    cdef Region region
    cdef object offset, size
    cdef bint is_entered

    cdef int enter(self) except -1:
        if self.is_entered:
            raise RuntimeError("this context manager is entered already")
        self.is_entered = True
        return 0

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} block cannot be pickled or copied: it is this process's memory")


@cython.final
cdef class Protected(Restoring):
    """What ``Region.protected`` returns: a block in which a range has another protection."""

    cdef object protection
    cdef list runs

    def __init__(self, Region region not None, offset, size, protection):
        self.region, self.offset, self.size, self.protection = region, offset, size, protection

    def __enter__(self):
        self.enter()
        try:
            self.runs = self.region._protect_listed(self.offset, self.size, self.protection)
        except BaseException:
            self.is_entered = False
            raise
        return self.region

    def __exit__(self, kind, value, traceback):
        cdef size_t page_size = self.region.region.page_size
        cdef list runs = self.runs
        refusal = None
        if not self.is_entered:
            return
        self.runs, self.is_entered = None, False
        for offset, size, protection in runs:
            found = _wherever_possible(self.region, SR_PROTECT, offset // page_size, size // page_size, protection)
            refusal = refusal or found
        if refusal is not None and value is None:
            raise refusal


@cython.final
cdef class Locked(Restoring):
    """What ``Region.locked`` returns: a block in which a range is locked once more."""

    cdef size_t first, count

    def __init__(self, Region region not None, offset, size):
        self.region, self.offset, self.size = region, offset, size

    def __enter__(self):
        cdef size_t page_size = self.region.region.page_size
        self.enter()
        try:
            offset, size = self.region.lock(self.offset, self.size)
        except BaseException:
            self.is_entered = False
            raise
        self.first, self.count = offset // page_size, size // page_size
        return self.region

    def __exit__(self, kind, value, traceback):
        if not self.is_entered:
            return
        self.is_entered = False
        refusal = _wherever_possible(self.region, SR_UNLOCK, self.first, self.count, 0)
        if refusal is not None and value is None:
            raise refusal
