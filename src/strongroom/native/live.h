/* The list of live blocks, as guarded.c joins and leaves it. Private to guarded.c and live.c. */
#ifndef SR_LIVE_H
#define SR_LIVE_H

#include "guarded.h"

void sr_block_enlist(sr_block *block);
void sr_block_delist(sr_block *block);

#endif
