# cython: language_level=3, binding=False, embedsignature=False, boundscheck=False, wraparound=False, auto_pickle=False
"""The one door between Python and the native layer: argument checks, errors, and the types that hold secrets.

Four nouns. A **Block** owns guarded pages (one secret). An **Access** is one use of a block, from entering a ``with``
to leaving it; what the user gets inside is a **View**. A **Sealed** owns ciphertext and borrows a block, its *room*,
for as long as at least one access to it is open.

A block closes when its last access has ended *and* the last buffer that a View handed out (to a memoryview, an
array) is gone. Python's reference counts do that bookkeeping: whoever holds such a buffer holds the View, the View
holds the Access, the Access holds the Block. In between the block is quarantined: not reused, not unmapped, not made
inaccessible, so that what was kept never faults and never shows another secret.

All counts are guarded by the GIL, which is only released while a block is being made, before anyone knows of it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FULL_RO, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.number cimport PyIndex_Check, PyNumber_AsSsize_t, PyNumber_Index
from cpython.object cimport PyObject
from cpython.slice cimport PySlice_Unpack, PySlice_AdjustIndices
from libc.stdint cimport uint64_t
from libc.string cimport memmove

from _operator import _compare_digest

from strongroom.exceptions import (
    NO_SUCH_CALL, AccessError, DestroyedError, ForkedError, PurgedError, SealBrokenError, SystemCallError,
    UnsupportedError,
)

from strongroom._contract cimport *  # that file is this one's list of what it uses of the C headers

cdef size_t _page_size

#: The names of the steps of a block, in the order of ``enum sr_step``.
STEPS = ("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE", "LOCK")
PAGE_SIZE = _page_size = sr_os_page_size()
GRANULARITY = sr_os_granularity()
CANARY_SIZE, KEY_SIZE = SR_CANARY_SIZE, SR_KEY_SIZE
MAX_SIZE = sr_block_max_size()

#: Rooms kept for the next access instead of being given back; each is one locked page.
cdef enum:
    ROOMS_KEPT = 4

cdef object _host = None        # what strongroom.buffers knows and this layer does not; see install_host
cdef bint _has_begun = False
cdef uint64_t _purges = 0       # how often purge() ran; a block remembers the number it was made under
cdef list _idle_rooms = []
cdef uint64_t _next_identity = 1
cdef sr_sealer _sealer          # zeroed: no key
cdef Block _key = None
cdef uint64_t _key_generation = 0


def install_host(host):
    """Tell this layer whom to ask what it cannot know itself; strongroom.buffers does it once.

    ``host.plan(size, backing, isolated, policy)`` returns ``(is_secretmem, may_fall_back, required)``;
    ``host.refusal(call, code, is_lock_limit, requested)`` returns the exception to raise; ``host.fell_short(block,
    policy)`` hears of steps that failed without being required; ``host.keepers(start, end)`` returns words for what
    still refers to that memory.
    """
    global _host
    _host = host


cdef int _raise(sr_error *error) except -1:
    raise SystemCallError(error.call.decode(), error.code)


def _describe(value):
    """What may be said of a wrong argument: numbers and None in full, of anything else only its type."""
    if value is None or type(value) in (int, float, bool, complex):
        return f"{value!r}"
    return f"{type(value).__name__}"


cdef size_t _checked_size(object size) except 0:
    if isinstance(size, bool) or not PyIndex_Check(size):
        raise TypeError(f"size must be an integer number of bytes, not {_describe(size)}")
    number = PyNumber_Index(size)
    if not 1 <= number <= MAX_SIZE:
        raise ValueError(f"size must be from 1 to {MAX_SIZE:,} bytes, not {number:,}")
    return number


cdef void _report(object error) noexcept:
    """Print an error that must not replace the one already on its way (sys.unraisablehook)."""
    raise error


cdef void _wipe_at_exit() noexcept:
    sr_blocks_wipe_all()


cdef int _begin() except -1:
    """Before the first block, while the GIL keeps other threads out; arranges for wiping at a normal exit.

    Py_AtExit and not the atexit module or atexit(3): it runs when an unhandled Ctrl-C ends the process too (CPython
    finalizes, then kills itself with SIGINT, which skips the C library's handlers), and after every Python finalizer
    that may still want its secret. Pages stay mapped then: daemon threads may still look at them.
    """
    global _has_begun
    cdef sr_error error
    if not _has_begun:
        if sr_blocks_begin(&error):
            _raise(&error)
        if Py_AtExit(_wipe_at_exit) != 0:
            raise SystemCallError("Py_AtExit", NO_SUCH_CALL, "Too many extension modules registered exit functions.")
        _has_begun = True
    return 0


cdef class Sealed

#: Where an access is in its life. ENDED is zero, so that one made behind our back (``Access.__new__``) opens nothing.
cdef enum Phase:
    ENDED
    NEW
    ENTERING  # no second thread may enter meanwhile: making a room lets other threads run
    OPEN


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
        if failed and _idle_rooms and sr_os_is_lock_limit(&error):
            _idle_rooms.clear()  # each is a locked page that nobody needs at the moment
            failed = self.create(wanted, is_secretmem, may_fall_back, required, &error)
        if failed:
            raise _host.refusal(error.call.decode(), error.code, sr_os_is_lock_limit(&error), self.block.pages_size)
        self.purges = _purges
        if policy is not None:
            _host.fell_short(self, policy)

    def __dealloc__(self):
        cdef sr_error error
        if self.block.reservation != NULL and self.block.generation == sr_generation():
            if sr_block_destroy(&self.block, &error):
                sr_block_forget(&self.block)  # what describes the memory goes now, the memory stays
                _raise(&error)

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
                if not self.exports and self.block.pages_size == _page_size and len(_idle_rooms) < ROOMS_KEPT:
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


@cython.final
@cython.freelist(8)
@cython.no_gc_clear
cdef class Access:
    """One use of protected memory, for one ``with`` block. ``open()`` returns it; its ``with`` yields the View."""

    cdef Block block      # None until entered, for a sealed secret
    cdef Sealed sealed    # None for a plain buffer
    cdef Py_ssize_t exports
    cdef bint writable
    cdef Phase phase

    def __init__(self):
        raise TypeError("an access comes from open()")

    def __dealloc__(self):
        if self.phase == OPEN:  # left without __exit__: a generator that was dropped, for example
            self.end()

    def __enter__(self):
        if self.phase != NEW:
            raise AccessError("an access is good for one with block: call open() again")
        self.phase = ENTERING  # first of all: on Python 3.11 the next line may collect, and that run anything
        try:
            view = _new_view(self)
            if self.sealed is not None:
                self.block = self.sealed.enter_room()
            else:
                self.block.enter(self.writable)
        except BaseException:
            self.phase = NEW
            raise
        self.phase = OPEN
        view.data = self.block.block.data
        view.size = self.block.block.size
        return view

    def __exit__(self, kind, value, traceback):
        cdef bint was_purged
        cdef Block block = self.block
        if self.phase != OPEN:
            return
        was_purged = block.purges != _purges
        try:
            self.end()
        except BaseException as error:
            if value is None:
                raise
            _report(error)
        if value is not None:  # an exception already on its way is never replaced
            return
        if was_purged:
            raise PurgedError("purge() wiped this memory while it was in use: discard what was computed from it")
        if block.block.generation != sr_generation():
            raise ForkedError("this block was entered before a fork: its memory is not in this child")
        if self.exports:
            raise block.still_kept("was kept past the block that opened it")

    cdef int end(self) except -1:
        cdef Block block = self.block
        self.phase = ENDED
        if self.sealed is not None:
            self.sealed.leave_room(block)
        block.leave(self.writable)
        self.let_go()
        return 0

    cdef void let_go(self) noexcept:
        """Once nothing of it is in use, an access that somebody still refers to must not hold locked memory."""
        if self.phase == ENDED and self.exports == 0:
            self.block = None
            self.sealed = None

    def __reduce_ex__(self, protocol):
        raise TypeError("an Access cannot be pickled or copied: it is one use of memory in this process")

    cdef int require_open(self) except -1:
        if self.phase != OPEN:
            raise AccessError("this View was used outside the with block that opened it")
        if self.block.block.generation != sr_generation():
            raise ForkedError("this View was made before a fork: its memory is not in this child")
        return 0


cdef Access _new_access(Block block, Sealed sealed, bint writable):
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

    cdef Access access
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
        self.access.exports += 1
        self.access.block.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        cdef Block block = self.access.block
        self.access.exports -= 1
        block.exports -= 1
        self.access.let_go()
        if block.exports == 0:
            block.settle()

    def __len__(self):
        self.access.require_open()
        return self.size

    @property
    def readonly(self):
        """Whether assignment is refused."""
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
        finally:
            PyBuffer_Release(&source)

    cdef int require_writable(self) except -1:
        self.access.require_open()
        if not self.access.writable:
            raise TypeError("this View is read-only: open the buffer with 'rw'")
        return 0

    def __delitem__(self, key):
        raise TypeError("a View keeps its size: nothing can be deleted from it")

    # Both of these convert the key first, which may run Python code of the key's own that ends the block, and only
    # then ask whether the block is open. Nothing may run between them and the use of what they return.
    cdef Py_ssize_t index(self, key) except -1:
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

    def __reduce_ex__(self, protocol):
        raise TypeError("a View cannot be pickled or copied: it would leave protected memory")


cdef View _new_view(Access access):
    cdef View view = View.__new__(View)
    view.access = access
    return view


cdef Block _take_room(size_t size):
    cdef sr_error error
    cdef Block room
    if size + SR_CANARY_SIZE <= _page_size and _idle_rooms:
        room = _idle_rooms.pop()
        if room.block.generation == sr_generation():
            room.purges = _purges
            sr_os_wipe(room.block.data - SR_CANARY_SIZE, SR_CANARY_SIZE)
            sr_block_place(&room.block, size)
            return room
        _idle_rooms.clear()  # a parent's
    room = Block(size)
    if sr_block_protect(&room.block, SR_READ_WRITE, &error):
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
                failed = sr_seal(&_sealer, identity, room.block.data, wanted, &self.envelope, &error)
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
        if self.envelope.key_number != _sealer.key_number or _sealer.key == NULL:
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
        if sr_unseal(&_sealer, &self.envelope, room.block.data):
            room.settle()
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
        if isinstance(other, str):
            raise TypeError(f"a {type(self).__name__} holds bytes: compare it with bytes, not with str")
        if not (isinstance(other, Sealed) or PyObject_CheckBuffer(other)):
            return NotImplemented
        with self.open() as mine:
            if isinstance(other, Sealed):
                with other.open() as theirs:
                    return _compare_digest(mine, theirs)
            return _compare_digest(mine, other)

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.envelope.size} bytes, {'destroyed' if self.is_destroyed else 'sealed'}>"


def buffer_start(thing):
    """Where the buffer of a memoryview or an array begins, or None if it has none now."""
    cdef Py_buffer buffer
    try:
        PyObject_GetBuffer(thing, &buffer, PyBUF_FULL_RO)
    except Exception:  # released, or not a buffer at all: as good as none
        return None
    PyBuffer_Release(&buffer)
    return <size_t>buffer.buf


def has_sealer():
    """Whether there is a key in this process to seal under."""
    return _key is not None and _sealer.key != NULL and _key_generation == sr_generation()


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
    if sr_sealer_rekey(&_sealer, &engine, key.block.data, &error):
        key.leave(False)
        _raise(&error)
    _key = key
    _key_generation = sr_generation()
    return True


def purge():
    """Wipe every buffer, room and key of this process; nothing made before opens again."""
    global _purges, _key
    _purges += 1
    _sealer.key = NULL
    _key = None
    sr_blocks_wipe_all()


def fill_random(View view not None):
    """Fill a writable View from the operating system's generator."""
    cdef sr_error error
    view.require_writable()
    if sr_os_random(view.data, view.size, &error):
        _raise(&error)


def environment_size(bytes name not None):
    """Bytes of the C environment's value of ``name``, or None if there is no such variable."""
    cdef sr_error error
    cdef size_t size
    if sr_os_environment_size(name, &size, &error) == 0:
        return size
    if error.code == NO_SUCH_CALL:
        return None
    _raise(&error)


def environment_read(bytes name not None, View view not None):
    """Copy the C environment's value straight into a writable View of exactly its size."""
    cdef sr_error error
    view.require_writable()
    if sr_os_environment_read(name, view.data, view.size, &error):
        _raise(&error)


def environment_wipe(bytes name not None):
    """Overwrite the C environment's value where it lies and remove the variable."""
    cdef sr_error error
    if sr_os_environment_wipe(name, &error):
        _raise(&error)


def wipe_only_bytes(dict owner not None, key):
    """Overwrite the bytes object ``owner[key]`` in place if the dictionary is its only owner; say whether it was."""
    cdef PyObject *value = PyDict_GetItem(owner, key)
    if value == NULL or not PyBytes_CheckExact(<object>value):
        return False
    # Short values may be the interpreter's own shared objects; those have more owners than this dictionary.
    if Py_REFCNT(value) != 1:
        return False
    sr_os_wipe(PyBytes_AS_STRING(<object>value), PyBytes_GET_SIZE(<object>value))
    return True
