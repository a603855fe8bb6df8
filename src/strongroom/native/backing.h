/* What a block's pages are made of: how each kind comes about, what becomes of its contents, and how it ends.
 *
 * In: a block whose size in pages is known, and what is asked of it. Out: pages that are READ_WRITE and zeros.
 * Called by guarded.c alone. Can fail: every system call; what was made before goes with the reservation.
 */
#ifndef SR_BACKING_H
#define SR_BACKING_H

#include "guarded.h"

/* Bytes of a partial page's file: the least that disks write. The rest of the page lies behind the file's end. */
#define SR_PARTIAL_HEAD 512

/* Make the reservation and its pages, take each step but those not tried, touch every page. What was made when it fails
 * is there still if block->reservation is. */
int sr_block_furnish(sr_block *block, const sr_making *making, sr_error *error);

/* Give reservation and pages back, and note that. When the system refuses, the block keeps them. */
int sr_block_give_back(sr_block *block, sr_error *error);

/* Bytes of the sentinel behind the data: SR_CANARY_SIZE for what can vanish, else 0. */
size_t sr_block_trailing(sr_backing backing);

/* Have what the pages hold now, zeros, take the place of what their file holds, and give that back. What is refused is in
 * block->burned, beside what sr_block_wipe left there. Nothing is done to pages without a file. */
void sr_block_burn(sr_block *block);

/* Put the canary back into pages that were burned and then not taken by the system. */
void sr_block_restore(sr_block *block);

#endif
