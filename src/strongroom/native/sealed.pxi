# Sealed secrets and the rooms they are opened in. A part of _native.pyx.

cdef Block _take_room(size_t size):
    cdef sr_error error
    cdef Block room
    cdef Py_ssize_t position
    for position in range(len(_idle_rooms) - 1, -1, -1):
        room = _idle_rooms[position]
        if room.generation != sr_generation():
            _idle_rooms.clear()  # a parent's
            break
        if size + SR_CANARY_SIZE <= room.pages.pages_size:
            del _idle_rooms[position]
            room.purges = _purges
            sr_blocks_await_walk()  # one that counted before would wipe what is opened in it from now on
            sr_block_place(room.pages, size)
            room.place.data = room.pages.data
            room.size = size
            return room
    room = LockedBlock(size, isolated=True)
    room.require_usable()  # making it may have run code that forked, or purged
    if sr_block_protect(room.pages, SR_READ_WRITE, &error):
        _raise(&error)
    room.is_room = True
    return room


@cython.no_gc  # a room refers to nothing that could refer back
cdef class Sealed(Keeper):
    """A secret at rest: ciphertext here, the key elsewhere; ``Secret`` is its public face.

    There may be a million: no field more than it needs, and functions instead of methods, as those would be one.
    """

    cdef sr_envelope envelope
    cdef Block room            # while opened
    cdef object __weakref__

    def __dealloc__(self):
        _drop_envelope(&self.envelope)

    def _seal(self, size, fill, in_children=_FORGET, shielded=False):
        """Once: let ``fill`` write into a room of ``size`` bytes, then seal what it wrote."""
        cdef unsigned kind = _kind_of(in_children, shielded)
        cdef uint64_t generation = sr_generation()
        cdef Block room = _new_room(self, _checked_size(size))
        cdef Access access = _new_access(room, None, True)
        cdef size_t wanted = room.size
        with access as view:
            written = fill(view)
            access.require_open()  # fill is the user's code: it may have forked, or purged
            if written is not None:
                if type(written) is not int:
                    raise TypeError(f"fill must return None or how many bytes it wrote, not {_describe(written)}")
                if not 1 <= written <= wanted:
                    raise ValueError(f"fill wrote {written} bytes; a secret has from 1 to {wanted}")
                wanted = written
            _seal_room(self, room, wanted, kind, generation)

    def _seal_random(self, size, in_children=_FORGET, shielded=False):
        """Once: seal ``size`` bytes of the operating system's generator."""
        cdef sr_error error
        cdef unsigned kind = _kind_of(in_children, shielded)
        cdef uint64_t generation = sr_generation()
        cdef Block room = _new_room(self, _checked_size(size))
        try:
            if sr_os_random(room.place.data, room.size, &error):
                _raise(&error)
            _seal_room(self, room, room.size, kind, generation)
        finally:
            room.settle()

    def _seal_copy(self, source, bint wipe, in_children=_FORGET, shielded=False):
        """Once: seal what lies in a buffer, then overwrite it there if ``wipe``."""
        cdef Py_buffer buffer
        cdef Block room
        cdef unsigned kind = _kind_of(in_children, shielded)
        cdef uint64_t generation = sr_generation()
        if not PyObject_CheckBuffer(source):
            raise TypeError(f"the source must be a buffer such as a bytearray, not {type(source).__name__}")
        PyObject_GetBuffer(source, &buffer, PyBUF_SIMPLE)
        try:
            if wipe and buffer.readonly:
                raise TypeError(
                    f"{type(source).__name__} cannot be overwritten: wipe=False takes a copy and leaves the original")
            if buffer.len == 0:
                raise ValueError("the buffer is empty")
            room = _new_room(self, buffer.len)
            try:
                memmove(room.place.data, buffer.buf, room.size)
                sr_forget_registers()
                _seal_room(self, room, room.size, kind, generation)
            finally:
                room.settle()
            if wipe:
                sr_os_wipe(buffer.buf, buffer.len)
        finally:
            PyBuffer_Release(&buffer)

    def open(self):
        """Return the access for a ``with`` block, which yields a read-only View of the decrypted bytes."""
        _key_of(self)
        return _new_access(None, self, False)

    def destroy(self):
        """Forget the ciphertext; accesses that are open keep their room until they end. Twice is fine."""
        _drop_envelope(&self.envelope)

    @property
    def is_destroyed(self):
        """Whether the ciphertext is gone."""
        return self.envelope.key_number == 0

    def __len__(self):
        return self.envelope.size

    def __reduce_ex__(self, protocol):
        name = type(self).__name__
        raise TypeError(
            f"a {name} cannot be pickled or copied: its bytes would leave protected memory. A worker process makes its "
            "own (in its initializer, or at import; in a forkserver's preloaded module with in_children='keep'), or "
            "gets the bytes through a pipe: write_to() here, from_fd() there")

    def __eq__(self, other):
        return _is_equal(self, other)

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.envelope.size} bytes, {'destroyed' if self.is_destroyed else 'sealed'}>"


cdef Block _new_room(Sealed sealed, size_t size):
    """For what is about to be sealed; whoever takes it has it settled."""
    if size > SR_SEALED_MAX_SIZE:
        raise ValueError(f"size must be from 1 to {SR_SEALED_MAX_SIZE:,} bytes, not {size:,}")
    if sealed.envelope.key_number:
        raise ValueError("this secret has its content already: secrets never change")
    return _take_room(size)


cdef int _seal_room(Sealed sealed, Block room, size_t size, unsigned kind, uint64_t generation) except -1:
    cdef sr_error error
    cdef uint32_t number
    cdef Block held
    cdef Key *key = _sealing_key(kind)
    if generation != sr_generation():
        raise ForkedError("the process forked while this secret was being made: make it anew here")
    if key == NULL or room.purges != _purges:
        raise PurgedError("purge() ran while this secret was being made")
    number = key.native.number
    held = _hold(key)  # an engine in Python may let other threads run, which must not end the key meanwhile
    if sr_seal(&key.native, _identity_of(sealed), room.place.data, size, &sealed.envelope, &error):
        _let_go(key, number)
        _raise_engine_failure()
        if error.call == b"malloc":
            raise MemoryError()
        _raise(&error)
    if key.native.number != number or not _is_there(key) or room.purges != _purges:  # a signal wiped room or key meanwhile: ending.pxi
        _drop_envelope(&sealed.envelope)
        raise PurgedError("purge() ran while this secret was being made")
    return 0


cdef int _seal_anew(Sealed sealed, Block room, unsigned kind) except -1:
    """Under the key that took the place of its own. If that cannot be done now, the next opening tries again."""
    cdef sr_error error
    cdef sr_envelope envelope
    cdef Key *key = _sealing_key(kind)
    cdef uint32_t old = sealed.envelope.key_number, number
    cdef Block held
    cdef int failed
    if key == NULL:
        return 0
    memset(&envelope, 0, sizeof(envelope))
    number = key.native.number
    held = _hold(key)
    failed = sr_seal(&key.native, _identity_of(sealed), room.place.data, sealed.envelope.size, &envelope, &error)
    failure = _taken_failure()
    if (failed or key.native.number != number or not _is_there(key) or room.purges != _purges
            or sealed.envelope.key_number != old):
        sr_envelope_drop(&envelope)
        _let_go(key, number)
        if failure is not None and not isinstance(failure, Exception):  # Ctrl-C is not ours to keep
            raise failure
        return 0
    _drop_envelope(&sealed.envelope)
    sealed.envelope = envelope
    return 0


cdef inline uint64_t _identity_of(Sealed sealed) noexcept:
    """What tells it from all others there are: an envelope that is moved into another object does not open.

    Not from one that is gone, in whose place this one lies: who writes this process's memory could put its value back.
    """
    return <size_t><PyObject *>sealed


cdef inline Key *_key_of(Sealed sealed) except NULL:
    cdef Key *key = _key_numbered(sealed.envelope.key_number)
    if key == NULL:
        _refuse_sealed(sealed.envelope.key_number, type(sealed).__name__)
    return key


cdef Block _enter_room(Sealed sealed):
    cdef sr_error error
    cdef Block room
    cdef Block held
    cdef bint is_old
    cdef unsigned kind
    cdef uint32_t number
    cdef int failed
    cdef Key *key = _key_of(sealed)
    if sealed.room is not None and sealed.room.generation != sr_generation():
        sealed.room = None  # a parent's, that had it open
    if sealed.room is not None:
        sealed.room.readers += 1
        return sealed.room
    room = _take_room(sealed.envelope.size)
    key = _key_of(sealed)  # making room let other threads run, which may have done anything to this secret
    if sealed.room is not None:
        room.settle()
        sealed.room.readers += 1
        return sealed.room
    number = key.native.number
    held = _hold(key)  # an engine in Python may let other threads run, which must not end the key meanwhile
    failed = sr_unseal(&key.native, _identity_of(sealed), &sealed.envelope, room.place.data, &error)
    is_old = not key.seals
    kind = key.kind
    _let_go(key, number)
    if failed:
        failure = _taken_failure()
        room.settle()
        if failure is not None:
            raise failure
        _key_of(sealed)  # a signal may have wiped the key meanwhile: ending.pxi
        if error.call != NULL:
            _raise(&error)
        raise SealBrokenError(f"this {type(sealed).__name__} is not what was sealed: its ciphertext was changed")
    if is_old:
        _seal_anew(sealed, room, kind)
    _key_of(sealed)  # those threads may have destroyed or opened this secret; what is dropped is wiped
    if sealed.room is not None:
        room.settle()
        sealed.room.readers += 1
        return sealed.room
    room.readers = 1
    sealed.room = room
    return room


cdef void _leave_room(Sealed sealed, Block room) noexcept:
    if sealed.room is room and room.readers == 1:  # the last one is about to leave: the room is wiped next
        sealed.room = None


def purge():
    """Wipe every buffer, room and key of this process; nothing made before opens again.

    Returns the call that a private file's overwriting failed at, and its code, or ``None``.
    """
    cdef list blocks = list(_key_blocks)  # go last: other threads may run meanwhile, and what they make is made after this
    cdef sr_block *in_files
    cdef sr_error error
    cdef int failed
    sr_os_add(&_purges, 1)
    _key_blocks[:] = [None] * MOST_KEYS
    in_files = _wipe_at_hand()
    with nogil:
        failed = sr_blocks_wipe_files(in_files, &error)
    return (error.call.decode(), error.code) if failed else None
