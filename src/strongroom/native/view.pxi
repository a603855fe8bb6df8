# Accesses and Views: one use of a block, and what the user gets for it. A part of _native.pyx.

@cython.freelist(8)
@cython.no_gc_clear
cdef class Use:
    """One use of memory by one ``with`` block, as far as the View knows it that the block gets."""

    # Of Access alone, and here because only a class without fields of its own shares its base's freelist.
    cdef Block block      # None until entered, for a sealed secret
    cdef Sealed sealed    # None for a plain buffer
    cdef Py_ssize_t exports    # buffers that Views of this use handed out and that are not given back yet
    cdef bint writable
    cdef bint is_filling       # it is what brings vanished contents back
    cdef unsigned renewals     # how often these had begun anew when it was entered
    cdef Phase phase
    cdef long thread           # the one that entered, while this holds a room
    cdef PyObject *held_before
    cdef PyObject *held_after

    def __init__(self):
        raise TypeError(f"a {type(self).__name__} is not made but given: by open(), or view() of a region")

    cdef int require_open(self) except -1:
        if self.phase != OPEN:
            raise AccessError("this View was used outside the with block that opened it")
        return 0

    cdef void lend(self) noexcept:
        """A View handed out a buffer."""
        self.exports += 1

    cdef int take_back(self) except -1:
        """Such a buffer is gone."""
        self.exports -= 1
        return 0

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: it is one use of memory in this process")


#: The accesses that hold a room, the last one entered first. Each leaves the list before it is deallocated.
cdef PyObject *_rooms_held = NULL


@cython.final
@cython.no_gc_clear
cdef class Access(Use):
    """One use of protected memory, for one ``with`` block. ``open()`` returns it; its ``with`` yields the View."""

    def __dealloc__(self):
        if self.phase == OPEN:  # left without __exit__: a generator that was dropped, for example
            self.end()

    def __enter__(self):
        if self.phase != NEW:
            raise AccessError("an access is good for one with block: call open() again")
        self.phase = ENTERING  # first of all: on Python 3.11 the next line may collect, and that run anything
        try:  # without except: that would look after the thread's current exception each time
            view = _new_view(self)
            if self.sealed is not None:
                self.block = _enter_room(self.sealed)
            elif sr_can_vanish(<sr_backing>self.block.kept_in):
                _enter_vanishing(self)
            else:
                self.block.enter(self.writable)
            self.phase = OPEN
        finally:
            if self.phase == ENTERING:
                self.phase = NEW
        if self.block.is_room:
            self.enlist()
        view.data = self.block.place.data
        view.size = self.block.size
        return view

    def __exit__(self, kind, value, traceback):
        cdef Block block = self.block
        cdef bint is_good
        if self.phase != OPEN:
            return
        is_good = block.purges == _purges and block.generation == sr_generation() and not (
            sr_can_vanish(<sr_backing>block.kept_in) and _has_vanished(self))
        if value is not None:  # an exception already on its way is never replaced
            try:
                self.end()
            except BaseException as error:
                _report(error)
            if not is_good:
                _add_verdict(value, block)
            return
        self.end()
        if not is_good:
            raise _verdict(block)
        if self.exports:
            raise block.still_kept("was kept past the block that opened it")

    cdef inline int end(self) except -1:
        cdef Block block = self.block
        self.phase = ENDED
        if block.is_room:
            self.delist()
        if self.sealed is not None:
            _leave_room(self.sealed, block)
        block.leave(self.writable)
        self.let_go()
        return 0

    cdef void enlist(self) noexcept:
        global _rooms_held
        self.thread = PyThread_get_thread_ident()
        self.held_after = _rooms_held
        if _rooms_held != NULL:
            (<Access>_rooms_held).held_before = <PyObject *>self
        _rooms_held = <PyObject *>self

    cdef void delist(self) noexcept:
        global _rooms_held
        if self.held_before != NULL:
            (<Access>self.held_before).held_after = self.held_after
        else:
            _rooms_held = self.held_after
        if self.held_after != NULL:
            (<Access>self.held_after).held_before = self.held_before

    cdef void let_go(self) noexcept:
        """Once nothing of it is in use, an access that somebody still refers to must not hold locked memory."""
        if self.phase == ENDED and self.exports == 0:
            self.block = None
            self.sealed = None

    cdef void lend(self) noexcept:
        self.exports += 1
        self.block.exports += 1
        self.block.writable_exports += self.writable

    cdef int take_back(self) except -1:
        cdef Block block = self.block
        self.exports -= 1
        block.exports -= 1
        block.writable_exports -= self.writable
        self.let_go()
        return block.settle() if block.exports == 0 else 0

    cdef int require_open(self) except -1:
        if self.phase != OPEN:
            raise AccessError("this View was used outside the with block that opened it")
        if self.block.generation != sr_generation():
            raise ForkedError("this View was made before a fork: its memory is not in this child")
        return 0


cdef object _verdict(Block block):
    """What to raise at the end of a block whose memory was not what it seemed."""
    if block.purges != _purges:
        return PurgedError("purge() wiped this memory while it was in use: discard what was computed from it")
    if block.generation != sr_generation():
        return ForkedError("this block was entered before a fork: its memory is not in this child")
    return ContentsLostError(
        f"the system dropped the contents of this {type(block).__name__} while a block had it open: discard what was "
        "computed from it")


cdef int _add_verdict(object error, Block block) except -1:
    """To an exception that is on its way, as a note."""
    verdict = _verdict(block)
    try:
        error.add_note(f"besides, {type(verdict).__name__}: {verdict}")
    except Exception as refused:  # a class of the user's own may have another add_note, or none
        _report(refused)
    return 0


def holds_room():
    """Whether this thread entered an access to a room, a Secret that is open, or to a file, and nobody has left it yet."""
    cdef long me = PyThread_get_thread_ident()
    cdef PyObject *one = _rooms_held
    while one != NULL:
        if (<Access>one).thread == me and (<Access>one).block.generation == sr_generation():  # else a parent's
            return True
        one = (<Access>one).held_after
    return _holds_file(me)


cdef inline Access _new_access(Block block, Sealed sealed, bint writable):
    cdef Access access = Access.__new__(Access)
    access.block = block
    access.sealed = sealed
    access.writable = writable
    access.phase = NEW
    return access


cdef Access _ended = Access.__new__(Access)


@cython.final
@cython.freelist(8)
@cython.no_gc_clear
cdef class View:
    """Protected bytes while their ``with`` block lasts: buffer protocol, length, index, slices that are Views.

    Index and slice assignment work when opened with ``"rw"``. ``==`` compares in constant time for equal lengths.
    Any use after the block raises ``AccessError``. A View never becomes text by accident: ``str()`` and f-strings
    raise. Does not protect against copies made from it: ``bytes(view)`` is ordinary memory.
    """

    cdef Use access
    cdef unsigned char *data
    cdef Py_ssize_t size

    def __cinit__(self):
        self.access = _ended  # for View.__new__(View)

    def __init__(self):
        raise TypeError("a View comes from the with block of open()")

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self.access.require_open()
        if flags & PyBUF_WRITABLE and not self.access.writable:
            raise BufferError("this View is read-only")
        PyBuffer_FillInfo(buffer, self, self.data, self.size, not self.access.writable, flags)
        self.access.lend()

    def __releasebuffer__(self, Py_buffer *buffer):
        self.access.take_back()

    def __len__(self):
        self.access.require_open()
        return self.size

    @property
    def readonly(self):
        """Whether assignment is refused. Version added: 0.1."""
        self.access.require_open()
        return not self.access.writable

    def __getitem__(self, key):
        cdef Py_ssize_t index, count
        cdef View part
        if isinstance(key, slice):
            index = self.part(key, &count)
            part = _new_view(self.access)
            part.data = self.data + index
            part.size = count
            return part
        index = self.index(key)
        return self.data[index]

    def __setitem__(self, key, value):
        cdef Py_ssize_t index, count
        cdef Py_buffer source
        self.require_writable()
        if not isinstance(key, slice):
            byte = PyNumber_Index(value) if PyIndex_Check(value) else -1
            if not 0 <= byte <= 255:
                raise ValueError("one byte takes an integer from 0 to 255")
            index = self.index(key)
            self.data[index] = byte
            return
        PyObject_GetBuffer(value, &source, PyBUF_SIMPLE)
        try:
            index = self.part(key, &count)
            if source.len != count:
                raise ValueError(f"a View keeps its size: {count} bytes cannot take {source.len}")
            memmove(self.data + index, source.buf, count)
            sr_forget_registers()
        finally:
            PyBuffer_Release(&source)

    cdef int require_writable(self) except -1:
        self.access.require_open()
        if not self.access.writable:
            raise TypeError("this View is read-only: open the buffer with 'rw'" if self.access.sealed is None else
                            "this View of a secret is read-only: secrets never change, make another one")
        return 0

    def __delitem__(self, key):
        raise TypeError("a View keeps its size: nothing can be deleted from it")

    # Both of these convert the key first, which may run Python code of the key's own that ends the block, and only
    # then ask whether the block is open. Nothing may run between them and the use of what they return.
    cdef inline Py_ssize_t index(self, key) except -1:
        if not PyIndex_Check(key):
            raise TypeError(f"a View takes an integer or a slice, not {_describe(key)}")
        cdef Py_ssize_t index, wanted = PyNumber_AsSsize_t(key, IndexError)
        index = wanted + self.size if wanted < 0 else wanted
        self.access.require_open()
        if not 0 <= index < self.size:
            raise IndexError(f"index {wanted} is outside a View of {self.size} bytes")
        return index

    cdef Py_ssize_t part(self, slice key, Py_ssize_t *count) except -1:
        cdef Py_ssize_t start, stop, step
        PySlice_Unpack(key, &start, &stop, &step)
        self.access.require_open()
        if step != 1:
            raise ValueError(f"a View has slices of step 1 only, not {step}")
        count[0] = PySlice_AdjustIndices(self.size, &start, &stop, step)
        return start

    def __contains__(self, byte):
        if not PyIndex_Check(byte):
            raise TypeError("a View only knows whether it contains one byte, an integer from 0 to 255")
        wanted = PyNumber_Index(byte)
        self.access.require_open()
        for i in range(self.size):
            if self.data[i] == wanted:
                return True
        return False

    def __eq__(self, other):
        self.access.require_open()
        if isinstance(other, str):
            raise TypeError("a View holds bytes: compare it with bytes, not with str")
        try:
            return _compare_digest(self, other)
        except TypeError:
            return NotImplemented

    __hash__ = None

    def __repr__(self):
        state = "ended" if self.access.phase != OPEN else "writable" if self.access.writable else "read-only"
        return f"<View {self.size} bytes, {state}>"

    def __str__(self):
        raise TypeError("a View is never text: use Secret.reveal_text(), or str(view, 'utf-8'), for an ordinary copy")

    def __format__(self, spec):
        return self.__str__()

    def __int__(self):
        """int() would take it for digits, and show them in the error where they are none."""
        raise TypeError("a View is never a number: view[i] is one byte, int.from_bytes(view) makes an ordinary copy of all")

    def __reduce_ex__(self, protocol):
        raise TypeError("a View cannot be pickled or copied: it would leave protected memory")


cdef inline View _new_view(Use access):
    cdef View view = View.__new__(View)
    view.access = access
    return view
