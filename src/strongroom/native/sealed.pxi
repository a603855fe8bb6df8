# Sealed secrets, the rooms they are opened in, and the key they share. A part of _native.pyx.

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
    room = Block(size, isolated=True)
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
        sr_envelope_drop(&self.envelope)

    def _seal(self, size, fill):
        """Once: let ``fill`` write into a room of ``size`` bytes, then seal what it wrote."""
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
            _seal_room(self, room, wanted)

    def _seal_random(self, size):
        """Once: seal ``size`` bytes of the operating system's generator."""
        cdef sr_error error
        cdef Block room = _new_room(self, _checked_size(size))
        try:
            if sr_os_random(room.place.data, room.size, &error):
                _raise(&error)
            _seal_room(self, room, room.size)
        finally:
            room.settle()

    def _seal_copy(self, source, bint wipe):
        """Once: seal what lies in a buffer, then overwrite it there if ``wipe``."""
        cdef Py_buffer buffer
        cdef Block room
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
                _seal_room(self, room, room.size)
            finally:
                room.settle()
            if wipe:
                sr_os_wipe(buffer.buf, buffer.len)
        finally:
            PyBuffer_Release(&buffer)

    def open(self):
        """Return the access for a ``with`` block, which yields a read-only View of the decrypted bytes."""
        _require_sealed(self)
        return _new_access(None, self, False)

    def destroy(self):
        """Forget the ciphertext; accesses that are open keep their room until they end. Twice is fine."""
        sr_envelope_drop(&self.envelope)

    @property
    def is_destroyed(self):
        """Whether the ciphertext is gone."""
        return self.envelope.key_number == 0

    def __len__(self):
        return self.envelope.size

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


cdef int _seal_room(Sealed sealed, Block room, size_t size) except -1:
    cdef sr_error error
    if _key_generation != sr_generation():
        raise ForkedError("the process forked while this secret was being made: make it anew here")
    if not has_sealer() or room.purges != _purges:
        raise PurgedError("purge() ran while this secret was being made")
    if sr_seal(&_sealer, _identity_of(sealed), room.place.data, size, &sealed.envelope, &error):
        if error.call == b"malloc":
            raise MemoryError()
        _raise(&error)
    if not has_sealer() or room.purges != _purges:  # a signal wiped room or key meanwhile: ending.pxi
        sr_envelope_drop(&sealed.envelope)
        raise PurgedError("purge() ran while this secret was being made")
    return 0


cdef inline uint64_t _identity_of(Sealed sealed) noexcept:
    """What tells it from all others there are: an envelope that is moved into another object does not open.

    Not from one that is gone, in whose place this one lies: who writes this process's memory could put its value back.
    """
    return <size_t><PyObject *>sealed


cdef int _require_sealed(Sealed sealed) except -1:
    cdef uint32_t number = sealed.envelope.key_number
    if (number == _sealer.key_number and _sealer.key != NULL and _key_generation == sr_generation()
            and _key.purges == _purges):  # else only a signal wiped the key and left it there: ending.pxi
        return 0
    if number == 0:
        raise DestroyedError(f"this {type(sealed).__name__} was destroyed")
    if _key_generation != sr_generation() or number < _first_key_number:
        raise ForkedError(
            f"this {type(sealed).__name__} was sealed before a fork and its key is not in this child: make it after "
            "the fork (gunicorn: post_fork, uWSGI: postfork, multiprocessing: in the worker's initializer)")
    raise PurgedError(f"this {type(sealed).__name__} was destroyed by purge()")


cdef Block _enter_room(Sealed sealed):
    cdef Block room
    _require_sealed(sealed)
    if sealed.room is not None:
        sealed.room.readers += 1
        return sealed.room
    room = _take_room(sealed.envelope.size)
    _require_sealed(sealed)  # making room let other threads run, which may have done anything to this secret
    if sealed.room is not None:
        room.settle()
        sealed.room.readers += 1
        return sealed.room
    if sr_unseal(&_sealer, _identity_of(sealed), &sealed.envelope, room.place.data):
        room.settle()
        _require_sealed(sealed)  # a signal may have wiped the key meanwhile: ending.pxi
        raise SealBrokenError(f"this {type(sealed).__name__} is not what was sealed: its ciphertext was changed")
    room.readers = 1
    sealed.room = room
    return room


cdef void _leave_room(Sealed sealed, Block room) noexcept:
    if sealed.room is room and room.readers == 1:  # the last one is about to leave: the room is wiped next
        sealed.room = None


cpdef bint has_sealer() noexcept:
    """Whether there is a key in this process to seal under."""
    return (_key is not None and _sealer.key != NULL and _key_generation == sr_generation()
            and _key.purges == _purges)


def begin_sealing(Block key not None, size_t encrypt, size_t decrypt, size_t nonce_size, size_t tag_size, example):
    """Take a key into use, with the engine whose two functions lie at these addresses.

    ``example`` is the engine's published test vector ``(key, nonce, bound, message, sealed)``. False if the engine
    does not compute it.
    """
    global _key, _key_generation, _first_key_number
    cdef sr_error error
    cdef sr_engine engine
    cdef bytes k, n, a, m, c
    engine.encrypt = <sr_encrypt>encrypt
    engine.decrypt = <sr_decrypt>decrypt
    engine.nonce_size = nonce_size
    engine.tag_size = tag_size
    k, n, a, m, c = example
    if has_sealer():  # another thread was first; a second key would orphan what was sealed under its
        return True
    if sr_engine_self_test(&engine, k, n, a, len(a), m, len(m), c):
        return False
    key.enter(False)
    if sr_sealer_rekey(&_sealer, &engine, key.place.data, &error):
        key.leave(False)
        _raise(&error)
    if _key_generation != sr_generation():
        _first_key_number = _sealer.key_number
    _key = key
    _key_generation = sr_generation()
    return True


def purge():
    """Wipe every buffer, room and key of this process; nothing made before opens again."""
    global _key
    cdef Block key = _key  # goes last: other threads may run meanwhile, and what they make is made after this
    sr_os_add(&_purges, 1)
    _sealer.key = NULL
    _key = None
    _wipe_everything()
