/* Runs of pages: find, split, change, merge. pagemap.h says what for. */
#include "pagemap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void sr_pagemap_begin(sr_pagemap *map, size_t page_count)
{
    memset(map, 0, sizeof *map);
    map->page_count = page_count;
    map->run_count = 1;
    map->room = SR_FEW_RUNS;
    map->runs = map->few;
}

void sr_pagemap_end(sr_pagemap *map)
{
    if (map->runs != map->few) {
        free(map->runs);
    }
    memset(map, 0, sizeof *map);
}

int sr_pagemap_room(sr_pagemap *map)
{
    if (map->run_count + 2 <= map->room) {
        return 0;
    }
    /* Doubling. No overflow: a run describes at least a page, so their number is far below SIZE_MAX / 2. */
    size_t room = map->room * 2;
    sr_run *runs = malloc(room * sizeof *runs);
    if (runs == NULL) {
        return -1;
    }
    memcpy(runs, map->runs, map->run_count * sizeof *runs);
    if (map->runs != map->few) {
        free(map->runs);
    }
    map->runs = runs;
    map->room = room;
    return 0;
}

size_t sr_pagemap_end_of(const sr_pagemap *map, size_t index)
{
    return index + 1 < map->run_count ? map->runs[index + 1].first : map->page_count;
}

size_t sr_pagemap_find(const sr_pagemap *map, size_t page)
{
    assert(page < map->page_count);
    size_t low = 0, high = map->run_count; /* runs[low].first <= page < runs[high].first */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->runs[middle].first <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The index of the run that begins at `page`, made by cutting one in two if need be. */
static size_t cut(sr_pagemap *map, size_t page)
{
    if (page == map->page_count) {
        return map->run_count;
    }
    size_t index = sr_pagemap_find(map, page);
    if (map->runs[index].first == page) {
        return index;
    }
    assert(map->run_count < map->room);
    memmove(&map->runs[index + 2], &map->runs[index + 1], (map->run_count - index - 1) * sizeof *map->runs);
    map->runs[index + 1] = map->runs[index];
    map->runs[index + 1].first = page;
    map->run_count++;
    return index + 1;
}

static int is_alike(const sr_run *a, const sr_run *b)
{
    return a->locks == b->locks && a->protection == b->protection && a->is_kept == b->is_kept;
}

/* Merge neighbours that became alike among runs[low] .. runs[high], both included. */
static void merge(sr_pagemap *map, size_t low, size_t high)
{
    size_t kept = low;
    for (size_t i = low + 1; i <= high; i++) {
        if (!is_alike(&map->runs[kept], &map->runs[i])) {
            map->runs[++kept] = map->runs[i];
        }
    }
    memmove(&map->runs[kept + 1], &map->runs[high + 1], (map->run_count - high - 1) * sizeof *map->runs);
    map->run_count -= high - kept;
}

static void change_run(sr_run *run, sr_change change, unsigned protection)
{
    switch (change) {
    case SR_CHANGE_DECOMMIT:
        run->protection = 0;
        run->locks = 0;
        run->is_kept = 0;
        return;
    case SR_CHANGE_PROTECTION: run->protection = (uint16_t)protection; return;
    case SR_CHANGE_LOCK: run->locks++; return;
    case SR_CHANGE_UNLOCK:
        run->locks--;
        if (run->locks == 0) {
            run->is_kept = 0; /* asked again at the next lock: the other one may be gone by then */
        }
        return;
    case SR_CHANGE_KEEP: run->is_kept = 1; return;
    case SR_CHANGE_FORGET_LOCKS:
        run->locks = 0;
        run->is_kept = 0;
        return;
    }
}

void sr_pagemap_change(sr_pagemap *map, size_t first, size_t count, sr_change change, unsigned protection)
{
    assert(count != 0 && first < map->page_count && count <= map->page_count - first);
    size_t low = cut(map, first);
    size_t high = cut(map, first + count); /* after the first cut: it may have moved what follows */
    for (size_t i = low; i < high; i++) {
        change_run(&map->runs[i], change, protection);
    }
    merge(map, low == 0 ? 0 : low - 1, high == map->run_count ? high - 1 : high);
}
