/* What the tests of stores and windows share: stores whose pages say who they are, and what a window really shows. */
#ifndef SR_STORE_CHECK_H
#define SR_STORE_CHECK_H

#include "region_check.h"
#include "store.h"

enum { PAGES = 16, PANES = 8 };

static size_t page;
static int owner; /* of every store: an address is all that it takes */
static const sr_store_kind kinds[] = {SR_STORE_SECRETMEM, SR_STORE_LOCKED};
static const char *const kind_names[] = {"secretmem", "locked"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

UNUSED static sr_store *made(sr_store_kind kind)
{
    sr_error error = {"", 0};
    sr_store *store = sr_store_make(kind, PAGES, &owner, &error);
    if (store == NULL) {
        printf("FAIL  %s: %lld\n", error.call, (long long)error.code);
        exit(1);
    }
    for (size_t i = 0; i < PAGES; i++) {
        memset(store->native.address + i * page, (int)('a' + i), page);
    }
    return store;
}

UNUSED static void make_window(sr_region *window)
{
    sr_error error = {"", 0};
    if (sr_region_reserve_window(window, PANES, &error) != 0) {
        printf("FAIL  %s: %lld\n", error.call, (long long)error.code);
        exit(1);
    }
}

UNUSED static sr_answer map_runs(sr_region *window, size_t first, size_t count, sr_store *store, const sr_store_run *runs,
                          sr_request *request)
{
    sr_request own;
    request = request != NULL ? request : &own;
    memset(request, 0, sizeof *request);
    request->verb = SR_MAP_PAGES;
    request->first = first;
    request->count = count;
    request->store = store;
    request->store_runs = runs;
    return through_the_door(window, request);
}

UNUSED static sr_answer map_pages(sr_region *window, size_t first, sr_store *store, size_t from, size_t count)
{
    sr_store_run run = {from, count};
    return map_runs(window, first, count, store, &run, NULL);
}

UNUSED static sr_answer unmap(sr_region *window, size_t first, size_t count)
{
    return map_runs(window, first, count, NULL, NULL, NULL);
}

/* "ab--": the page that each pane really shows, by what is to be read there. */
UNUSED static const char *shown(const sr_region *window)
{
    static char text[PANES + 1];
    seen_page seen_pages[PANES];
    look_at(window->address, PANES, seen_pages);
    for (size_t i = 0; i < PANES; i++) {
        const char *at = window->address + i * page;
        text[i] = seen_pages[i].permissions[0] != 'r' ? '-' : at[0] == at[page - 1] ? at[0] : '?';
    }
    return text;
}

/* The same by the books; the two must agree. */
UNUSED static int is_shown(const sr_region *window, const char *expected)
{
    char booked[PANES + 1] = "";
    for (size_t i = 0; i < PANES; i++) {
        const sr_pane *pane = &window->window->panes[i];
        unsigned protection = window->pages.runs[sr_pagemap_find(&window->pages, i)].protection;
        booked[i] = pane->store == NULL ? '-' : (char)('a' + pane->page);
        if ((protection != 0) != (pane->store != NULL)) {
            booked[i] = '!';
        }
    }
    if (strcmp(booked, expected) != 0 || strcmp(shown(window), expected) != 0) {
        printf("      expected %s, books %s, kernel %s\n", expected, booked, shown(window));
        return 0;
    }
    return 1;
}

UNUSED static void end_store(sr_store *store)
{
    sr_error error;
    CHECK("  the store ends", sr_store_end(store, &error) == 0);
    sr_store_let_go(store);
}

static int has_secretmem(void)
{
    sr_error error;
    sr_store *store = sr_store_make(SR_STORE_SECRETMEM, 1, &owner, &error);
    if (store != NULL) {
        sr_store_let_go(store);
    }
    return store != NULL;
}

/* `test` with each kind of store that this kernel has. */
UNUSED static void with_each_kind(void (*test)(sr_store_kind kind))
{
    sr_error error = {"", 0};
    if (sr_generation_begin(sr_stores_forget, &error) != 0) {
        exit(1);
    }
    page = sr_os_page_size();
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i] == SR_STORE_SECRETMEM && !has_secretmem()) {
            printf("skip stores of secret memory: this kernel has none to give (memfd_secret, or the lock limit)\n");
            continue;
        }
        printf("ok    %s:\n", kind_names[i]);
        test(kinds[i]);
    }
}

#endif
