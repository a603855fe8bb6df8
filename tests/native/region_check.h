/* What the tests of regions share: requests in one line, and the kernel's own word on each page of a range. */
#ifndef SR_REGION_CHECK_H
#define SR_REGION_CHECK_H

#include "chance.h"
#include "check.h"
#include "generation.h"
#include "region.h"

/* ThreadSanitizer, too, replaces mlock by nothing. */
#if defined(__SANITIZE_THREAD__)
#define HAS_NO_LOCKS 1
#else
#define HAS_NO_LOCKS HAS_ASAN
#endif

UNUSED static void nothing_in_child(void)
{
}

UNUSED static void begin_regions(void)
{
    sr_error error = {"", 0};
    if (sr_generation_begin(nothing_in_child, &error) != 0) {
        printf("FAIL  %s: %lld\n", error.call, (long long)error.code);
        exit(1);
    }
}

UNUSED static void reserve_pages(sr_region *region, size_t count)
{
    sr_error error = {"", 0};
    if (sr_region_reserve(region, count, SR_PLACE_ANYWHERE, NULL, 0, &error) != 0) {
        printf("FAIL  %s: %lld\n", error.call, (long long)error.code);
        exit(1);
    }
}

UNUSED static sr_answer through_the_door(sr_region *region, sr_request *request)
{
    sr_os_enter(region->mutex);
    sr_answer answer = sr_region_do(region, request);
    sr_os_leave(region->mutex);
    return answer;
}

/* One thing done with `count` pages from `first` on. */
UNUSED static sr_answer ask(sr_region *region, sr_verb verb, size_t first, size_t count, unsigned protection,
                            sr_request *request)
{
    sr_request own;
    if (request == NULL) {
        request = &own;
    }
    memset(request, 0, sizeof *request);
    request->verb = verb;
    request->first = first;
    request->count = count;
    request->protection = protection;
    return through_the_door(region, request);
}

/* The answer to a hold; its number is `*hold`. */
UNUSED static sr_answer ask_hold(sr_region *region, sr_hold_kind kind, sr_protection mode, size_t first,
                                 size_t count, uint64_t *hold)
{
    sr_request request = {.verb = SR_HOLD, .first = first, .count = count, .kind = kind, .mode = mode};
    sr_answer answer = through_the_door(region, &request);
    *hold = request.hold;
    return answer;
}

UNUSED static sr_answer ask_unhold(sr_region *region, uint64_t hold)
{
    sr_request request = {.verb = SR_UNHOLD, .hold = hold};
    return through_the_door(region, &request);
}

/* Copying or filling, in bytes. */
UNUSED static sr_answer ask_bytes(sr_region *region, sr_verb verb, size_t offset, size_t size, void *memory,
                                  sr_request *request)
{
    sr_request own;
    if (request == NULL) {
        request = &own;
    }
    memset(request, 0, sizeof *request);
    request->verb = verb;
    request->offset = offset;
    request->size = size;
    request->memory = memory;
    request->byte = 0x5A;
    return through_the_door(region, request);
}

/* ---- the kernel's word ---- */

typedef struct seen_page {
    char permissions[5]; /* empty where nothing is mapped */
    int is_locked;
} seen_page;

/* Each page of a range, from /proc/self/smaps in one reading. */
UNUSED static void look_at(const void *address, size_t count, seen_page *pages)
{
    unsigned long size = (unsigned long)sr_os_page_size(), low = (unsigned long)address;
    unsigned long begin = 0, end = 0, from, to;
    char line[512], permissions[5] = "", found[5];
    memset(pages, 0, count * sizeof *pages);
    FILE *smaps = fopen("/proc/self/smaps", "r");
    while (smaps != NULL && fgets(line, sizeof line, smaps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, found) == 3) { /* "Anonymous:" begins like a number, too */
            begin = from;
            end = to;
            memcpy(permissions, found, sizeof permissions);
        }
        if (strncmp(line, "VmFlags:", 8) != 0) {
            continue;
        }
        int is_locked = strstr(line, " lo") != NULL;
        for (size_t i = 0; i < count; i++) {
            if (begin <= low + i * size && low + i * size < end) {
                memcpy(pages[i].permissions, permissions, sizeof permissions);
                pages[i].is_locked = is_locked;
            }
        }
        if (begin > low + count * size) {
            break;
        }
    }
    if (smaps != NULL) {
        fclose(smaps);
    }
}

UNUSED static const char *permissions_of(unsigned protection)
{
    if ((protection & SR_GUARD) != 0) {
        return "---p";
    }
    switch (protection) {
    case SR_READ_ONLY: return "r--p";
    case SR_READ_WRITE: return "rw-p";
    case SR_EXECUTE:
    case SR_EXECUTE_READ: return "r-xp";
    case SR_EXECUTE_READ_WRITE: return "rwxp";
    default: return "---p";
    }
}

enum { MOST_PAGES = 256 };

/* The first page of which the kernel says something else than a region's books; the page count if there is none. */
UNUSED static size_t first_difference(const sr_region *region)
{
    seen_page pages[MOST_PAGES];
    const sr_pagemap *map = &region->pages;
    look_at(region->address, map->page_count, pages);
    for (size_t run = 0; run < map->run_count; run++) {
        for (size_t page = map->runs[run].first; page < sr_pagemap_end_of(map, run); page++) {
            int is_locked = map->runs[run].locks != 0;
            if (strcmp(pages[page].permissions, permissions_of(map->runs[run].protection)) != 0
                || (!HAS_NO_LOCKS && pages[page].is_locked != is_locked)) {
                return page;
            }
        }
    }
    return map->page_count;
}

UNUSED static int is_as_booked(const sr_region *region)
{
    return first_difference(region) == region->pages.page_count;
}

/* "rw-p rw-p/lo ---p": the kernel's word as one line of text, for comparing. */
UNUSED static const char *seen(const sr_region *region, size_t first, size_t count)
{
    static char text[MOST_PAGES * 8];
    seen_page pages[MOST_PAGES];
    size_t length = 0;
    look_at(region->address + first * region->page_size, count, pages);
    for (size_t i = 0; i < count; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s%s", i == 0 ? "" : " ",
                                   pages[i].permissions, pages[i].is_locked ? "/lo" : "");
    }
    return text;
}

#endif
