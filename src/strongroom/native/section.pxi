# Sections: memory that views show. mapping.pxi has the views. A part of _native.pyx.

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


@cython.final
@cython.no_gc_clear
cdef class Section:
    """Memory that views show, of a file or of its own; ``map_file``, ``create_section`` and ``open_section`` make it.

    Attributes: ``size`` in bytes; ``protection``, the most that a view can be; ``existed``, whether a name was in use
    before. A context manager: leaving the block closes it. Views keep what they show, closed or not.

    Version added: 0.1.
    """

    cdef intptr_t native       # a descriptor or a handle
    cdef bint is_open          # whether there is one
    cdef bytes name            # as the system knows it, None if it has none
    cdef uint64_t generation
    cdef Py_ssize_t view_count
    cdef readonly bint is_closed
    cdef readonly bint existed
    cdef readonly uint64_t size
    cdef readonly unsigned protection

    def __init__(self):
        raise TypeError("a Section comes from create_section(), open_section() or map_file()")

    def __dealloc__(self):
        self.give_up()

    cdef void give_up(self) noexcept:
        """Once nobody uses it. A forked child never ends a name: it shares its parent's hold on it."""
        if self.is_open:
            self.is_open = False
            sr_os_section_close(
                self.native, <const char *>self.name if self.name is not None and self.generation == sr_generation()
                else NULL, not self.existed)

    def close(self):
        """End this use of the section; what it is goes with its last view. Twice is fine.

        Source: CloseHandle; close(2).

        Version added: 0.1.
        """
        self.is_closed = True
        if self.view_count == 0:
            self.give_up()

    def map(self, offset=0, size=None, protection=SR_READ_WRITE):
        """Show a part of it in this process's memory.

        Args:
            offset: Bytes from the section's start, a multiple of ``vm.GRANULARITY``.
            size: Bytes. ``None``: up to the section's end.
            protection: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY`` or their ``EXECUTE_`` forms. With ``WRITE_COPY``
                what is written stays private to this process and never reaches the section.

        Returns:
            The ``MappedView``.

        Raises:
            ValueError, TypeError: A range outside the section, a protection that is none.
            AccessError: A protection that the section does not allow.
            DestroyedError: The section was closed.
            SystemCallError: The system refused, for want of address space or mappings.

        Source: MapViewOfFile; mmap(2).

        Version added: 0.1.
        """
        cdef uint64_t start
        if self.is_closed:
            raise DestroyedError("this section was closed")
        start = _checked_number(offset, "offset")
        if protection not in _VIEWS_OF:
            raise ValueError(f"a view is READ_ONLY, READ_WRITE, WRITE_COPY or EXECUTE_ and those, not {protection!r}")
        if not <object>protection & _VIEWS_OF[self.protection]:
            raise AccessError(f"a view of a {protection_name(self.protection)} section cannot be "
                              f"{protection_name(protection)}")
        if start % <size_t>GRANULARITY:
            raise ValueError(f"offset must be a multiple of {GRANULARITY:,}, not {start:,}")
        if start >= self.size:
            raise ValueError(f"offset {start:,} is outside this section of {self.size:,} bytes")
        length = self.size - start if size is None else _checked_number(size, "size")
        if not 1 <= length <= self.size - start:
            raise ValueError(f"{length:,} bytes from offset {start:,} are not in this section of {self.size:,} bytes")
        return _new_mapped_view(self, start, length, protection)

    def __enter__(self):
        if self.is_closed:
            raise DestroyedError("this section was closed")
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def __repr__(self):
        state = ", closed" if self.is_closed else ""
        return f"<Section {self.size:,} bytes, {protection_name(self.protection)}{state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a Section cannot be pickled or copied: give it a name and open that")


def create_section(intptr_t file, name, size, protection):
    """The section behind ``vm.create_section`` and ``vm.map_file``; ``file`` is -1 for none, ``size`` 0 for its own."""
    cdef sr_error error
    cdef int existed = 0
    cdef Section section = Section.__new__(Section)
    cdef uint64_t wanted = _checked_number(size, "size")
    if protection not in _VIEWS_OF:
        raise ValueError(f"a section is READ_ONLY, READ_WRITE, WRITE_COPY or EXECUTE_ and those, not {protection!r}")
    if wanted > SIZE_MAX // 2:
        raise ValueError(f"size must be at most {SIZE_MAX // 2:,} bytes, not {wanted:,}")
    _begin()
    section.protection = protection
    section.name = name
    section.generation = sr_generation()
    if name is not None:
        if sr_os_section_named(name, protection, &wanted, &section.native, &existed, &error):
            _raise(&error)
    elif sr_os_section_create(file, protection, &wanted, &section.native, &error):
        _raise(&error)
    section.is_open = True
    section.existed = existed
    section.size = wanted
    return section


cdef MappedView _new_mapped_view(Section section, uint64_t offset, size_t size, unsigned protection):
    cdef sr_error error
    cdef MappedView view = MappedView.__new__(MappedView)
    cdef void *address = NULL
    if sr_os_map_view(section.native, offset, &size, <sr_protection>protection, &address, &error):
        _raise(&error)
    view.data = <char *>address
    view.section = section
    section.view_count += 1
    view.address = <size_t>address
    view.offset = offset
    view.size = size
    view.pages_size = (size + _page_size - 1) // _page_size * _page_size
    view.protection = protection
    _views[view.address] = view
    return view


def find_view(size_t address):
    """The mapped view that an address lies in, or None."""
    cdef MappedView view
    for thing in list(_views.values()):
        view = thing
        if view.data != NULL and 0 <= address - view.address < view.pages_size:
            return view
    return None


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
