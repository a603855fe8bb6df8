# Buffers for places where nothing can be locked: VolatileBuffer and FileBuffer. A part of _native.pyx.

cdef int _make_of(Block block, list ways, object policy) except -1:
    """In the first of these ways that works; each is ``(backing, required, untried, directory)``."""
    cdef list refusals = []
    _begin()
    block.generation = sr_generation()
    block.is_doomed = True  # as in _obtain
    for way in ways:
        refusal = _try(block, way)
        if refusal is None:
            _host.verify(block, policy)
            return 0
        refusals.append(refusal)
    raise _host.nowhere(refusals, block.size + block.tail)


cdef object _try(Block block, tuple way):
    """None if that made it, else ``(backing, directory, call, code)``."""
    cdef sr_error error
    cdef sr_making making
    cdef sr_block *pages
    cdef int failed
    cdef size_t size = block.size + block.tail
    backing, making.required, making.untried, directory = way
    making.backing = <sr_backing><int>backing
    making.directory = NULL if directory is None else PyBytes_AS_STRING(directory)
    pages = <sr_block *>malloc(sizeof(sr_block))
    if pages == NULL:
        raise MemoryError()
    block.purges = _purges
    with nogil:
        failed = sr_block_create_as(pages, size, &making, &error)
    if failed:
        free(pages)
        return BACKINGS[backing], directory, error.call.decode(), error.code
    block.pages = pages
    block.place.data = pages.data
    block.is_slot = False
    block.kept_in = making.backing
    block.is_doomed = False
    return None


cdef int _end_pages(sr_block *pages, sr_error *error) noexcept:
    """Destroy them, while other threads run if that waits for a disk."""
    cdef int failed
    if not sr_has_file(pages.backing):
        return sr_block_destroy(pages, error)
    with nogil:
        failed = sr_block_destroy(pages, error)
    return failed


cdef class VolatileBuffer(AnyBuffer):
    """VolatileBuffer(size, *, backing="auto", directory=None, lock="no", rebuild=None, policy=None)
--

Keep bytes in memory that the system may drop, but never writes out; a loss is always noticed.

        with VolatileBuffer(32, rebuild=derive_key) as key:
            with key.open() as view:       # derive_key(view) filled it
                sign(view, message)        # ContentsLostError at the end if the system dropped the key meanwhile

    It takes nothing of the lock limit. Its contents stay *in* memory only as long as the system pleases, and they never
    get *out* to swap or a file: that is the promise, and the opposite of what a lock gives. There is one page: 16 random
    bytes on either side of the contents tell whether they are still those that were stored. Larger things are sealed in
    a ``Secret`` or a file of your own, under a key that is kept here.

    Args:
        size: Bytes, from 1 to 4,064 with pages of 4 KiB (``"droppable"``) or 3,552 (``"partial"``).
        backing: ``"droppable"`` (pages that the kernel zeroes when memory is short: Linux 6.11), ``"partial"`` (the page of
            a file of 512 bytes: what lies behind the file's end vanishes when the page is written back, on Linux about 30
            seconds after it was stored, and at once when memory is short), or ``"auto"``: the first of these that works.
        directory: Where the file of 512 zeros for a partial page goes; it has no name. ``None``: the policy's, else
            ``TMPDIR``, ``TEMP``, ``/var/tmp`` or ``/tmp``, the first that works. A file system in memory does not: it drops nothing.
        lock: ``"try"`` locks a partial page too if the system lets it, which keeps it from being dropped when memory is
            short, but not from being written back; it counts in the lock limit. ``"no"`` does not.
        rebuild: Called with a writable View of zeros whenever contents are wanted and there are none: at the first use, and
            after a loss. It fills the View and returns nothing. One thread calls it at a time, others wait for that.
        policy: A :class:`~strongroom.Policy`; what it requires by default here is NEVER_WRITTEN, and on Linux NO_DUMP and
            NOT_IN_CHILD.

    Raises:
        ValueError, TypeError: An argument that makes no sense; the message names it.
        UnsupportedError: Neither kind is to be had here; says why for each.
        SystemCallError: The system refused a call: no such directory, a full disk.

    Without ``rebuild`` a new one holds zeros. Contents that are lost are stored anew with ``copy_from()`` or ``move_from()``
    of all the bytes, or ``build()``; until then ``open()`` raises ``ContentsLostError``.

    Platform notes: droppable pages on Linux 6.11; partial pages on every system whose file system drops what lies behind the
    end of a file as it writes it back, which is tried out each time. On Windows the file has a name until the buffer ends or
    the process does, and 60.5 KiB, all zeros; nobody else can open it. The page vanishes there when memory is short and it
    is taken for something else. Tested under Wine, where a Linux file system does it, and not on Windows. Nothing is built
    on Windows' OfferVirtualMemory: what is reclaimed to be read may be written to the paging file.

    Does not protect against: losing the contents, which is the point; readers of this process's memory; hibernation, which
    writes all of memory; with ``"partial"`` a store at the very moment at which the page is being written back, which may
    reach the disk (seen on Linux 6.18 with ext4): store first and then leave it alone.

    Source: mmap(2) MAP_DROPPABLE, msync(2); fs/ext4/page-io.c and fs/iomap/buffered-io.c of Linux 6.18.

    Version added: 0.1.
    """

    cdef object rebuild, turn
    cdef long holder           # the thread whose turn it is, 0: none
    cdef bint is_filled_now    # by that thread

    def __cinit__(self, size, *, backing=_AUTO, directory=None, lock="no", rebuild=None, policy=None):
        is_partial = isinstance(backing, str) and backing == BACKINGS[<int>SR_BACKING_PARTIAL]
        self.size = _checked_size(
            size, VOLATILE_MAX_SIZES[BACKINGS[<int>(SR_BACKING_PARTIAL if is_partial else SR_BACKING_DROPPABLE)]])
        if rebuild is not None and not callable(rebuild):
            raise TypeError(f"rebuild must be a function that fills a View, or None, not {_describe(rebuild)}")
        _make_of(self, _host.volatile_ways(self.size, backing, directory, lock, policy), policy)
        self.turn = _allocate_lock()
        if rebuild is not None:
            _lose(self)
            self.rebuild = rebuild
        if _sites is not None:
            _note_site(self)

    def build(self, fill):
        """Store contents anew: ``fill(view)`` writes them into a View of zeros. Lost or not, what was there is gone.

        Args:
            fill: Called with a writable View of all the bytes, again if the system drops them meanwhile. What it returns
                must be ``None``.

        Raises:
            TypeError: ``fill`` is no function, or it returned something: it was to write into the View.
            AccessError: It is frozen, or ``fill`` opened this very buffer.
            BufferError: A block or a kept buffer may still write to it.
            ContentsLostError: They vanished each time.
            DestroyedError, ForkedError, PurgedError: There is nothing to store in.
            SystemCallError: The page cannot be made writable; or, a partial one, cannot be written back, which comes first.

        What ``fill`` raises is raised here; the contents are lost then.

        Version added: 0.1.
        """
        if not callable(fill):
            raise TypeError(f"fill must be a function that fills a View, not {_describe(fill)}")
        self.require_usable()
        self.require_melted()
        self.take_turn(fill, False)

    cdef bint refill(self) except -1:
        if self.rebuild is None and not self.is_filled_now:
            return False
        self.take_turn(self.rebuild, True)
        return True

    cdef bint is_missing(self, bint is_filling) noexcept:
        return sr_block_condition(self.pages) == SR_LOST or (self.is_filled_now and not is_filling)

    @cython.final
    cdef int take_turn(self, object fill, bint only_if_lost) except -1:
        """Fill it, one thread at a time; ``fill`` is None for whoever only waits for the one that does."""
        cdef long me = PyThread_get_thread_ident()
        if self.holder == me:  # also a finalizer that happens to run in this thread: it would wait for ever
            raise AccessError(f"what fills a {type(self).__name__} cannot open it: it writes into the View that it is given")
        self.turn.acquire()
        self.holder = me
        try:
            self.require_usable()
            if not only_if_lost:
                self.require_melted()
            if fill is not None and not (only_if_lost and not self.has_nothing()):
                self.is_filled_now = True
                self.fill_anew(fill)
        finally:
            self.is_filled_now = False
            self.turn.release()
            self.holder = 0  # last: what the collector runs before that is told, and waits for nobody
        return 0

    @cython.final
    cdef int require_melted(self) except -1:
        if self.frozen:
            raise AccessError(f"this {type(self).__name__} is frozen: melt() makes it writable again")
        return 0

    @cython.final
    cdef bint has_nothing(self) except -1:
        cdef bint is_lost
        self.enter(False)
        is_lost = sr_block_condition(self.pages) == SR_LOST
        self.leave(False)
        return is_lost

    @cython.final
    cdef int fill_anew(self, object fill) except -1:
        cdef Access access
        cdef bint is_filled
        cdef int attempt
        for attempt in range(FILLS_TRIED):
            _renew(self)
            access = _new_access(self, None, True)
            access.is_filling = True
            is_filled = False
            try:
                with access as view:
                    result = fill(view)
                    if result is not None:
                        raise TypeError(
                            f"what fills a {type(self).__name__} writes into the View and returns nothing, "
                            f"not {_describe(result)}")
                    is_filled = True
                return 0
            except ContentsLostError:
                if not is_filled or attempt == FILLS_TRIED - 1:
                    _lose(self)
                    raise
            except BaseException:
                _lose(self)
                raise
        return 0


cdef class FileBuffer(AnyBuffer):
    """FileBuffer(size, directory, *, allow_memory=False, policy=None)
--

Keep bytes in memory whose pages go to a private file of their own and never to the system's swap; it is burned at the end.

        with FileBuffer(100_000, "/media/stick") as notes:
            with notes.open("rw") as view:
                read_into(view)

    For where nothing can be locked and the contents must not be lost. The file has no name, only this process has it, and
    it lies where you say: on a stick that you keep, on an encrypted volume. It takes nothing of the lock limit.
    ``destroy()`` overwrites the bytes, has that written, and gives the file's space back.

    Args:
        size: Bytes, at least 1; with 16 bytes for a canary rounded up to whole pages, which is what the file takes.
        directory: A directory, ``str``, ``bytes`` or path-like, that this process may write to.
        allow_memory: Take one whose files lie in memory (tmpfs, RAM disks) too, as far as that can be told: see below. They
            go to the swap like any other memory.
        policy: A :class:`~strongroom.Policy`; by default it requires NO_DUMP and NOT_IN_CHILD here, where the system has them.

    Raises:
        ValueError, TypeError: An argument that makes no sense; the message names it.
        UnsupportedError: The directory lies in memory.
        SystemCallError: The system refused a call: no such directory, a read-only or full file system. Nothing is left.

    ``open()`` brings all the pages back, and ``open("rw")`` the room for all of them to be written again, before the block:
    what the device or the file system refuses is a SystemCallError there, and so it is of ``destroy()`` if the bytes
    cannot be overwritten (Linux 5.14).

    Platform notes: Linux makes a file that never had a name where the file system can (O_TMPFILE); else it has one for an
    instant. Space is given back early on Linux (MADV_REMOVE), elsewhere with the last page. On Windows it has a name until
    the buffer ends or the process does, and up to 64 KiB of zeros in front; nobody else can open it (FILE_FLAG_DELETE_ON_CLOSE,
    no sharing). Tested under Wine, and not on Windows. macOS and the BSDs: compiled, not run.

    Whether a directory lies in memory Linux tells through every layer below (mountinfo, /sys); of an overlay whose upper
    directory is not to be seen, as in containers, it is tried out. macOS and the BSDs tell tmpfs and mfs by name, the BSDs
    md(4) and rd(4) disks too (on FreeBSD also those with a file behind them); Windows tells RAM disks that call themselves
    so. A RAM disk of macOS (``hdiutil attach ram://``) and of a Windows driver that calls it fixed, and a memory disk by
    another name, are taken for disks: ``guarantees()`` says so there.

    Does not protect against: whoever reads the device, before the end and, where overwriting does not reach the old place
    (copy-on-write and journalling file systems, flash, snapshots, a server's disks), after it: ``guarantees()`` says under
    NEVER_WRITTEN what is known of the place; a device that took the file's space and cannot write to it later (thin
    volumes), whose pages come back as zeros. A process that is killed burns nothing. Readers of this process's memory.
    A device that is pulled out while a block has the buffer open: touching a page that went to it is a fault (SIGBUS).

    Source: open(2) O_TMPFILE, msync(2), madvise(2) MADV_REMOVE, MADV_POPULATE_WRITE; proc_pid_mountinfo(5), statfs(2),
    GetDriveType (fileapi.h).

    Version added: 0.1.
    """

    def __cinit__(self, size, directory, *, allow_memory=False, policy=None):
        self.size = _checked_size(size)
        _make_of(self, _host.file_ways(directory, checked_flag(allow_memory, "allow_memory"), policy), policy)
        if _sites is not None:
            _note_site(self)
