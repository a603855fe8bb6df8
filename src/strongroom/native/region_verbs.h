/* The verbs behind sr_region_do(): one function each, and what they share. For region*.c and pagelock.c alone. */
#ifndef SR_REGION_VERBS_H
#define SR_REGION_VERBS_H

#include "region.h"

sr_answer sr_do_commit(sr_region *region, sr_request *request);
sr_answer sr_do_decommit(sr_region *region, sr_request *request);
sr_answer sr_do_release(sr_region *region, sr_request *request);
sr_answer sr_do_protect(sr_region *region, sr_request *request);
sr_answer sr_do_lock(sr_region *region, sr_request *request);
sr_answer sr_do_unlock(sr_region *region, sr_request *request);
sr_answer sr_do_hold(sr_region *region, sr_request *request);
sr_answer sr_do_unhold(sr_region *region, sr_request *request);
sr_answer sr_do_copy(sr_region *region, sr_request *request);
sr_answer sr_do_list(sr_region *region, sr_request *request);
sr_answer sr_do_list_holds(sr_region *region, sr_request *request);
sr_answer sr_do_page_out(sr_region *region, sr_request *request);
sr_answer sr_do_prefetch(sr_region *region, sr_request *request);
sr_answer sr_do_reset(sr_region *region, sr_request *request);
sr_answer sr_do_map_pages(sr_region *region, sr_request *request);

/* The end of a window on which nobody relies. */
sr_answer sr_release_window(sr_region *region, sr_request *request);

/* A stretch of pages that are alike, inside a larger range. */
typedef struct sr_stretch {
    size_t first, count;
    sr_run run;
    char *address;
    size_t size;
} sr_stretch;

/* The stretch that begins at page `first`, ending at `end` at the latest. */
sr_stretch sr_stretch_at(const sr_region *region, size_t first, size_t end);

/* Refuse unless each page of the range is committed and allows `mode`. Touching a guard page ends its guarding. */
sr_answer sr_require(sr_region *region, sr_request *request, size_t first, size_t count, sr_protection mode);

/* Refuse if a hold relies on the range: with protection 0 on its being there at all. */
sr_answer sr_require_free(const sr_region *region, sr_request *request, unsigned protection);

#endif
