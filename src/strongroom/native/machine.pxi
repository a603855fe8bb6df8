# What the machine and the system say of address space: spans, large pages, the working set. A part of _native.pyx.


def query(address):
    """The system's own answer: ``(start, size, state, protection, allocation, allocation_protection, type)``."""
    cdef sr_error error
    cdef sr_span span
    if sr_os_query(_checked_number(address, "address"), &span, &error):
        _raise(&error)
    return (span.start, span.size, span.state, span.protection, span.allocation, span.allocation_protection, span.type)


def working_set():
    """``(minimum, maximum)`` in bytes of what this process may keep in RAM."""
    cdef sr_error error
    cdef size_t minimum, maximum
    if sr_os_working_set(&minimum, &maximum, &error):
        _raise(&error)
    return minimum, maximum


def set_working_set(minimum, maximum):
    """Change what ``working_set`` says."""
    cdef sr_error error
    if sr_os_set_working_set(
            _checked_number(minimum, "minimum"), _checked_number(maximum, "maximum"), &error):
        _raise(&error)


def large_page_size():
    """Bytes in a large page, 0 where there is none."""
    return sr_os_large_page_size()


def locked_pages(address, size):
    """How many of the pages in a range of whole pages the system says are locked; 0 where it does not tell."""
    cdef size_t first = _checked_number(address, "address"), count = _checked_number(size, "size") // _page_size
    cdef size_t i, found = 0
    with nogil:
        for i in range(count):
            found += sr_os_is_locked(<void *>(first + i * _page_size), _page_size) != 0
    return found


def forks():
    """How many forks lie behind this process: those it made since its first block, and those that led to it."""
    return sr_forks()
