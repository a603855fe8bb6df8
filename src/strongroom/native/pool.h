/* Small secrets in shared pages.
 *
 * A page for each key would use up a 64 KiB lock limit with 16 of them. So secrets of up to SR_SLOT_MAX_SIZE bytes get
 * a slot in an arena: guarded pages (guarded.h) cut into slots of one stride (arena.h).
 *
 *     | guard page | ... | canary 16 B | secret 32 B | canary 31 B | secret 17 B | ... | guard page |
 *                        |<-------- stride --------->|<-------- stride --------->|
 *
 * A secret ends where its slot ends; all before it in the slot is canary, SR_CANARY_SIZE bytes at least. One byte past
 * a secret is the next slot's canary (or zeros, where that is free), or the guard page; one byte before it its own.
 * They are looked at whenever sr_slot_is_intact is asked, and when a slot is given back. A free slot is all zeros,
 * which is checked when it is taken: whoever wrote there through a pointer kept too long is found out then.
 *
 * The pages stay READ_WRITE: a change of protection costs more than everything else here together, and far more as soon
 * as the process has a second thread.
 *
 * Arenas belong to one of SR_POOL_SHARDS shards, each with a mutex of its own; a thread takes from its own shard unless
 * it is refused more pages and has to look into the others. A slot goes back to where it came from, whoever gives it
 * back.
 */
#ifndef SR_POOL_H
#define SR_POOL_H

#include "arena.h"
#include "guarded.h"

/* Those that slots are made of come first in sr_backing: what vanishes or has a file is for blocks of their own. */
#define SR_POOL_BACKINGS (SR_BACKING_SECRETMEM + 1)

/* Larger secrets get pages of their own: of a page three such slots remain, and the loss grows from there. */
#define SR_SLOT_MAX_SIZE 1024

/* An arena is as large as all before it of its kind together, up to this. More: fewer mappings and calls for very many
 * secrets; less: memory goes back sooner when most of them are gone. */
#define SR_ARENA_MAX_SIZE (256 * 1024)

/* An arena, its pages and where it belongs; the pool's own, but for looking at `block`. */
typedef struct sr_pooled sr_pooled;

typedef struct sr_slot {
    sr_pooled *home; /* NULL: no slot */
    unsigned char *data;
} sr_slot;

/* Take a slot for `size` bytes, 1 to SR_SLOT_MAX_SIZE, zero-filled, in pages that have the backing and every step of
 * `required` (guarded.h), new ones where there is none free. 0, or -1: the system refuses more pages, says *error, and no
 * free slot of a larger size or of another thread stands in for one. sr_blocks_begin came before. */
int sr_pool_take(size_t size, sr_backing backing, unsigned required, sr_slot *slot, sr_error *error);

/* The same without asking the system for anything: 1, or 0 if this thread's arenas have no free slot in pages that also
 * have every bit of `proven` in their block's borne_out. */
int sr_pool_take_ready(size_t size, sr_backing backing, unsigned required, unsigned proven, sr_slot *slot);

/* The same with any free slot there is, a larger one's or another thread's too. */
int sr_pool_take_free(size_t size, sr_backing backing, unsigned required, sr_slot *slot);

/* Wipe a slot and give it back. A damaged canary ends the process, after the wiping. */
void sr_pool_give(sr_slot *slot);

/* 1 if the canary before the secret and what follows it are as they were. */
int sr_slot_is_intact(const sr_slot *slot);

/* The pages a slot lies in: where they begin, how they were asked for. Good as long as the slot is taken. */
const sr_block *sr_slot_pages(const sr_slot *slot);

/* The system said yes to these steps (bit 1 << step) for the pages of a slot, and did not do it: as good as refused. */
void sr_pool_distrust(const sr_slot *slot, unsigned steps);

/* Wipe what every taken slot of this process holds; the slots stay taken. */
void sr_pool_wipe_all(void);

/* Give back the pages of arenas that nobody uses; how many bytes of them that were. Of each kind the smallest, mostly a
 * page, is otherwise kept in each shard for the next secret. */
size_t sr_pool_trim(void);

/* What sr_pool_list tells of an arena. */
typedef struct sr_pool_row {
    sr_backing backing;
    size_t slot_size; /* the largest secret that fits */
    size_t pages_size;
    size_t count, taken; /* slots */
} sr_pool_row;

/* Describe up to `most` arenas of this process; how many there are. */
size_t sr_pool_list(sr_pool_row *rows, size_t most);

#endif
