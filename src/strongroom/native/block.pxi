# Blocks: memory that holds one secret, pages of its own or a slot. A part of _native.pyx.

cdef class Block(Keeper):
    """Memory that holds one secret: pages of its own, or a slot. ``_make_locked`` and ``_make_of`` give it that."""

    cdef sr_slot place        # where the secret is; its home is NULL where the pages are its own
    cdef sr_block *pages      # its own, from malloc, or NULL
    cdef size_t size
    cdef uint64_t generation
    cdef int readers, writers          # open accesses
    cdef int exports                   # buffers handed out and not yet given back
    cdef int writable_exports          # of these, those that may be written to
    cdef int32_t purges                # how many there had been
    cdef unsigned tail                 # zeros between the secret's last byte and its memory's, see _align
    # Small ones last: there may be very many of these objects, and each byte is one of every one of them.
    cdef unsigned char is_room         # lent to Sealed objects, stays READ_WRITE, goes back to the pool
    cdef unsigned char is_doomed       # destroyed while somebody uses it: give back when the last one ends
    cdef unsigned char frozen          # opens for reading only
    cdef unsigned char is_slot         # shares its pages
    cdef unsigned char kept_in         # sr_backing
    cdef object __weakref__

    def __dealloc__(self):
        cdef sr_error error
        cdef int failed = 0
        site = None if _sites is None else _sites.pop(<size_t><PyObject *>self, None)
        if self.place.data != NULL and self.generation == sr_generation():
            if self.is_slot:
                sr_pool_give(&self.place)
            elif _end_pages(self.pages, &error):
                failed = 1
                sr_block_forget(self.pages)  # what describes the memory goes now, the memory stays
            elif self.pages.burned.call != NULL:
                _report(_not_burned(self.pages.backing, &self.pages.burned))
            free(self.pages)
            _tell_waiting()
            if failed:
                _raise(&error)
            if site is not None:
                _tell_forgotten(self, site)
        else:
            free(self.pages)

    @cython.final
    cdef const sr_block *home(self) noexcept:
        """The pages it lies in, its own or shared ones. Not for one that was destroyed, or inherited by a child."""
        return sr_slot_pages(&self.place) if self.is_slot else self.pages

    @cython.final
    cdef bint is_intact(self) noexcept:
        cdef size_t i
        for i in range(self.tail):
            if self.place.data[self.size + i]:
                return False
        return sr_slot_is_intact(&self.place) if self.is_slot else sr_block_is_intact(self.pages)

    @cython.final
    cdef int protect(self, sr_protection protection) except -1:
        """Shared pages are never closed: their protection is not this secret's."""
        cdef sr_error error
        if not self.is_slot and sr_block_protect(self.pages, protection, &error):
            _raise(&error)
        return 0

    @cython.final
    cdef int wipe(self) except -1:
        cdef sr_error error
        if self.is_slot:
            if not self.is_intact():
                sr_blocks_die(SR_DAMAGED_CANARY)
            sr_os_wipe(self.place.data, self.size)
        elif sr_block_wipe(self.pages, &error):
            _raise(&error)
        return 0

    @cython.final
    cdef int give_back(self) except -1:
        try:
            self.put_back()
        finally:
            _tell_waiting()  # also where a file could not be overwritten: the memory is given back
        return 0

    @cython.final
    cdef int put_back(self) except -1:
        """Burning a file lets other threads run: to them the memory is gone already."""
        cdef sr_error error
        cdef sr_block *pages = self.pages
        cdef sr_backing backing
        if self.is_slot:
            sr_pool_give(&self.place)
            return 0
        self.pages = NULL
        self.place.data = NULL
        if _end_pages(pages, &error):
            self.pages = pages
            self.place.data = pages.data
            _raise(&error)
        error = pages.burned
        backing = pages.backing
        free(pages)
        if error.call != NULL:
            raise _not_burned(backing, &error)
        return 0

    @cython.final
    cdef int require_usable(self) except -1:
        if self.place.data == NULL or self.is_doomed:
            raise DestroyedError(f"this {type(self).__name__} was destroyed")
        if self.generation != sr_generation():
            raise ForkedError(
                f"this {type(self).__name__} was made before a fork and its memory is not in this child: "
                "make it anew here, or hand the secret over through a pipe")
        if self.purges != _purges:
            raise PurgedError(f"this {type(self).__name__} was wiped by purge()")
        return 0

    @cython.final
    cdef int enter(self, bint writable) except -1:
        self.require_usable()
        if writable and self.frozen:
            raise AccessError(f"this {type(self).__name__} is frozen: melt() makes it writable again")
        if self.exports and not (self.readers or self.writers) and not self.is_room:
            raise self.still_kept("was left by an earlier block")
        if not self.is_slot and self.pages.protection != SR_READ_WRITE:  # never stricter: somebody else may be writing
            self.protect(SR_READ_WRITE if writable else SR_READ_ONLY)
        if writable:
            self.writers += 1
        else:
            self.readers += 1
        if self.kept_in > SR_BACKING_SECRETMEM:
            _fetch_to_open(self, writable)
        return 0

    cdef bint refill(self) except -1:
        """Bring vanished contents back, where somebody knows how: whether they are worth another look."""
        return False

    cdef bint is_missing(self, bint is_filling) noexcept:
        """Whether there is nothing to be had of contents that can vanish. The pages must be readable."""
        return sr_can_vanish(<sr_backing>self.kept_in) and sr_block_condition(self.pages) == SR_LOST

    @cython.final
    cdef int leave(self, bint writable) except -1:
        if writable:
            self.writers -= 1
        else:
            self.readers -= 1
        if self.generation != sr_generation():
            return 0
        if writable and self.kept_in > SR_BACKING_SECRETMEM:
            _fetch_marks(self)
        if writable and not self.is_intact():
            sr_blocks_die(SR_DAMAGED_CANARY)
        return self.settle()

    @cython.final
    cdef int settle(self) except -1:
        """Bring the memory to the strictest state that open accesses and handed-out buffers allow."""
        if self.place.data == NULL or self.generation != sr_generation():
            return 0
        sr_forget_registers()  # whatever the block did with the bytes went through them: scrub.h
        if self.is_room:
            if not (self.readers or self.writers):
                if not self.is_intact():
                    sr_blocks_die(SR_DAMAGED_CANARY)
                sr_os_wipe(self.place.data, self.size)
                if (not self.exports and self.pages.pages_size <= ROOM_PAGES_KEPT * _page_size
                        and len(_idle_rooms) < ROOMS_KEPT and not _bells):
                    _idle_rooms.append(self)
            return 0
        if self.writers or self.exports:
            return 0
        if self.readers:
            return self.protect(SR_READ_ONLY)
        if self.is_doomed:
            return self.give_back()
        if self.purges != _purges:  # what was written in after the purge
            self.wipe()
        return self.protect(sr_os_resting_protection())

    cdef object still_kept(self, str what):
        start = <size_t>self.place.data
        keepers = _host.keepers(start, start + self.size)
        return BufferError(
            f"a buffer of this memory {what} and is still in use: {keepers}. The memory stays as it is, apart from "
            "all other secrets, until that is released.")

    def open(self, str mode="r"):
        """Return the access for a ``with`` block, which gives a View of the bytes and closes them at its end.

        Args:
            mode: ``"r"`` to read, ``"rw"`` to read and write.

        Returns:
            What ``with`` takes; nothing is open before it. Any number of them may be open at a time, in any thread.

        Raises:
            ValueError, TypeError: Another mode; raised here. The rest is raised by ``with``:
            AccessError: ``"rw"`` of what is frozen.
            BufferError: A buffer of an earlier block is still kept; says who holds it.
            DestroyedError, ForkedError, PurgedError: There is nothing to open any more.
            SystemCallError: The system refuses to change the pages' protection; a private file's device does not give its
                pages back, or the room to write to them.
            ContentsLostError: The system dropped the contents, and nobody brings them back; at the block's end: meanwhile.

        Does not protect against: whoever reads this process's memory meanwhile; copies made of the View.

        Version added: 0.1.
        """
        if mode == "r":
            return _new_access(self, None, False)
        if mode == "rw":
            return _new_access(self, None, True)
        if mode is None:
            raise TypeError("mode must be 'r' or 'rw', not None")
        raise ValueError(f"mode must be 'r' or 'rw', not another str of {len(mode)} characters")

    def destroy(self):
        """Wipe the memory and give it back; doing it twice is fine, and so is a child that never had it.

        Raises:
            BufferError: A block has it open; leave that first. Where only a buffer is kept, the bytes are wiped at once and
                the memory goes when that is released.
            SystemCallError: The system does not take the pages back, or a private file could not be overwritten (the
                message says which); the bytes in memory are wiped.

        Version added: 0.1.
        """
        if self.place.data == NULL or self.is_doomed or self.generation != sr_generation():
            return
        _await_renewal(self)
        if self.readers or self.writers:
            raise BufferError(
                f"{self.readers + self.writers} open block(s) still use this {type(self).__name__}: leave them first")
        if self.exports:
            self.wipe()
            self.is_doomed = True
        else:
            self.give_back()

    def freeze(self):
        """Let it be opened for reading only, until ``melt()``; doing it twice is fine.

        Raises:
            BufferError: A block or a kept buffer may still write to it.
            DestroyedError, ForkedError, PurgedError: There is nothing to freeze.

        Version added: 0.1.
        """
        self.require_usable()
        if self.writers:
            raise BufferError(f"{self.writers} open block(s) may still write to this {type(self).__name__}: leave them")
        if self.writable_exports:
            raise self.still_kept("may still be written to")
        self.frozen = True

    def melt(self):
        """Let it be opened for writing again; doing it twice is fine.

        Raises:
            DestroyedError, ForkedError, PurgedError: There is nothing to melt.

        Version added: 0.1.
        """
        self.require_usable()
        self.frozen = False

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
        except SystemCallError as error:
            if value is None:
                raise
            _report(error)

    @property
    def is_destroyed(self):
        """Whether the memory was given back. Version added: 0.1."""
        return self.place.data == NULL or self.is_doomed != 0

    @property
    def is_frozen(self):
        """Whether it opens for reading only. Version added: 0.1."""
        return self.frozen != 0

    @property
    def is_isolated(self):
        """Whether it has pages of its own between guard pages; small ones share theirs. Version added: 0.1."""
        return self.is_slot == 0

    @property
    def backing(self):
        """How the memory is held: ``"locked"``, ``"secretmem"``, ``"droppable"``, ``"partial"`` or ``"file"``.

        Version added: 0.1.
        """
        return _backing_name(<sr_backing>self.kept_in)

    def __len__(self):
        return self.size

    def __eq__(self, other):
        return _is_equal(self, other)

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.size} bytes, {self.backing}, {_state_of(self)}{_lacking_lock(self)}>"

    def _proven(self):
        """Bits for promises that were read back for these pages; only whoever reads them back knows what they mean."""
        self.require_usable()
        return self.home().borne_out

    def _prove(self, unsigned bits):
        """Remember more of them."""
        self.require_usable()
        (<sr_block *>self.home()).borne_out |= bits

    def _distrust(self, unsigned steps):
        """Keep others, who may require these steps, from pages that turned out to lack what they bring about."""
        self.require_usable()
        _denied[self.kept_in] |= steps
        if self.is_slot:
            sr_pool_distrust(&self.place, steps)

    def _layout(self):
        """For whoever reads the operating system's view back: where the pages lie, how each step went."""
        cdef const sr_block *pages
        self.require_usable()
        pages = self.home()
        steps = {}
        for i in range(SR_STEP_COUNT):
            outcome = pages.outcomes[i]
            steps[STEPS[i]] = None if outcome.call == NULL else (outcome.call.decode(), outcome.code)
        start = <size_t>pages.pages
        return start, start + pages.pages_size, steps
