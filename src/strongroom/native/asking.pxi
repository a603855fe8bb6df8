# What the system tells of mappings and pages, as records of a class that the caller names. A part of _native.pyx.
#
# A record is a tuple, made of what is known here; vm/listing.py has the names of its fields, in this order: address,
# size, state, protection, allocation, allocation_protection, type, locks, secured, is_shared, path, file_offset, device,
# inode, resident_size, swapped_size, shared_size, proportional_size, is_locked, is_droppable, is_undumpable, in_child,
# flags, share_count.

#: Bytes for a listing to begin with. maps of a thousand mappings, and yet so little that malloc(3) makes no mapping for
#: it, which might lie in the gap that was asked about; smaps of as many, of which nothing is touched that is not needed.
cdef enum:
    MAPS_ROOM = 3 << 15
    SMAPS_ROOM = 1 << 21
    ENTRIES_ROOM = 3 << 16  # Windows leaves 64 KiB for the latest name
    PATH_ROOM = 4096  # PATH_MAX, the longest that the kernel writes for one mapping
    ENTRY_ROOM = 64   # what Windows tells of pages, without a name; with the longest it is less than MAPS_ROOM
    RUNS_AT_A_TIME = 4096
    MOST_READS = 4    # of a listing that changes under the reader: then it is torn

#: What each combination of letters allows, by its bits: r 1, w 2, x 4. Executable without readable is pkeys(7)'s.
cdef tuple _ALLOWED = (SR_NO_ACCESS, SR_READ_ONLY, SR_READ_WRITE, SR_READ_WRITE,
                       SR_EXECUTE, SR_EXECUTE_READ, SR_EXECUTE_READ_WRITE, SR_EXECUTE_READ_WRITE)
#: Private large pages, behind which is a file of the kernel's own; HUGETLB_ANON_FILE, linux/hugetlb.h.
cdef str _LARGE_PAGES = "/anon_hugepage (deleted)"

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject *, Py_ssize_t)
    bint PyType_IsSubtype(PyTypeObject *, PyTypeObject *)

ctypedef struct Text:
    char *bytes
    size_t room, size


cdef int _make_room(Text *text, size_t room) except -1:
    free(text.bytes)
    text.bytes = <char *>malloc(room)
    text.room = room
    if text.bytes == NULL:
        raise MemoryError()
    return 0


cdef int _read_listing(int64_t pid, bint is_detailed, Text *text) except -1:
    cdef sr_error error
    cdef int answer
    while True:
        with nogil:
            answer = sr_os_listing(pid, is_detailed, text.bytes, text.room, &text.size, &error)
        if answer < 0:
            _raise(&error)
        if answer == 0:
            return 0
        _make_room(text, 2 * text.room)


cdef bint _is_same_mapping(const Text *one, const sr_mapping *here, const Text *other, const sr_mapping *there) noexcept nogil:
    return (here.start == there.start and here.end == there.end and here.offset == there.offset
            and here.inode == there.inode and here.major == there.major and here.minor == there.minor
            and memcmp(here.letters, there.letters, 4) == 0 and here.path_size == there.path_size
            and memcmp(one.bytes + here.path, other.bytes + there.path, here.path_size) == 0)


cdef bint _is_same_text(const Text *one, const Text *other) noexcept nogil:
    return one.size == other.size and memcmp(one.bytes, other.bytes, one.size) == 0


cdef str _path_of(const char *text, const sr_mapping *row):
    return PyUnicode_DecodeUTF8(text + row.path, row.path_size, "surrogateescape")


cdef tuple _device_of(const sr_mapping *row):
    return row.major, row.minor


cdef object _size_told(const sr_mapping *row, unsigned which, unsigned also):
    """The sum of two lines in bytes, None if the first is not there. The second counts where there is such a line."""
    return row.sizes[which] + row.sizes[also] if row.told >> which & 1 else None


cdef object _filled(type record, tuple values):
    """``tuple.__new__(record, values)``, but for looking that up: it took as long as everything else."""
    cdef Py_ssize_t i
    cdef object made, value
    if record is tuple:
        return values
    if not PyType_IsSubtype(<PyTypeObject *>record, <PyTypeObject *>tuple):
        raise TypeError("records are tuples")
    made = (<PyTypeObject *>record).tp_alloc(<PyTypeObject *>record, len(values))
    for i in range(len(values)):
        value = values[i]
        Py_INCREF(value)
        PyTuple_SET_ITEM(made, i, value)
    return made


cdef object _record_of(type record, const char *text, const sr_mapping *row, str path, tuple device, set images,
                       bint is_own):
    cdef object address = row.start, protection, inode = None, offset = None, flags = None, in_child = None, shared = None
    cdef object proportional = None
    cdef bint has_flags = row.told >> SR_TOLD_FLAGS & 1, is_shared = row.letters[3] == c"s"
    cdef str kind = "private"
    protection = _ALLOWED[(row.letters[0] == c"r") | (row.letters[1] == c"w") << 1 | (row.letters[2] == c"x") << 2]
    if row.inode != 0 or (row.path_size != 0 and text[row.path] == c"/"):
        inode, offset = row.inode, row.offset
        if is_shared or path != _LARGE_PAGES:
            kind = "image" if not is_shared and images is not None and (device, inode) in images else "mapped"
    else:
        device = None
    if has_flags:
        flags = PyUnicode_DecodeUTF8(text + row.flags_at, row.flags_size, "replace")
        in_child = ("absent" if row.flags & SR_FLAG_ABSENT_IN_CHILD else "zeros" if row.flags & SR_FLAG_ZEROS_IN_CHILD
                    else "shared" if is_shared else "copied")
    if row.told >> SR_TOLD_SHARED_CLEAN & 1 and row.told >> SR_TOLD_SHARED_DIRTY & 1:
        shared = (row.sizes[<int>SR_TOLD_SHARED_CLEAN] + row.sizes[<int>SR_TOLD_SHARED_DIRTY]
                  + row.sizes[<int>SR_TOLD_SHARED_HUGE])
    resident = _size_told(row, SR_TOLD_RESIDENT, SR_TOLD_SHARED_HUGE)
    if resident is not None:
        resident += row.sizes[<int>SR_TOLD_PRIVATE_HUGE]
    if row.told >> SR_TOLD_PROPORTIONAL & 1 and row.sizes[<int>SR_TOLD_SHARED_HUGE] == 0:
        # Pages of hugetlbfs are not in it. Of those that others map too nobody says how many do.
        proportional = row.sizes[<int>SR_TOLD_PROPORTIONAL] + row.sizes[<int>SR_TOLD_PRIVATE_HUGE]
    return _filled(record, (
        address, row.end - row.start, "committed", protection, address, protection, kind, 0 if is_own else None, None,
        is_shared, path, offset, device, inode, resident,
        row.sizes[<int>SR_TOLD_SWAPPED] if row.told >> SR_TOLD_SWAPPED & 1 else None, shared,
        proportional,
        (row.flags & SR_FLAG_LOCKED) != 0 if has_flags else None,
        (row.flags & SR_FLAG_DROPPABLE) != 0 if has_flags else None,
        (row.flags & SR_FLAG_UNDUMPABLE) != 0 if has_flags else None, in_child, flags, None))


cdef set _images_of(const Text *text, bint is_detailed):
    """The files of which something is mapped to be executed, as (device, inode)."""
    cdef sr_listing listing
    cdef sr_mapping row
    cdef set found = set()
    sr_listing_begin(&listing, text.bytes, text.size, is_detailed)
    while sr_listing_next(&listing, &row) == 1:
        if row.letters[2] == c"x" and row.inode != 0:
            found.add((_device_of(&row), row.inode))
    return found


cdef list _records_of(type record, const Text *given, bint is_detailed, set images, bint is_own, const Text *maps,
                      bint *is_same):
    """The records of a listing, and with `maps` whether that one tells of the same mappings."""
    cdef sr_listing listing, other
    cdef sr_mapping row, last, there
    cdef int answer
    cdef str path = ""
    cdef tuple device = (0, 0)
    cdef list found = []
    cdef const char *text = given.bytes
    memset(&last, 0, sizeof(last))
    sr_listing_begin(&listing, text, given.size, is_detailed)
    if maps != NULL:
        sr_listing_begin(&other, maps.bytes, maps.size, False)
    is_same[0] = True
    while True:
        answer = sr_listing_next(&listing, &row)
        if maps != NULL and is_same[0] and (sr_listing_next(&other, &there) != answer or (
                answer == 1 and not _is_same_mapping(maps, &there, given, &row))):
            is_same[0] = False
        if answer == 0:
            if listing.is_torn:
                is_same[0] = False
            return found
        if answer < 0:
            raise SystemCallError(f"read(/proc/PID/{'smaps' if is_detailed else 'maps'})", EILSEQ,
                                  f"Line {listing.line:,} is not what such a listing consists of: nothing of it is used.")
        if row.path_size != last.path_size or memcmp(text + row.path, text + last.path, row.path_size) != 0:
            path = _path_of(text, &row)
        if row.major != last.major or row.minor != last.minor:
            device = _device_of(&row)
        found.append(_record_of(record, text, &row, path, device, images, is_own))
        last = row


def parse_listing(type record not None, bytes text not None, bint is_detailed):
    """The records of a listing's text."""
    cdef Text given
    cdef bint is_same
    given.bytes, given.room, given.size = PyBytes_AS_STRING(text), 0, PyBytes_GET_SIZE(text)
    return _records_of(record, &given, is_detailed, _images_of(&given, is_detailed), False, NULL, &is_same)


def read_mappings(type record not None, int64_t pid, bint is_detailed):
    """The records of a process's mappings, and whether they are torn: changed each time while they were read.

    maps is read until two readings are equal, smaps until its mappings are those of a reading of maps before it; sizes
    change all the time by themselves. All room is made before the first reading: of this process it would be among what
    changes.
    """
    cdef Text maps, latest
    cdef bint is_same, is_equal
    cdef int reads
    cdef list found
    memset(&maps, 0, sizeof(maps))
    memset(&latest, 0, sizeof(latest))
    try:
        _make_room(&maps, MAPS_ROOM)
        _make_room(&latest, SMAPS_ROOM if is_detailed else MAPS_ROOM)
        if not is_detailed:
            _read_listing(pid, False, &latest)
        for reads in range(MOST_READS):
            PyErr_CheckSignals()
            if not is_detailed:
                maps, latest = latest, maps
                _read_listing(pid, False, &latest)
                is_same = _is_same_text(&maps, &latest)
            else:
                _read_listing(pid, False, &maps)
                _read_listing(pid, True, &latest)
                found = _records_of(record, &latest, True, _images_of(&maps, False), pid == 0, &maps, &is_same)
            if is_same:
                break
        if not is_detailed:
            found = _records_of(record, &latest, False, _images_of(&latest, False), pid == 0, NULL, &is_equal)
            is_same = is_same and is_equal
        return found, not is_same
    finally:
        free(maps.bytes)
        free(latest.bytes)


def read_entries(int64_t pid, bint is_detailed):
    """Two readings of what the system tells of a process's mappings, one right after the other, as it tells it.

    All room is made before them, and nothing in between: of this process it would be among what changes.
    """
    cdef Text before, after
    memset(&before, 0, sizeof(before))
    memset(&after, 0, sizeof(after))
    try:
        _make_room(&before, ENTRIES_ROOM)
        while after.room < before.room:
            _make_room(&after, before.room)
            _read_listing(pid, is_detailed, &before)
        _read_listing(pid, is_detailed, &after)
        return PyBytes_FromStringAndSize(before.bytes, before.size), PyBytes_FromStringAndSize(after.bytes, after.size)
    finally:
        free(before.bytes)
        free(after.bytes)


def entry_at(address):
    """The same for the pages at one address of this process, where the system is asked like that.

    Room for a name, which might come to lie at that very address, is made only for what has one.
    """
    cdef sr_error error
    cdef Text told
    cdef char nameless[ENTRY_ROOM]
    cdef size_t place = _checked_number(address, "address")
    cdef int answer = sr_os_entry_at(place, nameless, ENTRY_ROOM, &told.size, &error)
    told.bytes = NULL
    try:
        if answer == 0:
            return PyBytes_FromStringAndSize(nameless, told.size)
        if answer == 1:
            _make_room(&told, MAPS_ROOM)
            answer = sr_os_entry_at(place, told.bytes, told.room, &told.size, &error)
        if answer:
            _raise(&error)
        return PyBytes_FromStringAndSize(told.bytes, told.size)
    finally:
        free(told.bytes)


def mapping_at(type record not None, address):
    """The record of the mapping of this process that an address lies in or that is the next one above it, else None.

    A file's is "mapped", though it may be an image: that takes the whole listing.
    """
    cdef sr_error error
    cdef sr_mapping row
    cdef char text[PATH_ROOM]
    cdef int answer = sr_os_mapping_at(_checked_number(address, "address"), &row, text, PATH_ROOM, &error)
    if answer < 0:
        _raise(&error)
    if answer == 1:
        return None
    path = _path_of(text, &row).replace("\n", "\\012")  # as maps has it
    return _record_of(record, text, &row, path, _device_of(&row), None, True)


def page_runs(int64_t pid, uint64_t start, uint64_t end):
    """``(start, end, is_resident, share_count, is_locked)`` of pages that are alike, in memory or in a page file.

    What is in no run is in neither; ``None`` is what nobody told. Where locks are told there are runs of pages in neither.
    """
    cdef sr_error error
    cdef size_t count, i
    cdef unsigned kinds
    cdef uint64_t reached = start
    cdef int failed
    cdef list found = []
    cdef sr_page_run *runs = <sr_page_run *>malloc(RUNS_AT_A_TIME * sizeof(sr_page_run))
    if runs == NULL:
        raise MemoryError()
    try:
        while reached < end:
            PyErr_CheckSignals()
            with nogil:
                failed = sr_os_page_runs(pid, reached, end, runs, RUNS_AT_A_TIME, &count, &reached, &error)
            if failed:
                _raise(&error)
            for i in range(count):
                kinds = runs[i].kinds
                shares = kinds >> SR_PAGES_SHARES_SHIFT or (1 if kinds & SR_PAGES_EXCLUSIVE else None)
                found.append((runs[i].start, runs[i].end, (kinds & SR_PAGES_RESIDENT) != 0, shares,
                              (kinds & SR_PAGES_LOCKED) != 0 if kinds & SR_PAGES_TELL_LOCKS else None))
        return found
    finally:
        free(runs)
