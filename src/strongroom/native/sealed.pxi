# Sealed secrets, the rooms they are opened in, and the key they share. A part of _native.pyx.

cdef Block _take_room(size_t size):
    cdef sr_error error
    cdef Block room
    if size + SR_CANARY_SIZE <= _page_size and _idle_rooms:
        room = _idle_rooms.pop()
        if room.generation == sr_generation():
            room.purges = _purges
            sr_blocks_await_walk()  # one that counted before would wipe what is opened in it from now on
            sr_block_place(room.pages, size)
            room.place.data = room.pages.data
            room.size = size
            return room
        _idle_rooms.clear()  # a parent's
    room = Block(size, isolated=True)
    if sr_block_protect(room.pages, SR_READ_WRITE, &error):
        _raise(&error)
    room.is_room = True
    return room


cdef class Sealed(Keeper):
    """A secret at rest: ciphertext here, the key elsewhere; ``Secret`` is its public face."""

    cdef sr_envelope envelope
    cdef Block room            # while opened
    cdef uint64_t generation
    cdef object __weakref__

    def __dealloc__(self):
        sr_envelope_drop(&self.envelope)

    def _seal(self, size, fill):
        """Once: let ``fill`` write into a room of ``size`` bytes, then seal what it wrote."""
        global _next_identity
        cdef sr_error error
        cdef size_t wanted = _checked_size(size)
        cdef uint64_t identity = _next_identity
        cdef Block room
        cdef Access access
        cdef int failed = 0
        _next_identity += 1
        if self.envelope.ciphertext != NULL:
            raise ValueError("this secret has its content already: secrets never change")
        room = _take_room(wanted)
        try:
            access = _new_access(room, None, True)
            with access as view:
                written = fill(view)
                access.require_open()  # fill is the user's code: it may have forked, or purged
                if not has_sealer():
                    raise PurgedError("purge() ran while this secret was being made")
                if written is not None:
                    if type(written) is not int:
                        raise TypeError(f"fill must return None or how many bytes it wrote, not {_describe(written)}")
                    if not 1 <= written <= wanted:
                        raise ValueError(f"fill wrote {written} bytes; a secret has from 1 to {wanted}")
                    wanted = written
                failed = sr_seal(&_sealer, identity, room.place.data, wanted, &self.envelope, &error)
            if failed and error.call == b"malloc":
                raise MemoryError()
            if failed:
                _raise(&error)
        except BaseException:
            sr_envelope_drop(&self.envelope)
            raise
        self.generation = sr_generation()

    cdef int require_usable(self) except -1:
        if self.envelope.ciphertext == NULL:
            raise DestroyedError(f"this {type(self).__name__} was destroyed")
        if self.generation != sr_generation():
            raise ForkedError(
                f"this {type(self).__name__} was sealed before a fork and its key is not in this child: make it after "
                "the fork (gunicorn: post_fork, uWSGI: postfork, multiprocessing: in the worker's initializer)")
        if (self.envelope.key_number != _sealer.key_number or _sealer.key == NULL
                or _key.purges != _purges):  # only a signal wiped the key and left it there: ending.pxi
            raise PurgedError(f"this {type(self).__name__} was destroyed by purge()")
        return 0

    cdef Block enter_room(self):
        cdef Block room
        self.require_usable()
        if self.room is not None:
            self.room.readers += 1
            return self.room
        room = _take_room(self.envelope.size)
        self.require_usable()  # making room let other threads run, which may have done anything to this secret
        if self.room is not None:
            room.settle()
            self.room.readers += 1
            return self.room
        if sr_unseal(&_sealer, &self.envelope, room.place.data):
            room.settle()
            self.require_usable()  # a signal may have wiped the key meanwhile: ending.pxi
            raise SealBrokenError(f"this {type(self).__name__} is not what was sealed: its ciphertext was changed")
        room.readers = 1
        self.room = room
        return room

    cdef void leave_room(self, Block room) noexcept:
        if self.room is room and room.readers == 1:  # the last one is about to leave: the room is wiped next
            self.room = None

    def open(self):
        """Return the access for a ``with`` block, which yields a read-only View of the decrypted bytes."""
        self.require_usable()
        return _new_access(None, self, False)

    def destroy(self):
        """Forget the ciphertext; accesses that are open keep their room until they end. Twice is fine."""
        sr_envelope_drop(&self.envelope)

    @property
    def is_destroyed(self):
        """Whether the ciphertext is gone."""
        return self.envelope.ciphertext == NULL

    def __len__(self):
        return self.envelope.size

    def __eq__(self, other):
        return _is_equal(self, other)

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.envelope.size} bytes, {'destroyed' if self.is_destroyed else 'sealed'}>"


def has_sealer():
    """Whether there is a key in this process to seal under."""
    return (_key is not None and _sealer.key != NULL and _key_generation == sr_generation()
            and _key.purges == _purges)


def begin_sealing(Block key not None, size_t encrypt, size_t decrypt, size_t nonce_size, size_t tag_size, example):
    """Take a key into use, with the engine whose two functions lie at these addresses.

    ``example`` is the engine's published test vector ``(key, nonce, bound, message, sealed)``. False if the engine
    does not compute it.
    """
    global _key, _key_generation
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
