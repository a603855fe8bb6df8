/* Regions: reserved address space whose pages are reserved or committed, and what may be done to them when. A mapped
 * view of a section is one too, all of it committed, with a limit to what its pages may become; and a window, whose pages
 * are a store's where it shows some, and reserved elsewhere.
 *
 * The layers, from below: sr_os.h makes the system calls, pagemap.h remembers each page's state, this file decides.
 * Every verb is one sr_region_do() under the region's mutex: check, then system calls, then write down. If any call
 * fails, what was done before it is undone, and nothing has changed.
 *
 * In: a request in whole pages (or bytes, for copying). Out: SR_DONE, or why not with the page it failed on. Called by
 * the native module and by C tests. Can fail: the system calls, the heap, and whatever a hold forbids.
 *
 * A hold is somebody's reliance on a range: a View that lets Python write there, a secure handle, the kernel's own
 * seal, a call that is copying or flushing. While it lasts the range is not given back nor made stricter than the hold's mode. What "stricter" means is the
 * Windows kernel's answer: a page that can be executed can be read, and a guard page satisfies nobody.
 */
#ifndef SR_REGION_H
#define SR_REGION_H

#include "pagemap.h"
#include "sr_os.h"
#include "store.h"

typedef enum sr_hold_kind {
    SR_HOLD_VIEW,
    SR_HOLD_SECURE,
    SR_HOLD_PERMANENT,
    SR_HOLD_CALL /* as a View's, for as long as a call takes: a child has no thread that could end it */
} sr_hold_kind;

typedef struct sr_hold {
    uint64_t id;
    size_t first, count;
    sr_protection mode; /* SR_READ_ONLY: must stay readable; SR_READ_WRITE: writable; SR_NO_ACCESS: must stay there */
    sr_hold_kind kind;
} sr_hold;

typedef enum sr_region_kind { SR_KIND_PRIVATE, SR_KIND_LARGE, SR_KIND_MAPPED, SR_KIND_WINDOW } sr_region_kind;

typedef struct sr_region {
    char *address;     /* NULL once released */
    size_t page_size;  /* bytes; the large page's in a region of large pages */
    sr_pagemap pages;
    sr_hold *holds;
    size_t hold_count, hold_room;
    uint64_t latest_hold;
    uint64_t generation;
    sr_mutex mutex;
    sr_region_kind kind;
    unsigned allowed;  /* the protections and modifiers that its pages may have */
    sr_window *window; /* of SR_KIND_WINDOW: what its pages show */
} sr_region;

typedef enum sr_verb {
    SR_COMMIT,      /* with `protection`; committed pages keep their content and get it too */
    SR_DECOMMIT,
    SR_RELEASE,     /* the whole region */
    SR_PROTECT,     /* `protection` in, the first page's old one out; `runs` out if `wants_runs` */
    SR_LOCK,
    SR_UNLOCK,
    SR_HOLD,        /* `mode`, `kind` in, `hold` out */
    SR_UNHOLD,      /* `hold` in */
    SR_COPY_OUT,    /* `offset`, `size` in bytes, to `memory`; to NULL: only the checks */
    SR_COPY_IN,     /* from `memory` */
    SR_FILL,        /* with `byte` */
    SR_LIST,        /* `runs` out */
    SR_LIST_HOLDS,  /* `holds` out */
    SR_MAP_PAGES,   /* in a window: `store_runs` of `store`, in order, SR_READ_WRITE; with no store nothing, reserved */
    SR_PAGE_OUT,    /* of what is not locked */
    SR_PREFETCH,    /* only the check, and a hold, `hold` out: the pages are fetched without the mutex */
    SR_RESET,       /* what pages hold may be lost */
    SR_UNDO_RESET   /* `is_whole` out */
} sr_verb;

typedef enum sr_answer {
    SR_DONE = 0,
    SR_FAILED,         /* `error` says which call */
    SR_NO_HEAP,
    SR_IS_RELEASED,
    SR_NOT_COMMITTED,  /* `page`, as for the following */
    SR_FORBIDDEN,      /* `found`: the page's protection does not allow it */
    SR_GUARD_TOUCHED,  /* it was a guard page, and no longer is */
    SR_HELD,           /* `held`: a hold forbids it */
    SR_NOT_LOCKED,
    SR_TOO_MANY_LOCKS,
    SR_WOULD_UNLOCK,   /* this system unlocks pages that become inaccessible */
    SR_STAYS_COMMITTED, /* large pages, and those of views, cannot be given back one by one */
    SR_NOT_ALLOWED,    /* more than the view was made with */
    SR_IS_WINDOW,      /* what nobody does with physical pages: commit, decommit, lock, move or drop them */
    SR_IS_PARENTS,     /* a window, in a child: its pages are not there */
    SR_STORE_RELEASED, /* or in a child */
    SR_SHOWN_ELSEWHERE, /* `store_page` is in this or another window already */
    SR_NO_SUCH_HOLD,
    SR_IS_LOCKED,
    SR_NOT_PRIVATE     /* a view's contents are its section's */
} sr_answer;

typedef struct sr_request {
    sr_verb verb;
    size_t first, count;     /* pages; for copying they are derived */
    size_t offset, size;     /* bytes */
    unsigned protection;
    void *memory;
    unsigned char byte;
    int wants_runs;
    sr_protection mode;
    sr_hold_kind kind;
    uint64_t hold;
    sr_run *runs;            /* to be freed; each begins and ends inside the range that was asked about */
    size_t run_count;
    sr_hold *holds;          /* a copy, to be freed */
    size_t hold_count;
    int is_whole;            /* nothing was lost */
    sr_store *store;
    const sr_store_run *store_runs; /* of `count` pages altogether */
    /* on failure */
    sr_error error;
    size_t page;
    unsigned found;
    sr_hold held;
    size_t store_page;
} sr_request;

/* Reserve `page_count` pages. `alignment` is a multiple of a page, or 0; more than the system's granularity only where
 * parts of a reservation may be released. The region must not be moved afterwards. */
int sr_region_reserve(sr_region *region, size_t page_count, sr_place place, void *wish, size_t alignment,
                      sr_error *error);

/* Reserve and commit `page_count` large pages. */
int sr_region_reserve_large(sr_region *region, size_t page_count, unsigned protection, sr_error *error);

/* Take over a view of a section that was just mapped: `page_count` pages, all of them committed with `protection`, and
 * never to become anything that is not in `allowed`. Releasing it unmaps it. */
void sr_region_adopt(sr_region *region, void *address, size_t page_count, unsigned protection, unsigned allowed);

/* Reserve `page_count` pages of address space in which pages of stores can be shown. `error` with the call "malloc" is
 * no heap. */
int sr_region_reserve_window(sr_region *region, size_t page_count, sr_error *error);

/* Do what is asked, with the region's mutex held. */
sr_answer sr_region_do(sr_region *region, sr_request *request);

/* Only the copying of a copying verb, without the mutex: for pages of a view, which may have to come from a disk. The
 * caller has a hold on them that allows it. */
sr_answer sr_region_copy(const sr_region *region, sr_request *request);

/* Forget the bookkeeping of a released or abandoned region. */
void sr_region_end(sr_region *region);

/* Whether pages with this protection satisfy a hold's mode. */
int sr_protection_allows(unsigned protection, sr_protection mode);

#endif
