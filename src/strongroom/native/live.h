/* The list of live blocks, as guarded.c and file.c join and leave it. Private to these, backing.c and live.c. */
#ifndef SR_LIVE_H
#define SR_LIVE_H

#include "guarded.h"

void sr_block_enlist(sr_block *block);
void sr_block_delist(sr_block *block);

/* Ask the system for one step on a block's pages, and note how it went. */
void sr_block_take_step(sr_block *block, sr_step step);

#endif
