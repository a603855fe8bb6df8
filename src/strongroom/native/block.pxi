# Blocks: guarded pages that hold one secret. A part of _native.pyx.

cdef Py_ssize_t _waiting = 0    # threads that wait at the lock limit


def set_waiting(Py_ssize_t count):
    """How many threads wait for locked memory to be given back: while there are any, ``host.freed`` hears of it."""
    global _waiting
    _waiting = count


cdef void _tell_waiting() noexcept:
    if _waiting:
        _host.freed()


cdef class Keeper:
    """What no f-string, log line, pickle or copy gets anything out of."""

    def __str__(self):
        raise TypeError(f"a {type(self).__name__} never becomes text by itself: open() it, or reveal a copy on purpose")

    def __format__(self, spec):
        return self.__str__()

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: its bytes would leave protected memory")


cdef class Block(Keeper):
    """Guarded pages that hold one secret; ``LockedBuffer`` is its public face."""

    cdef sr_block block
    cdef uint64_t purges
    cdef Py_ssize_t readers, writers   # open accesses
    cdef Py_ssize_t exports            # buffers handed out and not yet given back
    cdef bint is_room                  # lent to Sealed objects, stays READ_WRITE, goes back to the pool
    cdef bint is_doomed                # destroyed while somebody uses it: give back when the last one ends
    cdef object __weakref__

    def __cinit__(self, size, *, backing="auto", isolated=None, policy=None):
        cdef sr_error error
        cdef size_t wanted = _checked_size(size)
        cdef bint is_secretmem, may_fall_back
        cdef unsigned required
        cdef bint failed
        is_secretmem, may_fall_back, required = _host.plan(wanted, backing, isolated, policy)
        _begin()
        failed = self.create(wanted, is_secretmem, may_fall_back, required, &error)
        if _idle_rooms and self.lacks_lock(failed, &error):
            failed = self.create_again(failed, wanted, is_secretmem, may_fall_back, required, &error)
        if self.lacks_lock(failed, &error):
            call = error.call if failed else self.block.outcomes[SR_STEP_LOCK].call
            for _ in _host.waiting(policy, call.decode(), self.block.pages_size):
                failed = self.create_again(failed, wanted, is_secretmem, may_fall_back, required, &error)
                if not self.lacks_lock(failed, &error):
                    break
        if failed:
            is_limit = sr_os_is_lock_limit(&error)
            note = _host.wait_note(policy, self.block.pages_size) if is_limit else ""
            raise _host.refusal(error.call.decode(), error.code, is_limit, self.block.pages_size, note)
        self.purges = _purges
        _host.verify(self, policy)

    def __dealloc__(self):
        cdef sr_error error
        if self.block.reservation != NULL and self.block.generation == sr_generation():
            if sr_block_destroy(&self.block, &error):
                sr_block_forget(&self.block)  # what describes the memory goes now, the memory stays
                _raise(&error)
            _tell_waiting()

    cdef int create(self, size_t size, bint is_secretmem, bint may_fall_back, unsigned required,
                    sr_error *error) noexcept:
        cdef int failed
        with nogil:
            failed = sr_block_create(
                &self.block, size, SR_BACKING_SECRETMEM if is_secretmem else SR_BACKING_LOCKED, required, error)
            # Ordinary locked pages draw on the same budget: at its limit they only help where no lock is required.
            if (failed and is_secretmem and may_fall_back
                    and not (required & (1 << SR_STEP_LOCK) and sr_os_is_lock_limit(error))):
                failed = sr_block_create(&self.block, size, SR_BACKING_LOCKED, required, error)
        return failed

    cdef bint create_again(self, bint failed, size_t size, bint is_secretmem, bint may_fall_back, unsigned required,
                           sr_error *error) except -1:
        """After the lock limit was met: with the idle rooms given up, each a locked page that nobody needs now."""
        _idle_rooms.clear()
        if not failed and sr_block_destroy(&self.block, error):  # made unlocked, which the policy allows
            _raise(error)
        return self.create(size, is_secretmem, may_fall_back, required, error) != 0

    cdef bint lacks_lock(self, bint failed, sr_error *error) noexcept:
        """Whether it was the lock limit that kept the block from being made, or from being locked."""
        cdef sr_error *lock = &self.block.outcomes[SR_STEP_LOCK]
        return sr_os_is_lock_limit(error) if failed else lock.call != NULL and sr_os_is_lock_limit(lock)

    cdef int require_usable(self) except -1:
        if self.block.reservation == NULL or self.is_doomed:
            raise DestroyedError(f"this {type(self).__name__} was destroyed")
        if self.block.generation != sr_generation():
            raise ForkedError(
                f"this {type(self).__name__} was made before a fork and its memory is not in this child: "
                "make it anew here, or hand the secret over through a pipe")
        if self.purges != _purges:
            raise PurgedError(f"this {type(self).__name__} was wiped by purge()")
        return 0

    cdef int enter(self, bint writable) except -1:
        cdef sr_error error
        self.require_usable()
        if self.exports and not (self.readers or self.writers) and not self.is_room:
            raise self.still_kept("was left by an earlier block")
        if self.block.protection != SR_READ_WRITE:  # never stricter here: somebody else may be writing
            if sr_block_protect(&self.block, SR_READ_WRITE if writable else SR_READ_ONLY, &error):
                _raise(&error)
        if writable:
            self.writers += 1
        else:
            self.readers += 1
        return 0

    cdef int leave(self, bint writable) except -1:
        if writable:
            self.writers -= 1
        else:
            self.readers -= 1
        if self.block.generation != sr_generation():
            return 0
        if writable and not sr_block_is_intact(&self.block):
            sr_blocks_die()
        return self.settle()

    cdef int settle(self) except -1:
        """Bring the pages to the strictest state that open accesses and handed-out buffers allow."""
        cdef sr_error error
        if self.block.reservation == NULL or self.block.generation != sr_generation():
            return 0
        if self.is_room:
            if not (self.readers or self.writers):
                if not sr_block_is_intact(&self.block):
                    sr_blocks_die()
                sr_os_wipe(self.block.data, self.block.size)
                if (not self.exports and self.block.pages_size == _page_size and len(_idle_rooms) < ROOMS_KEPT
                        and not _waiting):
                    _idle_rooms.append(self)
            return 0
        if self.writers or self.exports:
            return 0
        if self.readers:
            if sr_block_protect(&self.block, SR_READ_ONLY, &error):
                _raise(&error)
        elif self.is_doomed:
            if sr_block_destroy(&self.block, &error):
                _raise(&error)
            _tell_waiting()
        else:
            if self.purges != _purges and sr_block_wipe(&self.block, &error):  # what was written in after the purge
                _raise(&error)
            if sr_block_close(&self.block, &error):
                _raise(&error)
        return 0

    cdef object still_kept(self, str what):
        start = <size_t>self.block.data
        keepers = _host.keepers(start, start + self.block.size)
        return BufferError(
            f"a buffer of this memory {what} and is still in use: {keepers}. The memory stays as it is, apart from "
            "all other secrets, until that is released.")

    def open(self, str mode="r"):
        """Return the access for a ``with`` block: ``"r"`` to read, ``"rw"`` to read and write."""
        if mode == "r" or mode == "rw":
            return _new_access(self, None, mode == "rw")
        raise ValueError(f"mode must be 'r' or 'rw', not another str of {len(mode)} characters")

    def destroy(self):
        """Wipe the memory and give it back; doing it twice is fine."""
        cdef sr_error error
        if self.block.reservation == NULL or self.is_doomed or self.block.generation != sr_generation():
            return
        if self.readers or self.writers:
            raise BufferError(
                f"{self.readers + self.writers} open block(s) still use this {type(self).__name__}: leave them first")
        if self.exports:
            if sr_block_wipe(&self.block, &error):
                _raise(&error)
            self.is_doomed = True
        elif sr_block_destroy(&self.block, &error):
            _raise(&error)
        else:
            _tell_waiting()

    def __enter__(self):
        self.require_usable()
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.destroy()
        except BufferError:
            if value is None:
                raise
            self.is_doomed = True  # an exception already on its way is never replaced: the last access destroys

    @property
    def is_destroyed(self):
        """Whether the memory was given back."""
        return self.block.reservation == NULL or self.is_doomed

    @property
    def backing(self):
        """How the memory is held: ``"locked"`` or ``"secretmem"``."""
        return "secretmem" if self.block.backing == SR_BACKING_SECRETMEM else "locked"

    def __len__(self):
        return self.block.size

    def __repr__(self):
        state = "destroyed" if self.is_destroyed else "open" if self.readers or self.writers else "closed"
        if self.block.outcomes[SR_STEP_LOCK].call != NULL:
            state += ", NOT LOCKED (the policy allowed it)"
        return f"<{type(self).__name__} {self.block.size} bytes, {self.backing}, {state}>"

    def _layout(self):
        """For whoever reads the operating system's view back: where the pages lie, how each step went."""
        self.require_usable()
        steps = {}
        for i in range(SR_STEP_COUNT):
            outcome = self.block.outcomes[i]
            steps[STEPS[i]] = None if outcome.call == NULL else (outcome.call.decode(), outcome.code)
        pages = <size_t>self.block.pages
        return pages, pages + self.block.pages_size, steps
