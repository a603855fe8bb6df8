/* The list of live blocks, as guarded.c and file.c join and leave it. Private to these, backing.c, ending.c and live.c. */
#ifndef SR_LIVE_H
#define SR_LIVE_H

#include "ending.h"

void sr_block_enlist(sr_block *block);
void sr_block_delist(sr_block *block);

/* Visit `newest`, which sr_blocks_hold_files gave, and what is older and has a private file too, each held meanwhile. */
void sr_blocks_visit_held(sr_block *newest, sr_visit *visit, int why);

/* Claim a block for its end, and wait until nobody visits it; or give that up. */
void sr_block_set_ending(sr_block *block, int is_ending);

/* Have what the pages of a private file hold now written there; does nothing to others. Async-signal-safe. */
void sr_block_write_back(const sr_block *block);

/* Wipe it through the kernel, page by page, whatever other threads do with it; async-signal-safe. What is out of reach stays
 * as it is, and so does what is not in memory, if `why` is damage. */
void sr_block_wipe_checked(sr_block *block, int why);

/* Ask the system for one step on a block's pages, and note how it went. */
void sr_block_take_step(sr_block *block, sr_step step);

#endif
