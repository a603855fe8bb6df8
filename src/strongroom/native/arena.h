/* Which slots of an arena are taken: bookkeeping alone.
 *
 * An arena is memory cut into slots of one stride. This part hands out addresses and takes them back; it makes no
 * system call, allocates nothing and never looks at the memory itself, which may not even exist: that is how it is
 * tested. What it writes lies apart from the slots, in ordinary memory that the caller gives, so that locked pages
 * hold nothing but secrets, and an overrun there cannot reach what decides who owns them.
 *
 * First in, first out: of the slots given back, the one that has been free the longest is taken next. A pointer kept
 * past its slot's end then shows zeros for as long as possible, not the next secret.
 *
 * The caller keeps threads apart.
 */
#ifndef SR_ARENA_H
#define SR_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* More would not fit the positions' type, and no caller wants an arena of 256 MiB. */
#define SR_ARENA_MAX_SLOTS 65535u

typedef struct sr_arena {
    uintptr_t base;      /* where the first slot begins */
    uint32_t stride;     /* from one slot to the next, bytes */
    uint32_t count;      /* slots there are */
    uint32_t taken;      /* slots in use */
    uint32_t fresh;      /* slots from this one on were never taken */
    uint32_t oldest;     /* where in the ring the slot lies that has been free the longest */
    uint32_t free_again; /* slots in the ring */
    uint16_t *ring;      /* slots that were given back, in that order */
    uint16_t *sizes;     /* bytes of each slot that its taker uses; 0: free */
} sr_arena;

/* Bytes of bookkeeping for `count` slots. */
size_t sr_arena_notes_size(uint32_t count);

/* Begin with every slot free. `notes` is sr_arena_notes_size(count) bytes, aligned for uint16_t. `count` is from 1 to
 * SR_ARENA_MAX_SLOTS, `stride` from 1 to 65,535. */
void sr_arena_begin(sr_arena *arena, uintptr_t base, uint32_t stride, uint32_t count, void *notes);

/* Take a slot for `size` bytes, 1 to the stride: its address, or 0 if every slot is taken. */
uintptr_t sr_arena_take(sr_arena *arena, uint32_t size);

/* Give a slot back by its address. -1, and nothing changes, if no slot begins there or it is free already. */
int sr_arena_give(sr_arena *arena, uintptr_t address);

/* What the taker of a slot uses of it, in bytes; 0 if it is free. `index` is below the count. */
uint32_t sr_arena_size_at(const sr_arena *arena, uint32_t index);

/* Which slot begins at this address: its index, or the count if none does. */
uint32_t sr_arena_index(const sr_arena *arena, uintptr_t address);

#endif
