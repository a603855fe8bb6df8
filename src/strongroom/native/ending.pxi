# Ends: of the process, when a signal brings it, and of buffers that nobody ended. A part of _native.pyx.

cdef void _wipe_before_end(int why) noexcept nogil:
    """What a signal runs, on top of anything: no Python, no heap, no mutex.

    The process may go on, if a C function handles the signal; so what was made before must not open again, and the key,
    which is zeros now, must never be sealed under. Counting first: a seal or an opening that the signal interrupts finds
    it counted when it ends.
    """
    sr_blocks_wipe_at_once(why, &_purges)


def wipe_before(numbers, handler_of):
    """Have everything wiped before these signals end the process; return the first that Python code handles, or None.

    ``handler_of`` is ``_signal.getsignal``. If there is such a signal nothing is changed. No Python code runs in between,
    so no other thread sets a handler meanwhile.
    """
    cdef sr_error error
    cdef list wanted = [<int>number for number in numbers]
    _begin()
    for number in wanted:
        if callable(handler_of(number)):
            return number
    sr_blocks_expect_walks()
    for number in wanted:
        if sr_os_wipe_before(number, _wipe_before_end, &error):
            _raise(&error)
    return None


#: Where each buffer was made, by its address: in Python's development mode only, decided once.
cdef dict _sites = {} if _sys.flags.dev_mode else None
cdef object _frame_of = _sys._getframe
cdef object _is_finalizing = _sys.is_finalizing


cdef int _note_site(Block block) except -1:
    """Remember the line that is making a buffer, unless it is our own, or that of a room or a key."""
    if type(block) is not LockedBlock:
        try:
            frame = _frame_of(0)
        except ValueError:  # made by C code in a thread of its own: no line did it
            return 0
        if not f"{frame.f_globals.get('__name__')}".startswith("strongroom."):
            _sites[<size_t><PyObject *>block] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return 0


cdef int _tell_forgotten(Block block, str site) except -1:
    """Warn that a buffer was left to the garbage collector. At the end of Python nothing is forgotten: that wipes."""
    if not block.is_doomed and block.purges == _purges and not _is_finalizing():
        PyErr_WarnEx(ResourceWarning, (
            f"a {type(block).__name__} of {block.size} bytes made at {site} was never destroyed: it was wiped when "
            "it was collected, which may be late; use it in a with block, or destroy() it").encode(errors="backslashreplace"), 1)
    return 0
