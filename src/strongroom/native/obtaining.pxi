# How a block comes by its memory: the plan, the lock limit, waiting. A part of _native.pyx.

cdef str _AUTO = "auto"
cdef object _UNALIGNED = 1

#: Slots begin at multiples of this, and the memory of a secret ends where one begins.
cdef enum:
    SLOT_ALIGNMENT = 16

#: What plan() last said of small secrets for which nothing special was asked. Good as long as there are free slots:
#: whoever needs new pages asks again.
cdef sr_backing _usual_backing = SR_BACKING_LOCKED
cdef unsigned _usual_required = 0
cdef unsigned _denied[SR_BACKING_COUNT]  # steps that the system says yes to and does not do
cdef unsigned _usual_proven = 0  # what pages must have been found to keep; 0: there is no such answer

def bells():
    """The list of locks, each held by a thread that waits at the lock limit, which are released when memory is given back."""
    return _bells


cdef void _tell_waiting() noexcept:
    """Without a line of Python: that might be where a signal's handler runs, and what it raises would be lost here."""
    if _bells:
        for bell in tuple(_bells):
            try:
                bell.release()
            except RuntimeError:  # rung before, and not yet heard
                continue


cdef int _obtain(Block block, object backing, object isolated, object policy, object align) except -1:
    """What the plan says, on the slow way: with new pages where there is no free slot."""
    global _usual_backing, _usual_required, _usual_proven
    cdef sr_error error
    cdef bint is_secretmem, may_fall_back, is_limit
    cdef unsigned required, proven
    cdef int failed
    cdef size_t size
    is_secretmem, may_fall_back, required, block.is_slot, proven = _host.plan(
        block.size + block.tail, backing, isolated, policy)
    _begin()
    block.generation = sr_generation()
    block.is_doomed = True  # whoever finds it before it is made (the collector lists some) gets nothing out of it
    size = _page_size if block.is_slot else (
        block.size + block.tail + SR_CANARY_SIZE + _page_size - 1) // _page_size * _page_size
    failed = _create(block, is_secretmem, may_fall_back, required, &error)
    if _lacks_lock(block, failed, &error) and _give_up_idle():
        failed = _create_again(block, failed, is_secretmem, may_fall_back, required, &error)
    if _lacks_lock(block, failed, &error):
        call = error.call if failed else block.home().outcomes[SR_STEP_LOCK].call
        for _ in _host.waiting(policy, call.decode(), size):
            _give_up_idle()
            failed = _create_again(block, failed, is_secretmem, may_fall_back, required, &error)
            if not _lacks_lock(block, failed, &error):
                break
    if failed and error.call == b"malloc":
        raise MemoryError()
    is_limit = failed and sr_os_is_lock_limit(&error)
    note = _host.wait_note(policy, size) if is_limit else ""
    words = ""
    if backing is _AUTO or backing == _AUTO:
        found, words = _stand_in(block, failed, policy, align, &error)
        if found:
            return 0
        note = f"{note} {words}".strip()
        if not failed and block.place.data == NULL:
            failed = _create(block, is_secretmem, may_fall_back, required, &error)
    if failed:
        remedy = _host.needs_no_lock(policy) if is_limit and not words and isinstance(block, LockedBuffer) else ""
        raise _host.refusal(error.call.decode(), error.code, is_limit, size, note, remedy)
    block.kept_in = block.home().backing
    block.is_doomed = False
    _host.verify(block, policy)
    if proven and (block.kept_in == SR_BACKING_SECRETMEM or not is_secretmem or _is_lasting(&error)):
        _usual_backing = <sr_backing>block.kept_in
        _usual_required = required
        _usual_proven = proven
    return 0


cdef object _stand_in(Block block, int failed, object policy, object align, sr_error *error):
    """Whether something else serves where a LockedBuffer could not be locked, as its policy says; and if not, why."""
    cdef const sr_error *lock = error
    cdef sr_error refused
    cdef list refusals = []
    if not isinstance(block, LockedBuffer):
        return False, ""
    if not failed:
        lock = &block.home().outcomes[SR_STEP_LOCK]
    if lock.call == NULL or not (sr_os_is_lock_limit(lock) or lock.call in (b"mlock", b"VirtualLock")):
        return False, ""
    refused = lock[0]  # what was made without a lock goes before its stand-in comes
    call = refused.call.decode()
    code = refused.code
    ways = _host.stand_ins(policy, block.size, block.tail, align, refusals)
    if ways and not failed:
        block.put_back()
    for way in ways:
        refusal = _try(block, way)
        if refusal is None:
            block.pages.outcomes[<int>SR_STEP_LOCK] = refused  # asked for, of other pages: for guarantees()
            _host.verify(block, policy)
            _host.tell_stand_in(block, call, code)
            return True, ""
        refusals.append(refusal)
    return False, _host.no_stand_in(refusals)


cdef bint _is_lasting(const sr_error *error) noexcept:
    """Whether there will be no secret memory later either: it was no shortage that kept it back."""
    return not sr_os_is_lock_limit(error) and error.code not in (EMFILE, ENFILE, ENOMEM)


cdef int _create(Block block, bint is_secretmem, bint may_fall_back, unsigned required, sr_error *error) noexcept:
    """With a lock if there is one to be had, also where none is required."""
    cdef unsigned lock = 1 << SR_STEP_LOCK
    cdef unsigned of_locked = required | lock & ~_denied[<int>SR_BACKING_LOCKED]
    cdef unsigned of_secretmem = required | lock & ~_denied[<int>SR_BACKING_SECRETMEM]
    cdef bint is_more
    cdef int failed
    if not is_secretmem:
        is_more = of_locked != required
    else:
        is_more = of_secretmem != required or may_fall_back and of_locked != required
    block.purges = _purges  # before there is memory: what is wiped later than this counts as made before
    with nogil:
        failed = _attempt(block, is_secretmem, may_fall_back, of_secretmem, of_locked, error)
        if failed and is_more:
            failed = _attempt(block, is_secretmem, may_fall_back, required, required, error)
    return failed


cdef int _attempt(Block block, bint is_secretmem, bint may_fall_back, unsigned of_secretmem, unsigned of_locked,
                  sr_error *error) noexcept nogil:
    """*error keeps why there is no secret memory, if ordinary locked pages stand in for it."""
    cdef sr_error second
    cdef int failed
    if not is_secretmem:
        return _take(block, SR_BACKING_LOCKED, of_locked, error)
    failed = _take(block, SR_BACKING_SECRETMEM, of_secretmem, error)
    if failed and may_fall_back:
        # Ordinary locked pages draw on the same budget: at its limit new ones only help where no lock is required.
        if of_locked & (1 << SR_STEP_LOCK) and sr_os_is_lock_limit(error):
            if block.is_slot and sr_pool_take_free(block.size + block.tail, SR_BACKING_LOCKED, of_locked, &block.place):
                failed = 0
        else:
            failed = _take(block, SR_BACKING_LOCKED, of_locked, &second)
            if failed:
                error[0] = second
    return failed


cdef int _take(Block block, sr_backing backing, unsigned required, sr_error *error) noexcept nogil:
    cdef sr_block *pages
    if block.is_slot:
        return sr_pool_take(block.size + block.tail, backing, required, &block.place, error)
    pages = <sr_block *>malloc(sizeof(sr_block))
    if pages == NULL:
        error.call = b"malloc"
        error.code = SR_UNSUPPORTED
        return -1
    if sr_block_create(pages, block.size + block.tail, backing, required, error):
        free(pages)
        return -1
    block.pages = pages
    block.place.data = pages.data
    return 0


cdef int _create_again(Block block, int failed, bint is_secretmem, bint may_fall_back, unsigned required,
                       sr_error *error) except? -1:
    """After the lock limit was met: what was made unlocked, which the policy allows, goes first."""
    if block.generation != sr_generation():
        raise ForkedError("the process forked while this buffer waited for locked memory: make it anew here")
    if not failed:
        block.put_back()  # and nobody is told: what was not locked leaves no more room for locks
    return _create(block, is_secretmem, may_fall_back, required, error)


cdef bint _lacks_lock(Block block, int failed, sr_error *error) noexcept:
    """Whether it was the lock limit that kept the block from being made, or from being locked."""
    cdef const sr_error *lock
    if failed:
        return sr_os_is_lock_limit(error)
    lock = &block.home().outcomes[SR_STEP_LOCK]
    return lock.call != NULL and sr_os_is_lock_limit(lock)


cdef bint _give_up_idle() except -1:
    """Give back locked pages that nobody needs at the moment; whether there were any."""
    cdef bint had_rooms = _idle_count() != 0
    _idle_rooms.clear()
    return sr_pool_trim() != 0 or had_rooms


cdef Py_ssize_t _idle_count() except -1:
    """Idle rooms of this process: a child's list begins with its parent's, which are not there."""
    cdef Block room
    cdef Py_ssize_t count = 0
    for room in _idle_rooms:
        count += room.generation == sr_generation()
    return count


cdef object _align(Block block, object align, object isolated):
    """Leave as much behind the secret as makes its first byte lie at a multiple of this; return what isolated is then."""
    if isinstance(align, bool) or not PyIndex_Check(align):
        raise TypeError(f"align must be an integer number of bytes, not {_describe(align)}")
    number = _whole(align, "align")
    if not 1 <= number <= _page_size or number & (number - 1):
        raise ValueError(f"align must be a power of two from 1 to {_page_size:,} bytes, not {_counted(number)}")
    if number > SLOT_ALIGNMENT:
        if isolated is False:
            raise ValueError(f"shared pages align to {SLOT_ALIGNMENT} bytes at most, not {number:,}: leave isolated out")
        isolated = True
    block.tail = -block.size % <size_t>number
    if block.size + block.tail > MAX_SIZE:
        raise ValueError(f"size must be from 1 to {MAX_SIZE:,} bytes, alignment included, not {block.size:,}")
    return isolated
