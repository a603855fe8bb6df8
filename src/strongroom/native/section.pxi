# Sections: memory that views show. mapping.pxi has the views. A part of _native.pyx.

#: How often a name is tried that another process is just beginning or ending: each try waits a hundredth of a second.
cdef enum:
    _NAME_TRIES = 500

#: What a section's protection lets its views be: the bits of the protections that may be asked of them.
_VIEWS_OF = {
    SR_READ_ONLY: SR_READ_ONLY | SR_WRITE_COPY,
    SR_READ_WRITE: SR_READ_ONLY | SR_READ_WRITE | SR_WRITE_COPY,
    SR_WRITE_COPY: SR_READ_ONLY | SR_WRITE_COPY,
    SR_EXECUTE_READ: SR_READ_ONLY | SR_WRITE_COPY | SR_EXECUTE_READ | SR_EXECUTE_WRITE_COPY,
    SR_EXECUTE_READ_WRITE: SR_READ_ONLY | SR_READ_WRITE | SR_WRITE_COPY | SR_EXECUTE_READ | SR_EXECUTE_READ_WRITE
        | SR_EXECUTE_WRITE_COPY,
    SR_EXECUTE_WRITE_COPY: SR_READ_ONLY | SR_WRITE_COPY | SR_EXECUTE_READ | SR_EXECUTE_WRITE_COPY,
}


cdef unsigned _known_of_section(object protection, str what) except 0:
    """One of the six that sections and views are made with."""
    cdef unsigned known = _known_protection(protection)
    if known not in _VIEWS_OF:
        raise ValueError(f"{what} is READ_ONLY, READ_WRITE, WRITE_COPY or EXECUTE_ and those, not "
                         f"{protection_name(known)}")
    return known


@cython.no_gc_clear
cdef class Section:
    """Memory that views show; ``strongroom.vm.Section`` is its public face."""

    cdef intptr_t native       # a descriptor or a handle
    cdef bint is_open          # whether there is one
    cdef sr_name *name         # NULL if it has none
    cdef Py_ssize_t view_count, mapping_count  # views, and calls that are just making one
    cdef readonly bint is_closed
    cdef readonly bint existed
    cdef readonly uint64_t size
    cdef readonly unsigned protection

    def __init__(self, *_):
        raise TypeError("a Section comes from create_section() or open_section()")

    def __dealloc__(self):
        self.give_up()

    cdef void give_up(self) noexcept:
        """Once nobody uses it."""
        if self.is_open:
            self.is_open = False
            if self.name != NULL:
                sr_name_end(self.name)
            else:
                sr_os_section_close(self.native, NULL, 0)

    cdef void let_go(self) noexcept:
        """One view less."""
        self.view_count -= 1
        self.end_if_unused()

    cdef void end_if_unused(self) noexcept:
        """Once it is closed: a view keeps what it shows, but not a name."""
        if self.is_closed and self.mapping_count == 0 and (self.view_count == 0 or self.name == NULL):
            self.give_up()

    def close(self):
        """End this use of the section; what it is goes with its last view. Twice is fine. It raises nothing.

        Source: CloseHandle; close(2).

        Version added: 0.1.
        """
        self.is_closed = True
        self.end_if_unused()

    cdef int must_be_open(self) except -1:
        if self.is_closed or not self.is_open:
            raise DestroyedError("this section was closed")
        return 0

    def __enter__(self):
        self.must_be_open()
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def __repr__(self):
        state = ", closed" if self.is_closed else ""
        return f"<Section {self.size:,} bytes, {protection_name(self.protection)}{state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a Section cannot be pickled or copied: give it a name and open that")


def create_section(type kind not None, intptr_t file, name, size, protection):
    """A section of a kind that is Section, or made from it; ``file`` is -1 for none, ``size`` 0 for its own.

    Waits for a name that another process is just beginning or ending, some seconds at most.
    """
    cdef sr_error error
    cdef int existed = 0, failed = 1
    cdef bytes native_name = name
    cdef const char *characters = NULL
    cdef uint64_t wanted = _checked_number(size, "size")
    cdef unsigned known = _known_of_section(protection, "a section")
    if wanted > SIZE_MAX // 2:
        raise ValueError(f"size must be at most {SIZE_MAX // 2:,} bytes, not {wanted:,}")
    cdef Section section = kind.__new__(kind)
    if name is not None:
        characters = native_name
    _begin()
    section.protection = known
    if characters == NULL:
        with nogil:
            failed = sr_os_section_create(file, <sr_protection>known, &wanted, &section.native, &error)
        if failed:
            _raise_for_mapping(&error, 0, wanted)
    else:
        for _ in range(_NAME_TRIES):
            with nogil:
                failed = sr_os_section_named(
                    characters, <sr_protection>known, &wanted, &section.native, &existed, &error)
            if failed <= 0:
                break
            PyErr_CheckSignals()
        if failed:
            _raise(&error)
        section.name = sr_name_begin(section.native, characters, not existed)
        if section.name == NULL:
            sr_os_section_close(section.native, characters, not existed)
            raise MemoryError()
    section.is_open = True
    section.existed = existed
    section.size = wanted
    return section


def checked_view_offset(offset):
    """Where a view may begin: a multiple of GRANULARITY."""
    cdef uint64_t start = _checked_number(offset, "offset")
    if start % <size_t>GRANULARITY:
        raise ValueError(f"offset must be a multiple of {GRANULARITY:,}, not {start:,}")
    return start


def map_section(type kind not None, Section section not None, offset, size, protection):
    """The view behind ``Section.map``."""
    cdef uint64_t start = checked_view_offset(offset), length
    cdef unsigned known = _known_of_section(protection, "a view")
    length = 0 if size is None else _checked_number(size, "size")
    section.must_be_open()  # after whatever an argument's own code may have done
    if known & ~<unsigned>_VIEWS_OF[section.protection]:
        raise AccessError(f"a view of a {protection_name(section.protection)} section cannot be "
                          f"{protection_name(known)}")
    if start >= section.size:
        raise ValueError(f"offset {start:,} is outside this section of {section.size:,} bytes")
    if size is None:
        length = section.size - start
    if not 1 <= length <= section.size - start:
        raise ValueError(
            f"size {length:,} from offset {start:,} on is not in this section of {section.size:,} bytes")
    return _map_view(kind, section, -1, start, length, known)



def system_protect(size_t address, size_t size, unsigned flags, bint reverse):
    """Let the system encrypt bytes in place, or decrypt them. The caller keeps the memory there meanwhile."""
    cdef sr_error error
    cdef int outcome
    if reverse:
        outcome = sr_os_crypt_unprotect(<void *>address, size, flags, &error)
    else:
        outcome = sr_os_crypt_protect(<void *>address, size, flags, &error)
    if outcome:
        _raise(&error)
