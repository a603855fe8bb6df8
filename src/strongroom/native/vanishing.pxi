# Contents that the system may drop: how a loss is noticed, and what brings them back. A part of _native.pyx.
#
# Whoever reads such memory looks at its sentinels afterwards: as long as they stand, nothing was dropped before. Contents
# that begin anew are counted, so that a block which was open meanwhile does not take the new ones for its own.

#: How often contents are brought back for one use, if they vanish again before it.
cdef enum:
    FILLS_TRIED = 3


cdef bint _has_vanished(Access access) noexcept:
    """Whether what an open access saw may have been something else than the contents."""
    cdef Block block = access.block
    return access.renewals != block.pages.renewals or block.is_missing(access.is_filling)


cdef int _fetch_marks(Block block) except -1:
    """What tells whether a block is intact may have to come from a file: that may fail, and a look would be a fault."""
    cdef sr_error error
    if sr_block_fetch_marks(block.pages, &error):
        block.settle()
        raise _not_fetched(block, &error)
    return 0


cdef int _fetch_to_open(Block block, bint writable) except -1:
    """The same for who is about to enter, and is counted as one; a large file's pages come while other threads run."""
    cdef sr_error error
    cdef sr_block *pages = block.pages
    cdef int failed
    if block.kept_in != SR_BACKING_FILE:  # one page: nobody may come between a renewal and what is stored then
        failed = sr_block_fetch(pages, &error)
    else:
        with nogil:
            failed = sr_block_fetch(pages, &error)
            if not failed and sr_block_condition(pages) == SR_LOST:
                failed = 1
                error.call = b"write-back"
                error.code = EIO
    if failed:
        if writable:
            block.writers -= 1
        else:
            block.readers -= 1
        block.settle()
        raise _not_fetched(block, &error)
    return 0


cdef object _not_fetched(Block block, sr_error *error):
    """For pages that do not come back from their file's device, or a page whose contents cannot begin anew there."""
    return _host.not_fetched(error.call.decode(), error.code, _backing_name(<sr_backing>block.kept_in))


cdef object _not_burned(sr_backing backing, sr_error *error):
    """For memory that is gone, and whose file could not be overwritten before."""
    return _host.not_burned(error.call.decode(), error.code, _backing_name(backing))


cdef object _lost(Block block):
    return ContentsLostError(
        f"the system dropped the contents of this {type(block).__name__}, as it may: store them anew, all "
        f"{block.size:,} bytes at once with copy_from()"
        + (" or build(), or make it with rebuild=" if isinstance(block, VolatileBuffer) else ""))


cdef int _enter_vanishing(Access access) except -1:
    """Enter with contents, brought back if need be, or not at all."""
    cdef Block block = access.block
    cdef int attempt
    if access.is_filling:
        return _enter_to_fill(access)
    for attempt in range(FILLS_TRIED + 1):
        block.enter(access.writable)
        access.renewals = block.pages.renewals
        if not block.is_missing(False):
            return 0
        block.leave(access.writable)
        if attempt == FILLS_TRIED or not block.refill():
            break
    raise _lost(block)


cdef int _enter_to_fill(Access access) except -1:
    """Enter what has just begun anew, frozen or not: to be what it was, it has to be written.

    If that has vanished again, which this does not ask, the end of the block says so.
    """
    cdef Block block = access.block
    cdef unsigned char was_frozen = block.frozen
    block.frozen = False
    try:
        block.enter(True)
    finally:
        block.frozen = was_frozen
    access.renewals = block.pages.renewals
    return 0


cdef int _await_renewal(Block block) except -1:
    """While another thread begins the contents anew it counts as a writer, and is nobody's open block."""
    while block.place.data != NULL and not block.is_slot and block.pages.is_renewing:
        _sleep(0.001)
    return 0


cdef int _renew(Block block) except -1:
    """Begin the contents anew, as zeros, while nobody else can write to them."""
    cdef sr_error error
    cdef sr_block *pages
    cdef int failed = 0
    _await_renewal(block)
    block.require_usable()
    if block.writers:
        raise BufferError(f"{block.writers} open block(s) may still write to this {type(block).__name__}: leave them")
    if block.writable_exports:
        raise block.still_kept("may still be written to")
    if block.exports and not block.readers:
        raise block.still_kept("was left by an earlier block")
    pages = block.pages
    block.protect(SR_READ_WRITE)
    # Waiting for a disk lets other threads run: nobody destroys, closes or freezes the pages meanwhile. All that touches
    # their bytes, and all that changes their protection, is done while no other thread runs.
    if sr_has_file(pages.backing):
        block.writers += 1
        pages.is_renewing = True
        with nogil:
            failed = sr_block_flush(pages, &error)
        pages.is_renewing = False
        block.writers -= 1
        failed = failed or sr_block_fetch(pages, &error)  # its head is in the file, and a store would be a fault
    if not failed:
        sr_block_renew(pages)
    block.settle()
    if failed:
        raise _not_fetched(block, &error)
    return 0


cdef int _lose(Block block) except -1:
    """Make the contents what they are after a loss, for there is nothing good in them."""
    if block.place.data != NULL and block.generation == sr_generation():
        block.protect(SR_READ_WRITE)
        sr_block_lose(block.pages)
        block.settle()
    return 0
