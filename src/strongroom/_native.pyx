# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, auto_pickle=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The one door between Python and the native layer: argument checks, errors, and the types that hold secrets.

Five nouns. A **Block** owns guarded pages, or a slot of pages that many share (one secret); to users it is a
**LockedBuffer**, a **VolatileBuffer** or a **FileBuffer**. An **Access** is one use of a block, from entering a ``with`` to leaving it; what the user gets inside is a **View**. A **Sealed** owns ciphertext and borrows a block, its *room*,
for as long as at least one access to it is open. A **Region** is address space with the page states of Windows; it keeps
no secrets, and shares the View. A **Section** is memory that a MappedView shows, a file's or shared by its name, and a
MappedView is a Region.

A block closes when its last access has ended *and* the last buffer that a View handed out (to a memoryview, an
array) is gone. Python's reference counts do that bookkeeping: whoever holds such a buffer holds the View, the View
holds the Access, the Access holds the Block. In between the block is quarantined: not reused, not unmapped, not made
inaccessible, so that what was kept never faults and never shows another secret.

All counts are guarded by the GIL, which is released while a block is being made, before anyone knows of it, and while
a region's own mutex guards what is done to it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FULL_RO, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.exc cimport PyErr_CheckSignals, PyErr_Clear, PyErr_WarnEx
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.number cimport PyIndex_Check, PyNumber_AsSsize_t, PyNumber_Index
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.slice cimport PySlice_Unpack, PySlice_AdjustIndices
from cpython.tuple cimport PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.errno cimport EFBIG, EILSEQ, EINVAL, EIO, EMFILE, ENFILE, ENOMEM, ENOSYS, EOVERFLOW, EPERM
from libc.stdint cimport SIZE_MAX, UINTPTR_MAX, int32_t, intptr_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memmove, memset

import sys as _sys
from _operator import _compare_digest
from _thread import allocate_lock as _allocate_lock
from time import sleep as _sleep

from strongroom.exceptions import (
    NO_SUCH_CALL, AccessError, ContentsLostError, DestroyedError, ForkedError, PurgedError, SealBrokenError, SecuredError, SystemCallError,
    UnsupportedError,
)

from strongroom._main_only import REFUSAL as _REFUSAL

from strongroom._contract cimport *  # that file is this one's list of what it uses of the C headers

cdef extern from "Python.h":
    ctypedef struct PyInterpreterState:
        pass
    PyInterpreterState *PyInterpreterState_Get()
    PyInterpreterState *PyInterpreterState_Main()

# One pool, one key and one list of blocks for the process, guarded by one interpreter lock: another interpreter may have
# its own, and may end before the process does.
if PyInterpreterState_Get() != PyInterpreterState_Main():
    raise ImportError(_REFUSAL)

cdef size_t _page_size

#: The names of the steps of a block, in the order of ``enum sr_step``.
STEPS = ("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE", "LOCK")
#: What a block can be made of, in the order of ``enum sr_backing``; ``Block.backing`` says one of these.
BACKINGS = ("locked", "secretmem", "droppable", "partial", "file")
PAGE_SIZE = _page_size = sr_os_page_size()
GRANULARITY = sr_os_granularity()
CANARY_SIZE, KEY_SIZE, SLOT_MAX_SIZE = SR_CANARY_SIZE, SR_KEY_SIZE, SR_SLOT_MAX_SIZE
MAX_SIZE = sr_block_max_size(SR_BACKING_LOCKED)
#: The most bytes a buffer can have whose contents may vanish, by its backing.
VOLATILE_MAX_SIZES = {
    BACKINGS[<int>SR_BACKING_DROPPABLE]: sr_block_max_size(SR_BACKING_DROPPABLE),
    BACKINGS[<int>SR_BACKING_PARTIAL]: sr_block_max_size(SR_BACKING_PARTIAL),
}

#: Bits of the largest integer that an error message shows in full: no address, size or protection has more.
cdef enum:
    LONGEST_PRINTED = 256

#: Rooms kept for the next access instead of being given back, and the most locked pages each may have: two, so that a
#: secret of a page is among those that open without a system call.
cdef enum:
    ROOMS_KEPT = 4
    ROOM_PAGES_KEPT = 2

cdef list _bells = []           # of the threads that wait at the lock limit, see strongroom.buffers.waiting
cdef object _host = None        # what strongroom.buffers knows and this layer does not; see install_host
cdef bint _has_begun = False
cdef volatile int32_t _purges = 0  # how often purge() ran; a block remembers the number it was made under
cdef list _idle_rooms = []


def install_host(host):
    """Tell this layer whom to ask what it cannot know itself; strongroom.buffers does it once.

    ``host.plan(size, backing, isolated, policy)`` returns ``(is_secretmem, may_fall_back, required, is_slot, proven)``,
    the last not 0 if the same answer holds for every small buffer of which nothing special is asked, in pages that were
    found to keep what these bits stand for;
    ``host.refusal(call, code, is_lock_limit, requested, note="", remedy="")`` returns the exception to raise; ``host.waiting(policy,
    call, requested)`` gives an item for each further try at the lock limit, ``host.wait_note(policy, requested)`` says
    what came of it; ``host.verify(block, policy)`` raises or warns of what a new block does not have, and ``host.collect(block)`` returns evidence for all it has;
    ``host.keepers(start, end)`` returns words for what still refers to that memory.

    Where nothing is locked: ``host.volatile_ways(size, backing, directory, lock, policy)``, ``host.file_ways(directory,
    allow_memory, policy)`` and ``host.stand_ins(policy, size, tail, align, refusals)`` return what to try, as ``(backing, required,
    untried, directory)`` each; ``host.nowhere(refusals, size)`` returns the exception where nothing worked,
    ``host.no_stand_in(refusals)`` says the same in words, ``host.needs_no_lock(policy)`` what else there is, ``host.tell_stand_in(block, call, code)`` warns of one that did;
    ``host.not_burned(call, code, backing)`` and ``host.not_fetched(call, code, backing)`` return exceptions for a file's pages.
    """
    global _host
    _host = host


cdef int _raise(sr_error *error) except -1:
    raise SystemCallError(error.call.decode(), error.code)


cdef str _counted(object number, str form=","):
    """An int as it may be printed: Python refuses to turn thousands of digits into text, and nobody reads them."""
    return number.__format__(form) if number.bit_length() <= LONGEST_PRINTED else f"{number.bit_length():,} bits"


def describe(value):
    """What may be said of a wrong argument: numbers and None in full, of anything else only its type."""
    if type(value) is int:
        return _counted(value, "d")
    if value is None or type(value) in (float, bool, complex):
        return f"{value!r}"
    return f"{type(value).__name__}"


cdef object _describe = describe


cdef object _whole(object value, str what):
    """What an object with __index__ stands for, as an int and nothing that is derived from it."""
    try:
        return int.__index__(PyNumber_Index(value))
    except Exception as error:
        raise TypeError(
            f"{what} must be an integer: {type(value).__name__}.__index__ raised {type(error).__name__}") from error


cdef size_t _checked_size(object size, object most=None) except 0:
    """``most`` is for the message alone: whoever knows better what is too much says so itself."""
    cdef int overflow
    cdef long long exact
    if PyLong_CheckExact(size):
        exact = PyLong_AsLongLongAndOverflow(size, &overflow)
        if exact >= 1 and <unsigned long long>exact <= <unsigned long long>sr_block_max_size(SR_BACKING_LOCKED):
            return <size_t>exact
    if isinstance(size, bool) or not PyIndex_Check(size):
        raise TypeError(f"size must be an integer number of bytes, not {_describe(size)}")
    number = _whole(size, "size")
    if not 1 <= number <= MAX_SIZE:
        raise ValueError(f"size must be from 1 to {most or MAX_SIZE:,} bytes, not {_counted(number)}")
    return number


cdef void _report(object error) noexcept:
    """Print an error that must not replace the one already on its way (sys.unraisablehook)."""
    raise error


cdef sr_block *_wipe_at_hand() noexcept:
    """All but what may have to wait for a disk, which it gives: for sr_blocks_wipe_files."""
    sr_pool_wipe_all()
    sr_blocks_wipe_all()
    sr_files_wipe_all()
    return sr_blocks_hold_files()


cdef void _at_exit() noexcept:
    cdef sr_error ignored
    sr_blocks_wipe_files(_wipe_at_hand(), &ignored)
    sr_names_end_all()


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
        if Py_AtExit(_at_exit) != 0:
            raise SystemCallError("Py_AtExit", NO_SUCH_CALL, "Too many extension modules registered exit functions.")
        _has_begun = True
    return 0


cdef class Block
cdef class Sealed

#: Where an access is in its life. ENDED is zero, so that one made behind our back (``Access.__new__``) opens nothing.
cdef enum Phase:
    ENDED
    NEW
    ENTERING  # no second thread may enter meanwhile: making a room lets other threads run
    OPEN


include "native/obtaining.pxi"
include "native/keeper.pxi"
include "native/block.pxi"
include "native/vanishing.pxi"
include "native/stats.pxi"
include "native/view.pxi"
include "native/keys.pxi"
include "native/engine.pxi"
include "native/sealed.pxi"
include "native/file.pxi"
include "native/buffer.pxi"
include "native/locked.pxi"
include "native/unlocked.pxi"
include "native/naming.pxi"
include "native/ending.pxi"
include "native/sources.pxi"
include "native/protection.pxi"
include "native/space.pxi"
include "native/region.pxi"
include "native/refusals.pxi"
include "native/holding.pxi"
include "native/restoring.pxi"
include "native/machine.pxi"
include "native/asking.pxi"
include "native/paging.pxi"
include "native/section.pxi"
include "native/mapping.pxi"
include "native/physical.pxi"
include "native/window.pxi"
include "native/frames.pxi"
include "native/lean.pxi"
