/* What strongroom knows of each page of a region: a list of runs, each of pages that are alike.
 *
 * Pure bookkeeping. No system call is made here, so it is tested on made-up regions of any size: a terabyte that is
 * reserved is one run. A change splits at most two runs, so whoever makes sure of room for two before a system call
 * (sr_pagemap_room) can write down afterwards what it did without anything left to fail.
 *
 * In: page numbers inside the region. Out: runs. Called by region.c alone, under the region's mutex. Can fail: only
 * sr_pagemap_room, for want of heap.
 */
#ifndef SR_PAGEMAP_H
#define SR_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>

/* Most regions never have more: reserved, committed, a guard page, reserved. No heap is used up to here. */
#define SR_FEW_RUNS 6

typedef struct sr_run {
    size_t first;          /* its first page; the next run's first page ends it */
    uint32_t locks;        /* how often strongroom locked each page */
    uint16_t protection;   /* sr_protection with modifiers; 0 for pages that are reserved, not committed */
    uint16_t is_kept;      /* locked by somebody else before strongroom locked it: never unlocked by us */
} sr_run;

typedef struct sr_pagemap {
    size_t page_count;
    size_t run_count;
    size_t room;           /* runs that fit where they are */
    sr_run *runs;          /* sorted; runs[0].first is 0; neighbours differ. `few` or heap */
    sr_run few[SR_FEW_RUNS];
} sr_pagemap;

typedef enum sr_change {
    SR_CHANGE_DECOMMIT,      /* reserved, no locks, whatever it was */
    SR_CHANGE_PROTECTION,    /* to `protection`; commits what was reserved */
    SR_CHANGE_LOCK,          /* one lock more */
    SR_CHANGE_UNLOCK,        /* one less, never below none */
    SR_CHANGE_KEEP,          /* somebody else's lock was found */
    SR_CHANGE_FORGET_LOCKS   /* a forked child: locks are not inherited */
} sr_change;

/* All pages reserved. The map must not be moved afterwards (it points into itself). */
void sr_pagemap_begin(sr_pagemap *map, size_t page_count);
void sr_pagemap_end(sr_pagemap *map);

/* Make sure that one change can be written down. -1 if the heap is exhausted. */
int sr_pagemap_room(sr_pagemap *map);

/* Write down a change of `count` pages from `first` on. There must be room. */
void sr_pagemap_change(sr_pagemap *map, size_t first, size_t count, sr_change change, unsigned protection);

/* The index of the run that a page is in, and where a run ends. */
size_t sr_pagemap_find(const sr_pagemap *map, size_t page);
size_t sr_pagemap_end_of(const sr_pagemap *map, size_t index);

#endif
