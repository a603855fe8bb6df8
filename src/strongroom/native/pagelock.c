/* Locks, counted per page.
 *
 * The systems do not count: on Linux and Windows one munlock or VirtualUnlock undoes any number of locks, so two users
 * of one page who each lock and unlock it would take the other's lock away. Here each page has a count, and the system
 * hears of the first lock and the last unlock.
 *
 * A page that somebody else had locked before (a call of the program's own, mlockall) stays locked when our last lock
 * goes: it is asked about when our first one comes. And a failed lock still locks: the part of a range before a hole,
 * or all of it, stays locked after ENOMEM (Linux), so what a failed call may have locked is unlocked again.
 */
#include "region_verbs.h"

/* Mark what others have locked in a stretch that we have not: whole if any page is, then halves, down to pages. */
static sr_answer mark_others(sr_region *region, size_t first, size_t count)
{
    if (!sr_os_is_locked(region->address + first * region->page_size, count * region->page_size)) {
        return SR_DONE;
    }
    if (count > 1) {
        sr_answer outcome = mark_others(region, first, count / 2);
        return outcome != SR_DONE ? outcome : mark_others(region, first + count / 2, count - count / 2);
    }
    if (sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    sr_pagemap_change(&region->pages, first, count, SR_CHANGE_KEEP, 0);
    return SR_DONE;
}

/* One stretch that nobody had locked. */
static int lock_stretch(const sr_stretch *part, sr_error *error)
{
    if (sr_os_lock(part->address, part->size, error) == 0) {
        return 0;
    }
    sr_error ignored, first = *error;
    if (sr_os_is_lock_limit(error) && sr_os_grow_lock_budget(part->size, &ignored) == 0
        && sr_os_lock(part->address, part->size, error) == 0) {
        return 0;
    }
    *error = first;
    return -1;
}

static int is_ours_to_change(const sr_stretch *part, uint32_t locks)
{
    return part->run.locks == locks && !part->run.is_kept;
}

/* Call the system for each stretch up to `end` that has `locks` locks and nobody else's: unlock, or lock again. */
static void undo(sr_region *region, size_t first, size_t end, uint32_t locks, int is_unlock)
{
    sr_error ignored;
    for (size_t page = first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (is_ours_to_change(&part, locks)) {
            (void)(is_unlock ? sr_os_unlock(part.address, part.size, &ignored)
                             : sr_os_lock(part.address, part.size, &ignored));
        }
        page += part.count;
    }
}

/* Our first locks forget what they found of others' when they come to nothing. */
static void forget_others(sr_region *region, size_t first, size_t end)
{
    for (size_t page = first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (part.run.locks == 0 && part.run.is_kept && sr_pagemap_room(&region->pages) == 0) {
            sr_pagemap_change(&region->pages, part.first, part.count, SR_CHANGE_FORGET_LOCKS, 0);
        }
        page += part.count;
    }
}

static sr_answer find_others(sr_region *region, size_t first, size_t end)
{
    forget_others(region, first, end);
    for (size_t page = first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        sr_answer outcome = part.run.locks == 0 ? mark_others(region, part.first, part.count) : SR_DONE;
        if (outcome != SR_DONE) {
            return outcome;
        }
        page += part.count;
    }
    return SR_DONE;
}

static sr_answer lock_range(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    if (sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        page += part.count;
        if (is_ours_to_change(&part, 0) && lock_stretch(&part, &request->error) != 0) {
            undo(region, request->first, page, 0, 1);
            return SR_FAILED;
        }
    }
    sr_pagemap_change(&region->pages, request->first, request->count, SR_CHANGE_LOCK, 0);
    return SR_DONE;
}

sr_answer sr_do_lock(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    if (region->kind == SR_KIND_WINDOW) {
        return SR_IS_WINDOW;
    }
    sr_answer outcome = sr_require(region, request, request->first, request->count, SR_READ_ONLY);
    for (size_t page = request->first; outcome == SR_DONE && page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (part.run.locks == UINT32_MAX) {
            request->page = page;
            outcome = SR_TOO_MANY_LOCKS;
        }
        page += part.count;
    }
    if (outcome == SR_DONE) {
        outcome = find_others(region, request->first, end);
    }
    if (outcome == SR_DONE) {
        outcome = lock_range(region, request);
    }
    if (outcome != SR_DONE) {
        forget_others(region, request->first, end);
    }
    return outcome;
}

sr_answer sr_do_unlock(sr_region *region, sr_request *request)
{
    size_t end = request->first + request->count;
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (part.run.locks == 0) {
            request->page = page;
            return part.run.protection == 0 ? SR_NOT_COMMITTED : SR_NOT_LOCKED;
        }
        page += part.count;
    }
    if (sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    for (size_t page = request->first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        page += part.count;
        if (is_ours_to_change(&part, 1) && sr_os_unlock(part.address, part.size, &request->error) != 0) {
            undo(region, request->first, page, 1, 0);
            return SR_FAILED;
        }
    }
    sr_pagemap_change(&region->pages, request->first, request->count, SR_CHANGE_UNLOCK, 0);
    return SR_DONE;
}
