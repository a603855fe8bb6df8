# Locked memory: the sealing key and the rooms of secrets, and LockedBuffer, the public face. A part of _native.pyx.

cdef inline int _make_locked(Block block, object size, object backing, object isolated, object policy, object align) except -1:
    """From a free slot if the last answer of the plan holds here too, else in the slow way."""
    block.size = _checked_size(size)
    block.purges = _purges
    if align is not _UNALIGNED:
        isolated = _align(block, align, isolated)
    if (_usual_proven and backing is _AUTO and isolated is None and policy is None
            and block.size + block.tail <= SR_SLOT_MAX_SIZE and sr_pool_take_ready(
                block.size + block.tail, _usual_backing, _usual_required, _usual_proven, &block.place)):
        block.is_slot = True
        block.kept_in = _usual_backing
        block.generation = sr_generation()
    else:
        _obtain(block, backing, isolated, policy, align)
    if _sites is not None:
        _note_site(block)
    return 0


cdef str _state_of(Block block):
    """What the repr says of what became of it."""
    state = "destroyed" if block.is_destroyed else "open" if block.readers or block.writers else "closed"
    if block.purges != _purges and not block.is_destroyed:
        state = "purged" if state == "closed" else f"{state}, purged"
    return f"{state}, frozen" if block.frozen else state


cdef str _lacking_lock(Block block):
    """What the repr says of memory that was to be locked, and is not."""
    if block.is_destroyed or block.generation != sr_generation() or not isinstance(block, (LockedBlock, LockedBuffer)):
        return ""
    if block.kept_in > SR_BACKING_SECRETMEM:
        return ", NOT LOCKED (the fallback of its policy serves)"
    return ", NOT LOCKED (the policy allowed it)" if block.home().outcomes[<int>SR_STEP_LOCK].call != NULL else ""


cdef class LockedBlock(Block):
    """Locked memory that nothing ever stands in for: what the sealing key and opened secrets lie in."""

    def __cinit__(self, size, *, backing=_AUTO, isolated=None, policy=None, align=_UNALIGNED):
        _make_locked(self, size, backing, isolated, policy, align)


cdef class LockedBuffer(AnyBuffer):
    """LockedBuffer(size, *, backing="auto", isolated=None, policy=None, align=1)
--

Keep bytes in memory that stays out of swap, core dumps, forked children and freed heap.

        with LockedBuffer(32) as key:
            with key.open("rw") as view:
                view[:] = derive()
            with key.open() as view:
                sign(view, message)

    Up to 1,024 bytes share locked pages with other small buffers: a 32-byte key takes 48 bytes of the lock limit, not
    a page. A canary lies before each, which is checked when a block that may write ends and when the buffer is
    destroyed; inaccessible pages lie around them all. Larger ones, and those with ``isolated=True``, have pages of
    their own: the bytes end where an inaccessible page begins, and while no block has them open the pages are
    inaccessible to this process too. One that is left to the garbage collector is wiped then, and ``python -X dev``
    warns of it, with the line that made it.

    Args:
        size: Bytes, at least 1. Locked memory is used in steps of 16, 32, 64, 128, 256, 512 and 1,024 bytes plus 16
            bytes for the canary; for pages of its own, ``size`` plus 16 rounded up to whole pages.
        backing: ``"locked"`` (private pages, locked), ``"secretmem"`` (Linux: pages that the kernel itself does not
            map) or ``"auto"``: secret memory for up to 64 KiB where the machine cannot hibernate, else locked.
        isolated: ``True``: pages of its own. ``False``: shared pages, for up to 1,024 bytes. ``None``: shared ones for
            up to 1,024 bytes unless the policy requires what only own pages give.
        align: Bytes, a power of two up to the page size: where the first byte lies is a multiple of it, as NumPy and
            vector instructions want for wider items. The bytes then end up to ``align`` - 1 bytes before their slot or
            page does; those are zeros, checked with the canary. Above 16 the buffer has pages of its own.
        policy: A :class:`~strongroom.Policy`; ``None`` stands for the operator's (``STRONGROOM_POLICY``), the
            program's (:func:`~strongroom.configure`), or what the system can give by default.

    Raises:
        ValueError, TypeError: A size, backing or policy that makes no sense, ``STRONGROOM_POLICY`` included; the
            message names it.
        LockLimitError: The system will lock no more; nothing else is harmed. Says the limit and the remedies, and how
            long it waited.
        UnsupportedError: This system lacks what was asked for, or its own listing says that it did not do it.
        MemoryError: There is no ordinary memory for what describes the locked pages.
        SystemCallError: Another refusal, with the call's name.

    ``==`` compares with another buffer, a ``Secret`` or bytes, and takes the same time wherever two values of one
    length differ. ``freeze()`` lets it be opened for reading only until ``melt()``.

    Platform notes: Linux complete; Windows, macOS and BSD give LOCKED and what their kernels offer beside it.

    Does not protect against: whoever can read this process's memory while a block has it open (small ones, and with
    ``"locked"`` also root, at any time; ``gcore -a`` and hibernation with ``"locked"``); code running in this process;
    copies that you make.

    Source: mlock(2), madvise(2), memfd_secret(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

    Version added: 0.1.
    """

    def __cinit__(self, size, *, backing=_AUTO, isolated=None, policy=None, align=_UNALIGNED):
        _make_locked(self, size, backing, isolated, policy, align)
