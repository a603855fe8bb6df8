/* The pool's shards: which arenas there are, and which of them has a free slot. Private to pool.c and pool_shard.c. */
#ifndef SR_POOL_SHARD_H
#define SR_POOL_SHARD_H

#include "pool.h"

/* Sizes of slots there are: the largest secrets that fit are in sr_slot_fits. */
#define SR_SLOT_KINDS 7
extern const uint32_t sr_slot_fits[SR_SLOT_KINDS];

struct sr_pooled {
    struct sr_pooled *next, *previous;
    sr_block block;
    sr_arena arena;
    unsigned refused; /* bit (1 << step) for each that the system refused */
    unsigned shard, kind;
    uint16_t notes[]; /* the arena's */
};

/* Arenas with free slots first, full ones after them: whether there is a free slot is a look at the first. */
typedef struct sr_row {
    sr_pooled *first, *last;
    size_t page_count;
    unsigned unused; /* arenas of which no slot is taken */
} sr_row;

typedef struct sr_shard {
    sr_row rows[SR_POOL_BACKINGS][SR_SLOT_KINDS];
    uint64_t generation;
    char apart[128]; /* two cache lines, which are fetched as one: else each thread's writing slows the others down */
} sr_shard;

/* Between these two the shard is the caller's alone. In a child it is empty when first entered. */
sr_shard *sr_shard_enter(unsigned which);
void sr_shard_leave(unsigned which);

/* All of these within. */

sr_row *sr_row_of(const sr_pooled *one);
int sr_is_full(const sr_pooled *one);

/* An arena with a free slot, every required step and every bit of `proven` borne out; one that has all that is wanted if
 * possible; or NULL. */
sr_pooled *sr_row_find(const sr_row *row, unsigned required, unsigned proven);

/* Put an arena of which no slot is taken into its row, or take it out. */
void sr_row_add(sr_pooled *one);
void sr_row_remove(sr_pooled *one);

/* Its first free slot is given back now: behind the one that slots are taken from, or to that place if there is none.
 * Its last one was taken: after all that have one. */
void sr_row_move_forward(sr_pooled *one);
void sr_row_move_last(sr_pooled *one);

/* Take an arena out of the row of `one`, whose last slot was given back, if there is one too many of which no slot is
 * taken, or return NULL. The smallest stays for the next secret, but not one that lacks what most secrets require. */
sr_pooled *sr_row_take_out(sr_pooled *one);

/* Some arena of the shard of which no slot is taken, or NULL. */
sr_pooled *sr_shard_unused(const sr_shard *shard);

/* The arena after `one` in its shard, the first one after NULL; NULL after the last. */
sr_pooled *sr_shard_next(const sr_shard *shard, const sr_pooled *one);

#endif
