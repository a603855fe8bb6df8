/* Page out, prefetch, reset: what moves pages, or lets go of what they hold, and leaves their state alone.
 *
 * The system's own locks are asked for as well as ours: VirtualUnlock of a locked page is no paging out. What may have to
 * come from a disk is not waited for here: sr_do_prefetch() only checks, and keeps the pages there by a hold.
 */
#include "region_verbs.h"

#include "sr_os_paging.h"

static sr_answer require_unlocked(const sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    if (region->kind == SR_KIND_WINDOW) {
        return SR_IS_WINDOW;
    }
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (region->kind == SR_KIND_LARGE || part.run.locks != 0 || part.run.is_kept) {
            request->page = page;
            return SR_IS_LOCKED;
        }
        page += part.count;
    }
    return SR_DONE;
}

static char *place_of(const sr_region *region, const sr_request *request)
{
    return region->address + request->first * region->page_size;
}

sr_answer sr_do_page_out(sr_region *region, sr_request *request)
{
    char *address = place_of(region, request);
    size_t size = request->count * region->page_size;
    sr_answer outcome = sr_require(region, request, request->first, request->count, SR_NO_ACCESS);
    if (outcome == SR_DONE) {
        outcome = require_unlocked(region, request);
    }
    if (outcome != SR_DONE) {
        return outcome;
    }
    return sr_os_page_out(address, size, &request->error) != 0 ? SR_FAILED : SR_DONE;
}

sr_answer sr_do_prefetch(sr_region *region, sr_request *request)
{
    sr_answer outcome = sr_require(region, request, request->first, request->count, SR_READ_ONLY);
    request->kind = SR_HOLD_CALL;
    request->mode = SR_READ_ONLY;
    if (outcome == SR_DONE && region->kind == SR_KIND_WINDOW) { /* what is shown is there */
        return SR_IS_WINDOW;
    }
    return outcome != SR_DONE ? outcome : sr_do_hold(region, request);
}

sr_answer sr_do_reset(sr_region *region, sr_request *request)
{
    char *address = place_of(region, request);
    size_t size = request->count * region->page_size;
    int is_undone = request->verb == SR_UNDO_RESET, is_whole = 1;
    if (region->kind == SR_KIND_MAPPED) {
        return SR_NOT_PRIVATE;
    }
    sr_answer outcome =
        sr_require(region, request, request->first, request->count, is_undone ? SR_READ_WRITE : SR_NO_ACCESS);
    if (outcome == SR_DONE) {
        outcome = require_unlocked(region, request);
    }
    if (outcome == SR_DONE && !is_undone) {
        outcome = sr_require_free(region, request, 0);
    }
    if (outcome != SR_DONE) {
        return outcome;
    }
    if (is_undone ? sr_os_undo_reset(address, size, &is_whole, &request->error)
                  : sr_os_reset(address, size, &request->error)) {
        return SR_FAILED;
    }
    request->is_whole = is_whole;
    return SR_DONE;
}
