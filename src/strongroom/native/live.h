/* The list of live blocks, as guarded.c and file.c join and leave it. Private to these, backing.c, ending.c and live.c. */
#ifndef SR_LIVE_H
#define SR_LIVE_H

#include "ending.h"

void sr_block_enlist(sr_block *block);
void sr_block_delist(sr_block *block);

/* Visit `newest`, which sr_blocks_hold_files gave, and what is older and has a private file too, each held meanwhile. One
 * that fails leaves the others their turn; the first error is the one to report. */
int sr_blocks_visit_held(sr_block *newest, int (*visit)(sr_block *block, sr_error *error), sr_error *error);

/* Who visited them holds none any more. */
void sr_blocks_let_go(sr_block *newest);

/* Claim a block with a file for its end, and wait until nobody visits it; say that this is over. Of others nothing. */
void sr_block_begin_end(sr_block *block);
void sr_block_end_end(sr_block *block);

/* Wait until those are over that had begun before this was called. Holding none. */
void sr_blocks_await_ends(void);

/* Wipe it through the kernel, page by page, whatever other threads do with it; async-signal-safe. What is out of reach stays
 * as it is, which is an error. `why`: in which walk, or SR_NO_WALK. */
int sr_block_wipe_checked(sr_block *block, int why, sr_error *error);

/* Ask the system for one step on a block's pages, and note how it went. */
void sr_block_take_step(sr_block *block, sr_step step);

#endif
