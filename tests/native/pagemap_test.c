/* The run table against a naive model that remembers each page by itself, on regions that exist nowhere. */
#include "pagemap.h"
#include "region_check.h"
#include "sr_os.h"

/* The sanitizers make it ten times as slow. */
enum { CHANGES = HAS_ASAN ? 60000 : 300000 };
enum { MOST = 48, REGIONS = 24, FEW_PAGES = 4 };

/* ---- a heap that fails when told to ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
static int is_heap_exhausted;

void *__wrap_malloc(size_t size)
{
    return is_heap_exhausted ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return is_heap_exhausted ? NULL : __real_realloc(memory, size);
}

/* ---- the model ---- */

typedef struct naive_page {
    uint32_t locks;
    unsigned protection, is_kept;
} naive_page;

static void change_naively(naive_page *pages, size_t first, size_t count, sr_change change, unsigned protection)
{
    for (naive_page *one = pages + first; one < pages + first + count; one++) {
        switch (change) {
        case SR_CHANGE_DECOMMIT: *one = (naive_page){0, 0, 0}; break;
        case SR_CHANGE_PROTECTION: one->protection = protection; break;
        case SR_CHANGE_LOCK: one->locks++; break;
        case SR_CHANGE_UNLOCK:
            if (--one->locks == 0) {
                one->is_kept = 0;
            }
            break;
        case SR_CHANGE_KEEP: one->is_kept = 1; break;
        case SR_CHANGE_FORGET_LOCKS: one->locks = one->is_kept = 0; break;
        }
    }
}

static int is_run(const sr_run *run, const naive_page *page)
{
    return run->locks == page->locks && run->protection == page->protection && run->is_kept == page->is_kept;
}

/* Sorted, neighbours differ, the first begins at 0, none begins behind the end, and there is room for all. */
static int is_in_order(const sr_pagemap *map)
{
    const sr_run *runs = map->runs;
    for (size_t i = 1; i < map->run_count; i++) {
        if (runs[i - 1].first >= runs[i].first
            || (runs[i - 1].locks == runs[i].locks && runs[i - 1].protection == runs[i].protection
                && runs[i - 1].is_kept == runs[i].is_kept)) {
            return 0;
        }
    }
    return map->run_count != 0 && map->run_count <= map->room && runs[0].first == 0
        && runs[map->run_count - 1].first < map->page_count;
}

static int is_as_the_model(const sr_pagemap *map, const naive_page *pages)
{
    for (size_t page = 0; page < map->page_count; page++) {
        size_t index = sr_pagemap_find(map, page);
        if (index >= map->run_count || map->runs[index].first > page || sr_pagemap_end_of(map, index) <= page
            || !is_run(&map->runs[index], &pages[page])) {
            return 0;
        }
    }
    return is_in_order(map);
}

static int may_unlock(const naive_page *pages, size_t first, size_t count)
{
    for (size_t page = first; page < first + count; page++) {
        if (pages[page].locks == 0) {
            return 0;
        }
    }
    return 1;
}

static void one_change(sr_pagemap *map, naive_page *pages, uint64_t *chance)
{
    static const unsigned protections[] = {SR_NO_ACCESS, SR_READ_ONLY, SR_READ_WRITE, SR_READ_WRITE | SR_GUARD};
    size_t first = below(chance, map->page_count), count = 1 + below(chance, map->page_count - first);
    sr_change change = (sr_change)below(chance, SR_CHANGE_FORGET_LOCKS + 1);
    unsigned protection = protections[below(chance, 4)];
    if (change == SR_CHANGE_FORGET_LOCKS && below(chance, 4) != 0) {
        change = SR_CHANGE_PROTECTION; /* or hardly any locks would ever be there */
    }
    if (below(chance, 2) == 0) {
        count = 1; /* many runs */
    }
    if (change == SR_CHANGE_UNLOCK && !may_unlock(pages, first, count)) {
        change = SR_CHANGE_LOCK;
    }
    sr_pagemap_change(map, first, count, change, protection);
    change_naively(pages, first, count, change, protection);
}

/* ---- tests ---- */

static void test_at_random(void)
{
    uint64_t chance = 0x2545F4914F6CDD1D;
    size_t most_runs = 0, wrong = 0, without_room = 0;
    for (size_t page_count = 1; page_count <= MOST; page_count += MOST / REGIONS) {
        sr_pagemap map;
        naive_page pages[MOST] = {{0, 0, 0}};
        sr_pagemap_begin(&map, page_count);
        for (int i = 0; i < CHANGES / REGIONS; i++) {
            without_room += sr_pagemap_room(&map) != 0 || map.room < map.run_count + 2;
            one_change(&map, pages, &chance);
            wrong += !is_as_the_model(&map, pages);
            most_runs = map.run_count > most_runs ? map.run_count : most_runs;
        }
        sr_pagemap_end(&map);
    }
    CHECK("after each of many random changes the runs are the model's pages, in order and merged", wrong == 0);
    CHECK("there was always room made", without_room == 0);
    CHECK("control: the tables grew onto the heap, and more than once", most_runs > 4 * SR_FEW_RUNS);
}

/* Every pair of changes of every two ranges, and a third one over all: all ways in which two ranges can meet. */
static void test_every_pair(void)
{
    enum { RANGES = FEW_PAGES * (FEW_PAGES + 1) / 2, KINDS = 4 };
    static const struct { sr_change change; unsigned protection; } kinds[KINDS] = {
        {SR_CHANGE_PROTECTION, SR_READ_WRITE}, {SR_CHANGE_PROTECTION, SR_READ_ONLY},
        {SR_CHANGE_LOCK, 0}, {SR_CHANGE_DECOMMIT, 0}};
    size_t firsts[RANGES], counts[RANGES], made = 0, wrong = 0, tried = 0;
    for (size_t first = 0; first < FEW_PAGES; first++) {
        for (size_t count = 1; first + count <= FEW_PAGES; count++) {
            firsts[made] = first;
            counts[made++] = count;
        }
    }
    for (size_t choice = 0; choice < (size_t)RANGES * KINDS * RANGES * KINDS * RANGES * KINDS; choice++) {
        size_t left = choice;
        sr_pagemap map;
        naive_page pages[FEW_PAGES] = {{0, 0, 0}};
        sr_pagemap_begin(&map, FEW_PAGES);
        for (int step = 0; step < 3; step++) {
            size_t range = left % RANGES, kind = left / RANGES % KINDS;
            left /= RANGES * KINDS;
            sr_pagemap_change(&map, firsts[range], counts[range], kinds[kind].change, kinds[kind].protection);
            change_naively(pages, firsts[range], counts[range], kinds[kind].change, kinds[kind].protection);
        }
        wrong += !is_as_the_model(&map, pages);
        tried++;
        sr_pagemap_end(&map);
    }
    CHECK("every three changes of four pages are the model's", wrong == 0);
    CHECK("and those were 64,000", tried == 64000);
}

static void test_huge(void)
{
    size_t count = (size_t)1 << 40, last = count - 1;
    sr_pagemap map;
    sr_pagemap_begin(&map, count);
    CHECK("2^40 reserved pages are one run", map.run_count == 1 && sr_pagemap_end_of(&map, 0) == count);
    sr_pagemap_change(&map, last, 1, SR_CHANGE_PROTECTION, SR_READ_WRITE);
    CHECK("the last page is a run of its own", map.run_count == 2 && map.runs[1].first == last
                                                  && sr_pagemap_end_of(&map, 1) == count);
    sr_pagemap_change(&map, 0, 1, SR_CHANGE_PROTECTION, SR_READ_ONLY);
    CHECK("and the first", map.run_count == 3 && map.runs[1].first == 1 && map.runs[2].first == last);
    CHECK("pages are found in them", sr_pagemap_find(&map, 0) == 0 && sr_pagemap_find(&map, 1) == 1
                                         && sr_pagemap_find(&map, last - 1) == 1 && sr_pagemap_find(&map, last) == 2);
    sr_pagemap_change(&map, 1, count - 2, SR_CHANGE_PROTECTION, SR_READ_WRITE);
    CHECK("the middle joins what it became like", map.run_count == 2 && map.runs[1].first == 1);
    sr_pagemap_change(&map, 0, count, SR_CHANGE_DECOMMIT, 0);
    CHECK("all of it at once is one run again", map.run_count == 1 && map.runs[0].protection == 0);
    CHECK("none of that took heap", map.runs == map.few);
    sr_pagemap_end(&map);
}

/* The whole of a map, for comparing. */
static int is_same(const sr_pagemap *map, const sr_pagemap *before, const sr_run *runs)
{
    return map->run_count == before->run_count && map->room == before->room && map->runs == before->runs
        && memcmp(map->runs, runs, map->run_count * sizeof *runs) == 0;
}

static void test_heap_exhausted(void)
{
    sr_pagemap map;
    sr_pagemap_begin(&map, 1000);
    int refusals = 0, unchanged = 0, rounds = 0;
    for (size_t page = 1; page < 600; page += 2) {
        if (map.run_count + 2 > map.room) {
            sr_pagemap before = map;
            sr_run *runs = malloc(map.run_count * sizeof *runs);
            memcpy(runs, map.runs, map.run_count * sizeof *runs);
            is_heap_exhausted = 1;
            refusals += sr_pagemap_room(&map) == -1 && sr_pagemap_room(&map) == -1;
            is_heap_exhausted = 0;
            unchanged += is_same(&map, &before, runs);
            free(runs);
            rounds++;
        }
        if (sr_pagemap_room(&map) != 0) {
            break;
        }
        sr_pagemap_change(&map, page, 1, SR_CHANGE_PROTECTION, SR_READ_WRITE);
    }
    CHECK("control: the table had to grow several times", rounds >= 5);
    CHECK("without heap each growth is refused", refusals == rounds);
    CHECK("and leaves the map as it was", unchanged == rounds);
    CHECK("and the next attempt succeeds", map.run_count == 601 && is_in_order(&map));
    sr_pagemap_end(&map);
}

/* The model's judgement is worth something: a table with one wrong run is found out. */
static void test_control(void)
{
    naive_page pages[8] = {{0, 0, 0}};
    sr_pagemap map;
    sr_pagemap_begin(&map, 8);
    sr_pagemap_change(&map, 2, 3, SR_CHANGE_LOCK, 0);
    change_naively(pages, 2, 3, SR_CHANGE_LOCK, 0);
    CHECK("control: a right table is right", is_as_the_model(&map, pages));
    map.runs[1].locks = 0;
    CHECK("control: neighbours that are alike are found", !is_in_order(&map) && !is_as_the_model(&map, pages));
    map.runs[1].locks = 2;
    CHECK("control: a wrong count is found", is_in_order(&map) && !is_as_the_model(&map, pages));
    sr_pagemap_end(&map);
}

int main(void)
{
    test_control();
    test_at_random();
    test_every_pair();
    test_huge();
    test_heap_exhausted();
    return check_result();
}
