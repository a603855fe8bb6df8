# One use of a mapped view by a with block. A part of _native.pyx.


@cython.final
@cython.no_gc_clear
cdef class MappedAccess(Use):
    """One use of a mapped view, for one ``with`` block that yields a View of its bytes."""

    cdef MappedView mapped
    cdef char *data
    cdef size_t size

    def __dealloc__(self):
        if self.phase == OPEN:
            self.mapped.users -= 1

    def __enter__(self):
        if self.phase != NEW:
            raise AccessError("an access is good for one with block: call view() again")
        view = _new_view(self)
        if self.mapped.data == NULL:
            raise DestroyedError("this view was unmapped")
        self.mapped.users += 1
        self.phase = OPEN
        view.data = <unsigned char *>self.data
        view.size = self.size
        return view

    def __exit__(self, kind, value, traceback):
        if self.phase != OPEN:
            return
        self.phase = ENDED
        if self.exports == 0:
            self.mapped.users -= 1
        elif value is None:  # an exception already on its way is never replaced
            start = <size_t>self.data
            raise BufferError("a buffer of this view was kept past the block that used it: "
                              f"{_host.keepers(start, start + self.size)}. It stays mapped until that is released.")

    cdef int take_back(self) except -1:
        self.exports -= 1
        if self.exports == 0 and self.phase == ENDED:
            self.mapped.users -= 1
        return 0
