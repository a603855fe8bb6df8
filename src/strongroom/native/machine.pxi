# What the machine and the system say of address space: large pages, the working set; and of places for files. A part of
# _native.pyx.


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


def filesystem_of(bytes directory not None):
    """What the system calls the file system of a directory, and what is mounted: nothing on Linux, see mountinfo there."""
    cdef sr_error error
    cdef sr_filesystem found
    if sr_os_filesystem(PyBytes_AS_STRING(directory), &found, &error):
        if error.code == SR_UNSUPPORTED:
            return "", ""
        _raise(&error)
    return (<bytes><char *>found.kind).decode("utf-8", "replace"), (<bytes><char *>found.source).decode("utf-8", "replace")


def drops_tails(bytes directory not None):
    """Whether what lies behind the end of a file there is gone once its page is written back: tried out on one of zeros.

    No child has the page or the descriptor.
    """
    cdef sr_error error
    cdef int failed
    cdef const char *path = PyBytes_AS_STRING(directory)
    _begin()
    with nogil:
        failed = sr_os_drops_tails(path, _page_size - SR_PARTIAL_HEAD, &error)
    if failed and error.code != SR_UNSUPPORTED:
        _raise(&error)
    return not failed
