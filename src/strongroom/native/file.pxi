# A secret as a file: what a with block gets of Secret.as_file(). A part of _native.pyx.

#: Files that are there, the last one made first. Linked through the objects: nothing here may fail for want of memory.
cdef PyObject *_files = NULL


@cython.final
@cython.no_gc_clear
cdef class FileAccess:
    """A secret as a file in locked memory, for one ``with`` block, which gets its path. ``as_file()`` returns it."""

    cdef sr_file file
    cdef Sealed sealed
    cdef Phase phase           # ENDED is zero: for FileAccess.__new__(FileAccess)
    cdef bint is_listed
    cdef int32_t purges
    cdef uint64_t generation
    cdef long thread           # the one that entered
    cdef PyObject *before
    cdef PyObject *after

    def __init__(self):
        raise TypeError(f"a {type(self).__name__} is not made but given: by as_file()")

    def __dealloc__(self):
        cdef sr_error error
        if self.end(&error):
            sr_block_forget(&self.file.block)  # what describes the memory goes now, the memory stays: wiped
            _raise(&error)

    def __enter__(self):
        cdef sr_error error
        if self.phase != NEW or self.file.block.reservation != NULL:  # what the system did not take back
            raise AccessError("an access is good for one with block: call as_file() again")
        self.phase = ENTERING
        try:
            path = self.make()
            self.phase = OPEN
        finally:
            if self.phase == ENTERING:
                self.end(&error)  # refused, it is tried again when this object goes
                self.phase = NEW
        return path

    def __exit__(self, kind, value, traceback):
        cdef sr_error error
        cdef bint was_purged = self.purges != _purges
        if self.phase != OPEN:
            return
        self.phase = ENDED
        self.sealed = None
        if self.end(&error):
            refused = SystemCallError(error.call.decode(), error.code)
            if value is None:
                raise refused
            _report(refused)
        if value is not None:  # an exception already on its way is never replaced
            return
        if was_purged:
            raise PurgedError("purge() wiped this file while it was in use: discard what was read from it")
        if self.generation != sr_generation():
            raise ForkedError("this block was entered before a fork: its file is not in this child")

    def __repr__(self):
        state = "open" if self.phase == OPEN else "ended" if self.phase == ENDED else "new"
        return f"<{type(self).__name__} {state}>"

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: it is one use of memory in this process")

    cdef str make(self):
        """The file with its content, in that order: what may wait, or run other code, comes before the content."""
        cdef Access access = Sealed.open(self.sealed)
        cdef View view
        cdef str path = self.obtain()
        with access as view:
            if self.generation == sr_generation() and self.purges == _purges:
                memmove(self.file.block.data, view.data, self.file.block.size)
        if self.generation != sr_generation():
            raise ForkedError("the process forked while this file was being made: make it anew here")
        if self.purges != _purges:  # a signal may have wiped the file, and then the rest came in: ending.pxi
            raise PurgedError("purge() ran while this file was being made")
        return path

    cdef str obtain(self):
        cdef sr_error error
        cdef char path[SR_PATH_ROOM]
        cdef size_t size = (self.sealed.envelope.size + _page_size - 1) // _page_size * _page_size
        cdef bint is_limit
        cdef int failed = self.create(path, &error)
        if failed and sr_os_is_lock_limit(&error) and _give_up_idle():
            failed = self.create(path, &error)
        if failed and sr_os_is_lock_limit(&error):
            call = error.call.decode()
            for _ in _host.waiting(None, call, size):
                _give_up_idle()
                _key_of(self.sealed)  # others ran meanwhile
                failed = self.create(path, &error)
                if not (failed and sr_os_is_lock_limit(&error)):
                    break
        if failed:
            if (error.code == SR_UNSUPPORTED or (error.call == b"memfd_create" and error.code == ENOSYS)
                    or (error.call == b"fcntl(F_ADD_SEALS)" and error.code == EINVAL)):
                raise UnsupportedError(
                    f"a Secret has no path on this system: that takes Linux 5.1 and /proc, and {error.call.decode()} is "
                    "not to be had here. Where a descriptor will do, hand it a pipe and write_to() that; else write_to() "
                    "a file of your own, on a file system in memory, and remove it")
            is_limit = sr_os_is_lock_limit(&error)
            note = _host.wait_note(None, size) if is_limit else ""
            raise _host.refusal(error.call.decode(), error.code, is_limit, size, note)
        return path.decode()

    cdef int create(self, char *path, sr_error *error) noexcept:
        """With the interpreter lock: a child that Python forks has either no descriptor, or one that is in the list."""
        global _files
        self.purges = _purges  # before there is memory: what is wiped later than this counts as made before
        self.generation = sr_generation()
        if sr_file_create(&self.file, self.sealed.envelope.size, path, error):
            return -1
        self.thread = PyThread_get_thread_ident()
        self.before = NULL
        self.after = _files
        if _files != NULL:
            (<FileAccess>_files).before = <PyObject *>self
        _files = <PyObject *>self
        self.is_listed = True
        return 0

    cdef int end(self, sr_error *error) noexcept:
        """Wipe, close, give back. In a child that no handler saw only the descriptor is its own."""
        self.delist()
        if self.file.block.reservation == NULL:
            return 0
        if self.generation != sr_generation():
            sr_os_file_close(&self.file.opened)
            self.file.block.reservation = NULL
            return 0
        if sr_file_destroy(&self.file, error):
            return -1
        _tell_waiting()
        return 0

    cdef void delist(self) noexcept:
        global _files
        if not self.is_listed:
            return
        self.is_listed = False
        if self.before != NULL:
            (<FileAccess>self.before).after = self.after
        else:
            _files = self.after
        if self.after != NULL:
            (<FileAccess>self.after).before = self.before


def file_access(Sealed sealed not None):
    """The access behind ``Secret.as_file``."""
    cdef FileAccess access
    _key_of(sealed)
    access = FileAccess.__new__(FileAccess)
    access.sealed = sealed
    access.phase = NEW
    return access


def close_files_in_child():
    """Close in a forked child, before anything else runs there, what it inherited of its parent's files."""
    cdef FileAccess one
    while _files != NULL:
        one = <FileAccess>_files
        one.delist()
        sr_os_file_close(&one.file.opened)


cdef bint _holds_file(long thread) noexcept:
    """Whether this thread entered an access to a file that is still there."""
    cdef PyObject *one = _files
    while one != NULL:
        if (<FileAccess>one).thread == thread and (<FileAccess>one).generation == sr_generation():
            return True
        one = (<FileAccess>one).after
    return False
