# What the pool and the blocks of this process hold. A part of _native.pyx.

#: Room for that many arenas is asked for beyond those just counted: other threads may be making some.
cdef enum:
    ARENAS_TO_SPARE = 8


cdef str _backing_name(sr_backing backing):
    return BACKINGS[<int>backing]


def memory_held():
    """How many isolated blocks there are, bytes of pages by backing, bytes of them unlocked, idle rooms, arenas.

    Each arena is ``(backing, slot size, bytes of pages, slots, slots taken)``.
    """
    cdef sr_block_totals totals
    cdef sr_pool_row *rows
    cdef size_t found, most = sr_pool_list(NULL, 0) + ARENAS_TO_SPARE
    rows = <sr_pool_row *>malloc(most * sizeof(sr_pool_row))
    if rows == NULL:
        raise MemoryError()
    try:
        found = min(sr_pool_list(rows, most), most)
        arenas = [(_backing_name(rows[i].backing), rows[i].slot_size, rows[i].pages_size, rows[i].count, rows[i].taken)
                  for i in range(found)]
    finally:
        free(rows)
    sr_blocks_count(&totals)
    sizes = {_backing_name(<sr_backing>i): totals.pages_size[<int>i] for i in range(<int>SR_BACKING_COUNT)}
    return totals.isolated, sizes, totals.unlocked_size, _idle_count(), arenas
