/* Commit, decommit, release, protect: what changes the state of pages. */
#include "region_verbs.h"

#include "sr_os_mapping.h"

#include <stdlib.h>

sr_stretch sr_stretch_at(const sr_region *region, size_t first, size_t end)
{
    sr_stretch part;
    size_t index = sr_pagemap_find(&region->pages, first);
    size_t stop = sr_pagemap_end_of(&region->pages, index);
    part.first = first;
    part.count = (stop < end ? stop : end) - first;
    part.run = region->pages.runs[index];
    part.address = region->address + first * region->page_size;
    part.size = part.count * region->page_size;
    return part;
}

/* Where the pages end that look like `first` to a caller, who is not told of other people's locks. */
static size_t end_of_alike(const sr_region *region, size_t first, size_t end)
{
    sr_stretch part = sr_stretch_at(region, first, end), next = part;
    size_t page = first;
    do {
        page += next.count;
        if (page == end) {
            break;
        }
        next = sr_stretch_at(region, page, end);
    } while (next.run.protection == part.run.protection && next.run.locks == part.run.locks);
    return page;
}

sr_answer sr_do_list(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count, count = 0;
    for (size_t page = request->first; page < end; count++) {
        page = end_of_alike(region, page, end);
    }
    sr_run *runs = malloc((count + 1) * sizeof *runs); /* the last one only says where the others end */
    if (runs == NULL) {
        return SR_NO_HEAP;
    }
    size_t i = 0;
    for (size_t page = request->first; page < end; i++) {
        runs[i] = sr_stretch_at(region, page, end).run;
        runs[i].first = page;
        page = end_of_alike(region, page, end);
    }
    runs[i] = (sr_run){.first = end};
    request->runs = runs;
    request->run_count = count;
    return SR_DONE;
}

/* Put back what was, page by page as it is still written down, after a call that failed at `stop` or before. Undoing
 * asks for less than was there a moment ago; if even that is refused, the pages are stricter than the books say. */
static void put_back(sr_region *region, size_t first, size_t stop)
{
    sr_error ignored;
    for (size_t page = first; page < stop;) {
        sr_stretch part = sr_stretch_at(region, page, stop);
        if (part.run.protection == 0) {
            (void)sr_os_decommit(part.address, part.size, &ignored);
        } else {
            (void)sr_os_protect(part.address, part.size, (sr_protection)part.run.protection, &ignored);
        }
        page += part.count;
    }
}

/* Windows unlocks a page that becomes inaccessible, and says nothing (see sr_os_resting_protection). */
static int would_unlock(const sr_stretch *part, unsigned protection)
{
    return part->run.locks != 0 && (protection == SR_NO_ACCESS || (protection & SR_GUARD) != 0)
        && sr_os_resting_protection() != SR_NO_ACCESS;
}

static sr_answer change_protection(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    if ((request->protection & ~region->allowed) != 0) {
        return SR_NOT_ALLOWED;
    }
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (would_unlock(&part, request->protection)) {
            request->page = page;
            return SR_WOULD_UNLOCK;
        }
        page += part.count;
    }
    sr_protection wanted = (sr_protection)request->protection;
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        page += part.count;
        if (part.run.protection == 0 ? sr_os_commit(part.address, part.size, wanted, &request->error)
                                     : sr_os_protect(part.address, part.size, wanted, &request->error)) {
            put_back(region, request->first, page);
            return SR_FAILED;
        }
    }
    sr_pagemap_change(&region->pages, request->first, request->count, SR_CHANGE_PROTECTION, request->protection);
    return SR_DONE;
}

sr_answer sr_do_commit(sr_region *region, sr_request *request)
{
    if (region->kind == SR_KIND_WINDOW) {
        return SR_IS_WINDOW;
    }
    sr_answer outcome = sr_require_free(region, request, request->protection);
    if (outcome != SR_DONE) {
        return outcome;
    }
    return sr_pagemap_room(&region->pages) != 0 ? SR_NO_HEAP : change_protection(region, request);
}

sr_answer sr_do_protect(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (part.run.protection == 0) {
            request->page = page;
            return SR_NOT_COMMITTED;
        }
        page += part.count;
    }
    sr_answer outcome = sr_require_free(region, request, request->protection);
    if (outcome != SR_DONE) {
        return outcome;
    }
    unsigned old = sr_stretch_at(region, request->first, end).run.protection;
    if (sr_pagemap_room(&region->pages) != 0 || (request->wants_runs && sr_do_list(region, request) != SR_DONE)) {
        return SR_NO_HEAP;
    }
    outcome = change_protection(region, request);
    if (outcome == SR_DONE) {
        request->protection = old;
    } else {
        free(request->runs);
        request->runs = NULL;
        request->run_count = 0;
    }
    return outcome;
}

sr_answer sr_do_decommit(sr_region *region, sr_request *request)
{
    if (region->kind != SR_KIND_PRIVATE) {
        return region->kind == SR_KIND_WINDOW ? SR_IS_WINDOW : SR_STAYS_COMMITTED;
    }
    sr_answer outcome = sr_require_free(region, request, 0);
    if (outcome != SR_DONE) {
        return outcome;
    }
    if (sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    char *address = region->address + request->first * region->page_size;
    if (sr_os_decommit(address, request->count * region->page_size, &request->error) != 0) {
        return SR_FAILED;
    }
    sr_pagemap_change(&region->pages, request->first, request->count, SR_CHANGE_DECOMMIT, 0);
    return SR_DONE;
}

sr_answer sr_do_release(sr_region *region, sr_request *request)
{
    request->first = 0;
    request->count = region->pages.page_count;
    sr_answer outcome = sr_require_free(region, request, 0);
    if (outcome != SR_DONE) {
        return outcome;
    }
    size_t size = request->count * region->page_size;
    if (region->kind == SR_KIND_WINDOW) {
        return sr_release_window(region, request);
    }
    if (region->kind == SR_KIND_MAPPED ? sr_os_unmap_view(region->address, size, &request->error)
                                       : sr_os_release(region->address, size, &request->error)) {
        return SR_FAILED;
    }
    sr_region_end(region);
    return SR_DONE;
}
