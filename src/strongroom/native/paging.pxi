# Pages that leave memory and come back, faults, page files. A part of _native.pyx.

#: Page files told of in one call: no system has as many.
cdef enum:
    PAGE_FILES = 64

#: What the system says of locked pages, by call; errno(3) of madvise, and winerror.h.
cdef enum:
    ERROR_LOCKED = 212


cdef object _not_moved(str verb, sr_error *error, size_t size):
    """Why pages were not moved. What one verb means by a code is its own."""
    call = error.call.decode()
    if error.code == SR_UNSUPPORTED:
        return UnsupportedError(f"{verb}: {call} is not available on this system")
    if call == "madvise(MADV_PAGEOUT)" and error.code == EINVAL or call == "VirtualUnlock" and error.code == ERROR_LOCKED:
        return AccessError(
            f"{verb}: the system has some of these pages locked, or never pages them out (secret memory, large pages, "
            "a device's)")
    return SystemCallError(call, error.code, f"{verb} of {size:,} bytes: are all of them mapped, and as accessible?")


cdef object _counted_pages(size_t address, size_t size):
    """How many pages are in memory; None where nobody tells."""
    cdef sr_error error
    cdef size_t pages
    cdef int failed
    with nogil:
        failed = sr_os_resident(<void *>address, size, &pages, &error)
    return None if failed else pages


def page_out_region(AddressSpace region not None, offset, size):
    """``(address, asked, before, after)``: pages, of which the latter two are None where the system does not tell."""
    cdef sr_request request
    region.pages_of(offset, size, &request)
    request.verb = SR_PAGE_OUT
    before = _counted_pages(region.address + request.offset, request.size)
    region.must(&request)
    address = region.address + request.offset
    return address, request.size // _page_size, before, _counted_pages(address, request.size)


def prefetch_region(AddressSpace region not None, offset, size, wait):
    """The same without the address. The mutex, and the GIL, do not wait for a disk; the hold keeps the pages there meanwhile."""
    cdef sr_request request
    cdef sr_error error
    cdef bint is_waited = checked_flag(wait, "wait")
    cdef size_t address
    cdef int failed
    region.pages_of(offset, size, &request)
    request.verb = SR_PREFETCH
    region.must(&request)
    address = region.address + request.offset
    try:
        before = _counted_pages(address, request.size)
        with nogil:
            failed = sr_os_prefetch(<void *>address, request.size, is_waited, &error)
        if failed:
            raise _not_moved("prefetch", &error, request.size)
        return request.size // _page_size, before, _counted_pages(address, request.size)
    finally:
        request.verb = SR_UNHOLD
        region.do(&request)


def reset_region(AddressSpace region not None, offset, size):
    """The range that it became."""
    cdef sr_request request
    region.pages_of(offset, size, &request)
    request.verb = SR_RESET
    region.must(&request)
    return request.offset, request.size


def undo_reset_region(AddressSpace region not None, offset, size):
    """Whether all of it is what it was."""
    cdef sr_request request
    region.pages_of(offset, size, &request)
    request.verb = SR_UNDO_RESET
    region.must(&request)
    return request.is_whole != 0


def move_pages(size_t address, size_t size, bint is_in, wait=True):
    """Page out, or prefetch, whole pages that are no region's: as page_out_region."""
    cdef sr_error error
    cdef bint is_waited = checked_flag(wait, "wait")
    cdef int failed
    before = _counted_pages(address, size)
    with nogil:
        if is_in:
            failed = sr_os_prefetch(<void *>address, size, is_waited, &error)
        else:
            failed = sr_os_page_out(<void *>address, size, &error)
    if failed:
        raise _not_moved("prefetch" if is_in else "page_out", &error, size)
    return address, size // _page_size, before, _counted_pages(address, size)


def prefetch_all(list ranges not None):
    """Wish for ranges, ``(address, size)`` in bytes, whatever is there. The GIL does not wait for a disk."""
    cdef sr_error error
    cdef size_t count = len(ranges), i
    cdef int failed
    cdef sr_range *wanted = <sr_range *>malloc((count + (count == 0)) * sizeof(sr_range))
    if wanted == NULL:
        raise MemoryError()
    try:
        for i in range(count):
            address, size = ranges[i]
            wanted[i].address = <void *><size_t>address
            wanted[i].size = size
        with nogil:
            failed = sr_os_prefetch_all(wanted, count, &error)
        if failed:
            _raise(&error)
    finally:
        free(wanted)


def faults(int64_t pid, bint is_thread):
    """``(minor, major)``; the latter is None where both are counted as one."""
    cdef sr_error error
    cdef uint64_t minor, major
    if sr_os_faults(pid, is_thread, &minor, &major, &error):
        _raise(&error)
    return minor, None if major == SR_NOT_TOLD else major


def page_files():
    """``(path, size, used, priority, is_device)`` of each; Linux tells in text."""
    cdef sr_error error
    cdef size_t count, i
    cdef list found = []
    cdef sr_page_file *files = <sr_page_file *>malloc(PAGE_FILES * sizeof(sr_page_file))
    if files == NULL:
        raise MemoryError()
    try:
        if sr_os_page_files(files, PAGE_FILES, &count, &error):
            _raise(&error)
        for i in range(min(count, <size_t>PAGE_FILES)):
            path = (<bytes><char *>files[i].path).decode("utf-8", "surrogateescape")
            found.append((path, files[i].size, files[i].used, files[i].priority, files[i].is_device != 0))
        return found
    finally:
        free(files)


def user_space():
    """``(start, end)`` of the addresses that a program can have; Linux tells in text."""
    cdef sr_error error
    cdef uint64_t start, end
    if sr_os_user_space(&start, &end, &error):
        _raise(&error)
    return start, end
