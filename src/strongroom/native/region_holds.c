/* Who may touch a page, and who relies on one: reading, writing, Views and secure handles. */
#include "region_verbs.h"

#include <stdlib.h>
#include <string.h>

/* Bytes written at a time when a range is filled; on the stack of a thread that may have little of it. */
#define FILL_STEP_SIZE ((size_t)4096)

#define WRITABLE (SR_READ_WRITE | SR_WRITE_COPY | SR_EXECUTE_READ_WRITE | SR_EXECUTE_WRITE_COPY)
#define READABLE (WRITABLE | SR_READ_ONLY | SR_EXECUTE | SR_EXECUTE_READ)

int sr_protection_allows(unsigned protection, sr_protection mode)
{
    unsigned allowing = mode == SR_READ_WRITE ? WRITABLE : READABLE;
    if (mode == SR_NO_ACCESS) {
        return protection != 0; /* whatever it is, it is there */
    }
    return (protection & SR_GUARD) == 0 && (protection & allowing) != 0;
}

sr_answer sr_require_free(const sr_region *region, sr_request *request, unsigned protection)
{
    for (size_t i = 0; i < region->hold_count; i++) {
        const sr_hold *hold = &region->holds[i];
        if (hold->first < request->first + request->count && request->first < hold->first + hold->count
            && (hold->kind == SR_HOLD_PERMANENT || !sr_protection_allows(protection, hold->mode))) {
            request->held = *hold;
            return SR_HELD;
        }
    }
    return SR_DONE;
}

/* As on Windows the first touch ends the guarding, here for touches through strongroom on every system. */
static sr_answer touch_guard(sr_region *region, sr_request *request, size_t page, unsigned protection)
{
    unsigned unguarded = protection & ~(unsigned)SR_GUARD;
    char *address = region->address + page * region->page_size;
    request->page = page;
    if (sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    if (sr_os_protect(address, region->page_size, (sr_protection)unguarded, &request->error) != 0) {
        return SR_FAILED;
    }
    sr_pagemap_change(&region->pages, page, 1, SR_CHANGE_PROTECTION, unguarded);
    return SR_GUARD_TOUCHED;
}

sr_answer sr_require(sr_region *region, sr_request *request, size_t first, size_t count, sr_protection mode)
{
    for (size_t page = first; page < first + count;) {
        sr_stretch part = sr_stretch_at(region, page, first + count);
        request->page = page;
        request->found = part.run.protection;
        if (part.run.protection == 0) {
            return SR_NOT_COMMITTED;
        }
        if (!sr_protection_allows(part.run.protection, mode)) {
            return SR_FORBIDDEN;
        }
        page += part.count;
    }
    return SR_DONE;
}

sr_answer sr_do_copy(sr_region *region, sr_request *request)
{
    size_t first = request->offset / region->page_size;
    size_t count = (request->offset + request->size - 1) / region->page_size - first + 1;
    sr_protection mode = request->verb == SR_COPY_OUT ? SR_READ_ONLY : SR_READ_WRITE;
    sr_answer outcome = sr_require(region, request, first, count, mode);
    if (outcome == SR_FORBIDDEN && (request->found & SR_GUARD) != 0) {
        return touch_guard(region, request, request->page, request->found);
    }
    if (outcome != SR_DONE) {
        return outcome;
    }
    return sr_region_copy(region, request);
}

sr_answer sr_region_copy(const sr_region *region, sr_request *request)
{
    char *place = region->address + request->offset;
    request->page = request->found = 0; /* as sr_region_do does: no page's protection is why the copying fails */
    if (request->memory == NULL && request->verb != SR_FILL) { /* only to be told whether it could be */
        return SR_DONE;
    }
    if (request->verb == SR_COPY_OUT) {
        return sr_os_copy(request->memory, place, request->size, &request->error) != 0 ? SR_FAILED : SR_DONE;
    }
    if (request->verb == SR_COPY_IN) {
        return sr_os_copy(place, request->memory, request->size, &request->error) != 0 ? SR_FAILED : SR_DONE;
    }
    char step[FILL_STEP_SIZE];
    memset(step, request->byte, sizeof step);
    for (size_t left = request->size; left != 0;) {
        size_t size = left < sizeof step ? left : sizeof step;
        if (sr_os_copy(place, step, size, &request->error) != 0) {
            return SR_FAILED;
        }
        place += size;
        left -= size;
    }
    return SR_DONE;
}

static int make_room(sr_region *region)
{
    if (region->hold_count < region->hold_room) {
        return 0;
    }
    size_t room = region->hold_room != 0 ? region->hold_room * 2 : 4;
    sr_hold *holds = realloc(region->holds, room * sizeof *holds);
    if (holds == NULL) {
        return -1;
    }
    region->holds = holds;
    region->hold_room = room;
    return 0;
}

sr_answer sr_do_hold(sr_region *region, sr_request *request)
{
    sr_answer outcome = sr_require(region, request, request->first, request->count, request->mode);
    int is_touch = request->kind == SR_HOLD_VIEW || request->kind == SR_HOLD_CALL;
    if (outcome == SR_FORBIDDEN && is_touch && (request->found & SR_GUARD) != 0) {
        return touch_guard(region, request, request->page, request->found);
    }
    if (outcome != SR_DONE) {
        return outcome;
    }
    if (make_room(region) != 0) {
        return SR_NO_HEAP;
    }
    char *address = region->address + request->first * region->page_size;
    if (request->kind == SR_HOLD_PERMANENT
        && sr_os_seal(address, request->count * region->page_size, &request->error) != 0) {
        return SR_FAILED;
    }
    request->hold = ++region->latest_hold;
    region->holds[region->hold_count++] =
        (sr_hold){request->hold, request->first, request->count, request->mode, request->kind};
    return SR_DONE;
}

sr_answer sr_do_unhold(sr_region *region, sr_request *request)
{
    for (size_t i = 0; i < region->hold_count; i++) {
        if (region->holds[i].id == request->hold) {
            region->holds[i] = region->holds[--region->hold_count];
            return SR_DONE;
        }
    }
    return SR_NO_SUCH_HOLD;
}

sr_answer sr_do_list_holds(sr_region *region, sr_request *request)
{
    size_t size = region->hold_count * sizeof *region->holds;
    request->holds = malloc(size + (size == 0));
    if (request->holds == NULL) {
        return SR_NO_HEAP;
    }
    request->hold_count = region->hold_count;
    if (size != 0) {
        memcpy(request->holds, region->holds, size);
    }
    return SR_DONE;
}
