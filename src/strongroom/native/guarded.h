/* One secret in pages of its own.
 *
 *     reservation                       pages                                data
 *     | guard page, never accessible    | zeros ... | canary 16 B | secret   | guard page, never accessible |
 *                                                                 |<- size ->|
 *
 * The secret ends where the upper guard begins: reading or writing one byte past it faults at once. One byte
 * before it hits the canary, and further down the zeros up to the lower guard; both are checked whenever
 * sr_block_is_intact is asked and at the end. There is always room for the canary, at exact page sizes too (one page more).
 *
 * A block describes itself in ordinary memory that the caller owns and must not move or copy while the block
 * is alive: all live blocks are linked in a list, so that they can be wiped together and forgotten in a child.
 */
#ifndef SR_GUARDED_H
#define SR_GUARDED_H

#include "canary.h"

typedef enum sr_backing {
    SR_BACKING_LOCKED = 0,
    SR_BACKING_SECRETMEM = 1,
    SR_BACKING_DROPPABLE = 2, /* the system may turn them into zeros, and writes them nowhere */
    SR_BACKING_PARTIAL = 3,   /* a page of a short file: what lies behind the file's end vanishes when it is written back */
    SR_BACKING_FILE = 4,      /* a private file's, and written there */
    SR_BACKING_COUNT
} sr_backing;

/* Whether the contents may vanish: a sentinel on either side tells, so that no order in which a page may be cleared hides
 * it. Whether there is a private file behind them. */
int sr_can_vanish(sr_backing backing);
int sr_has_file(sr_backing backing);

/* What is asked of the system for each block, one call each. The order is the order of the calls. */
typedef enum sr_step {
    SR_STEP_NO_DUMP,
    SR_STEP_NOT_IN_CHILD,
    SR_STEP_NO_HUGE,
    SR_STEP_NO_MERGE,
    SR_STEP_LOCK,
    SR_STEP_COUNT
} sr_step;

/* How a step went: call == NULL means done. */
typedef sr_error sr_outcome;

typedef struct sr_block {
    struct sr_block *next, *previous;
    unsigned char *reservation; /* NULL: holds no memory */
    size_t reserved_size;
    intptr_t file; /* sr_private_pages, of those that have one */
    unsigned char *pages;
    size_t pages_size;
    unsigned char *data;
    size_t size;
    uint64_t generation;
    sr_backing backing;
    sr_protection protection;
    /* Of pages without this layout, which are never closed, those that a pool shares out and a file's: how to wipe them
     * in a walk. */
    void (*wipe_slots)(const struct sr_block *block, int why);
    sr_outcome outcomes[SR_STEP_COUNT];
    sr_outcome burned;   /* what the end of its file was refused */
    int ending;          /* with a file: in which phase somebody began to destroy it (live.c), or 0 */
    volatile int32_t visitors; /* who has it wiped and written back while other threads run, and the list may change */
    int has_no_canary;   /* until it is wiped again, for not all of it could be, or it could not go: nothing is checked */
    int is_void;         /* contents that can vanish: there are none, whatever the sentinels say */
    int is_renewing;     /* the caller's: somebody has it written back, to begin them anew */
    unsigned renewals;   /* how often contents that can vanish began anew */
    unsigned borne_out; /* the caller's: which promises it has read back from the system */
} sr_block;

/* Once per process, before the first block and from one thread: the generation, the at-fork handler, the canary.
 * Later calls do nothing. */
int sr_blocks_begin(sr_error *error);

/* Make a block of `size` bytes (at least 1), zero-filled and inaccessible. `required` has bit (1 << step) set
 * for each step that must succeed; when one does not, everything is given back and *error says which call.
 * Secret memory that the system refuses is an error in any case. */
int sr_block_create(sr_block *block, size_t size, sr_backing backing, unsigned required, sr_error *error);

/* What a block is made of, besides its size. */
typedef struct sr_making {
    sr_backing backing;
    unsigned required;     /* as above */
    unsigned untried;      /* bits of the steps that are not even tried */
    const char *directory; /* where its file goes, if there is one */
} sr_making;

/* The same of any backing. A partial page on a file system that does not drop what lies behind a file's end is refused:
 * sr_os_drops_tails. */
int sr_block_create_as(sr_block *block, size_t size, const sr_making *making, sr_error *error);

/* The same with `page_count` whole pages, which stay READ_WRITE: for the pool, whose secrets share them. `data` is all
 * of them but the canary at their beginning. */
int sr_block_create_shared(sr_block *block, size_t page_count, sr_backing backing, unsigned required,
                           void (*wipe_slots)(const sr_block *, int), sr_error *error);

/* The largest size that can be laid out, in bytes. */
size_t sr_block_max_size(sr_backing backing);

/* READ_ONLY or READ_WRITE for the pages between the guards. Here, to become a part of its callers: after a change of
 * protection the TLB may be empty, and every page of code that is needed next is looked up anew. */
static inline int sr_block_protect(sr_block *block, sr_protection protection, sr_error *error)
{
    if (block->protection == protection) {
        return 0;
    }
    if (sr_os_protect(block->pages, block->pages_size, protection, error) != 0) {
        return -1;
    }
    block->protection = protection;
    return 0;
}

/* As inaccessible as the system allows for locked pages: NO_ACCESS on Unix, READ_ONLY on Windows. */
int sr_block_close(sr_block *block, sr_error *error);

/* Use the last `size` bytes of an accessible block from now on, a canary before them instead of the one there is. All else
 * is zeros already. */
void sr_block_place(sr_block *block, size_t size);

/* 1 if canary and zeros are as they were, or as the system leaves what it dropped. The block must be readable. */
int sr_block_is_intact(const sr_block *block);

/* What became of the contents; only those that can vanish are ever lost, and those whose file's device failed. The block
 * must be readable. What was read before this says SR_INTACT was there, if nobody began them anew in between. */
typedef enum sr_condition { SR_INTACT, SR_LOST, SR_DAMAGED } sr_condition;
sr_condition sr_block_condition(const sr_block *block);

/* Have a partial page written back now, which empties it: one that waits for that would be written back soon, and one
 * that is clean has all its time again. Touches none of its bytes; waits for a disk. Nothing to do for others. */
int sr_block_flush(const sr_block *block, sr_error *error);

/* Begin contents anew that can vanish, as zeros. The block must be READ_WRITE. */
void sr_block_renew(sr_block *block);

/* Make them what they are after a loss. The block must be READ_WRITE. */
void sr_block_lose(sr_block *block);

/* Fetch pages that may have to come from a file, and room in it if they are READ_WRITE, which may fail: a touch would be a
 * fault then. They must be readable. The second fetches, to be read, those that sr_block_is_intact looks at. */
int sr_block_fetch(sr_block *block, sr_error *error);
int sr_block_fetch_marks(const sr_block *block, sr_error *error);

/* Check the canary, overwrite everything between the guards with zeros, put the canary back: contents that can vanish
 * begin anew. Makes the pages READ_WRITE and leaves them so. A damaged canary ends the process (sr_blocks_die), after the
 * wiping. Pages that a file's device does not give back are left out, and block->burned says why; nothing is checked
 * then. */
int sr_block_wipe(sr_block *block, sr_error *error);

/* Wipe, burn the file if there is one, then give the memory back. When the system refuses a step, the block keeps its
 * memory and may be destroyed again. A file that could not be burned is no such step: block->burned says it. */
int sr_block_destroy(sr_block *block, sr_error *error);

/* Stop tracking a block whose description is about to go away, memory and all: only after sr_block_destroy
 * was refused. */
void sr_block_forget(sr_block *block);

typedef struct sr_block_totals {
    size_t isolated; /* live blocks that are not shared out, nor files */
    size_t pages_size[SR_BACKING_COUNT]; /* bytes between guards, of all of them */
    size_t unlocked_size; /* of that, bytes of LOCKED that a policy let pass without a lock */
} sr_block_totals;

void sr_blocks_count(sr_block_totals *totals);

#endif
