/* Regions: making them, and the one door to everything that is done to them. region.h has the story. */
#include "region.h"

#include "generation.h"
#include "region_verbs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static sr_mutex next_mutex(void)
{
    static unsigned turn; /* under the GIL, or in a test's one thread; a lost count would only be less even */
    return (sr_mutex)(SR_MUTEX_REGIONS + turn++ % (SR_MUTEX_COUNT - SR_MUTEX_REGIONS));
}

static void begin(sr_region *region, void *address, size_t page_size, size_t page_count)
{
    memset(region, 0, sizeof *region);
    region->address = address;
    region->page_size = page_size;
    region->generation = sr_generation();
    region->mutex = next_mutex();
    region->allowed = ~0u;
    sr_pagemap_begin(&region->pages, page_count);
}

/* More than is needed, of which the middle is kept: only where parts of a reservation may be released. */
static int reserve_aligned(size_t size, size_t alignment, void **address, sr_error *error)
{
    sr_error ignored;
    if (size > SIZE_MAX - alignment) {
        error->call = "mmap";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    void *got = NULL;
    if (sr_os_reserve(size + alignment, SR_PLACE_ANYWHERE, &got, error) != 0) {
        return -1;
    }
    size_t before = (alignment - (uintptr_t)got % alignment) % alignment;
    char *start = (char *)got + before;
    if (before != 0 && sr_os_release(got, before, error) != 0) {
        (void)sr_os_release(got, size + alignment, &ignored);
        return -1;
    }
    if (sr_os_release(start + size, alignment - before, error) != 0) { /* never nothing: before is less */
        (void)sr_os_release(start, size + alignment - before, &ignored);
        return -1;
    }
    *address = start;
    return 0;
}

int sr_region_reserve(sr_region *region, size_t page_count, sr_place place, void *wish, size_t alignment,
                      sr_error *error)
{
    size_t size = page_count * sr_os_page_size();
    void *address = wish;
    assert(size / sr_os_page_size() == page_count);
    if (place == SR_PLACE_ANYWHERE && alignment > sr_os_granularity()
            ? reserve_aligned(size, alignment, &address, error)
            : sr_os_reserve(size, place, &address, error)) {
        return -1;
    }
    begin(region, address, sr_os_page_size(), page_count);
    return 0;
}

int sr_region_reserve_large(sr_region *region, size_t page_count, unsigned protection, sr_error *error)
{
    void *address;
    size_t page_size = sr_os_large_page_size();
    assert(page_size != 0 && page_count <= SIZE_MAX / page_size);
    if (sr_os_reserve_large(page_count * page_size, (sr_protection)protection, &address, error) != 0) {
        return -1;
    }
    begin(region, address, page_size, page_count);
    region->kind = SR_KIND_LARGE;
    sr_pagemap_change(&region->pages, 0, page_count, SR_CHANGE_PROTECTION, protection);
    return 0;
}

void sr_region_adopt(sr_region *region, void *address, size_t page_count, unsigned protection, unsigned allowed)
{
    begin(region, address, sr_os_page_size(), page_count);
    region->kind = SR_KIND_MAPPED;
    region->allowed = allowed;
    sr_pagemap_change(&region->pages, 0, page_count, SR_CHANGE_PROTECTION, protection);
}

int sr_region_reserve_window(sr_region *region, size_t page_count, sr_error *error)
{
    void *address;
    sr_error ignored;
    size_t size = page_count * sr_os_page_size();
    assert(size / sr_os_page_size() == page_count);
    if (sr_os_window_reserve(size, &address, error) != 0) {
        return -1;
    }
    sr_window *window = sr_window_begin(address, page_count);
    if (window == NULL) {
        (void)sr_os_release(address, size, &ignored);
        *error = (sr_error){"malloc", ENOMEM};
        return -1;
    }
    begin(region, address, sr_os_page_size(), page_count);
    region->kind = SR_KIND_WINDOW;
    region->allowed = SR_NO_ACCESS | SR_READ_ONLY | SR_READ_WRITE; /* what Windows allows physical pages */
    region->window = window;
    region->mutex = SR_MUTEX_WINDOWS;
    return 0;
}

void sr_region_end(sr_region *region)
{
    sr_pagemap_end(&region->pages);
    free(region->holds);
    region->holds = NULL;
    region->hold_count = region->hold_room = 0;
    region->address = NULL;
}

/* A child has the pages and their protections, but neither the locks (mlock(2)) nor anybody's secure handle, nor the
 * threads that were in a call. Views came along as objects, and the kernel's seal with the mapping. */
static void arrive_in_child(sr_region *region)
{
    size_t kept = 0;
    if (region->kind == SR_KIND_WINDOW) { /* nothing is there but what keeps others out */
        region->hold_count = 0;
        sr_pagemap_change(&region->pages, 0, region->pages.page_count, SR_CHANGE_DECOMMIT, 0);
        region->generation = sr_generation();
        return;
    }
    for (size_t i = 0; i < region->hold_count; i++) {
        sr_hold_kind kind = region->holds[i].kind;
        if (kind != SR_HOLD_SECURE && kind != SR_HOLD_CALL) {
            region->holds[kept++] = region->holds[i];
        }
    }
    region->hold_count = kept;
    /* The whole range: nothing is cut, so no room is needed. */
    sr_pagemap_change(&region->pages, 0, region->pages.page_count, SR_CHANGE_FORGET_LOCKS, 0);
    region->generation = sr_generation();
}

/* What a child can do with a window of its parent's: end it, and what was begun with it, and read the books. */
static int needs_pages(sr_verb verb)
{
    return verb != SR_RELEASE && verb != SR_UNHOLD && verb != SR_LIST && verb != SR_LIST_HOLDS;
}

sr_answer sr_region_do(sr_region *region, sr_request *request)
{
    request->runs = NULL;
    request->run_count = request->page = 0;
    request->found = 0; /* callers put answers into words by these, whichever call has failed */
    if (region->address == NULL) {
        return SR_IS_RELEASED;
    }
    if (region->generation != sr_generation()) {
        arrive_in_child(region);
    }
    if (region->kind == SR_KIND_WINDOW && !sr_window_is_ours(region->window) && needs_pages(request->verb)) {
        return SR_IS_PARENTS;
    }
    switch (request->verb) {
    case SR_COMMIT: return sr_do_commit(region, request);
    case SR_DECOMMIT: return sr_do_decommit(region, request);
    case SR_RELEASE: return sr_do_release(region, request);
    case SR_PROTECT: return sr_do_protect(region, request);
    case SR_LOCK: return sr_do_lock(region, request);
    case SR_UNLOCK: return sr_do_unlock(region, request);
    case SR_HOLD: return sr_do_hold(region, request);
    case SR_UNHOLD: return sr_do_unhold(region, request);
    case SR_COPY_OUT:
    case SR_COPY_IN:
    case SR_FILL: return sr_do_copy(region, request);
    case SR_LIST: return sr_do_list(region, request);
    case SR_LIST_HOLDS: return sr_do_list_holds(region, request);
    case SR_PAGE_OUT: return sr_do_page_out(region, request);
    case SR_PREFETCH: return sr_do_prefetch(region, request);
    case SR_RESET:
    case SR_UNDO_RESET: return sr_do_reset(region, request);
    case SR_MAP_PAGES: return sr_do_map_pages(region, request);
    }
    assert(!"a verb outside the enumeration");
    return SR_FAILED;
}
