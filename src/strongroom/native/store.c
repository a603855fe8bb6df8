/* Stores and windows: the books. store.h has the story. */
#include "store.h"

#include "generation.h"
#include "sr_os_threads.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static sr_store *stores;   /* both guarded by SR_MUTEX_WINDOWS; in a child the parent's until sr_stores_forget */
static sr_window *windows;

int sr_store_is_ours(const sr_store *store)
{
    return store->generation == sr_generation();
}

int sr_window_is_ours(const sr_window *window)
{
    return window->generation == sr_generation();
}

/* ---- making and ending ---- */

static void free_store(sr_store *store)
{
    free(store->native.frames);
    free(store->shown);
    free(store);
}

static sr_store *room_for(sr_store_kind kind, size_t page_count)
{
    sr_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return NULL;
    }
    store->shown = calloc(page_count, 1);
    if (kind == SR_STORE_AWE) {
        store->native.frames = calloc(page_count, sizeof *store->native.frames);
    }
    if (store->shown == NULL || (kind == SR_STORE_AWE && store->native.frames == NULL)) {
        free_store(store);
        return NULL;
    }
    return store;
}

sr_store *sr_store_make(sr_store_kind kind, size_t page_count, void *owner, sr_error *error)
{
    assert(page_count != 0);
    sr_store *store = room_for(kind, page_count);
    if (store == NULL) {
        *error = (sr_error){"malloc", ENOMEM};
        return NULL;
    }
    store->native.kind = kind;
    store->native.page_count = page_count;
    store->owner = owner;
    sr_os_enter(SR_MUTEX_WINDOWS); /* no fork between its making and its being in the list */
    if (sr_os_store_make(&store->native, error) != 0) {
        sr_os_leave(SR_MUTEX_WINDOWS);
        free_store(store);
        return NULL;
    }
    store->generation = sr_generation();
    store->next = stores;
    if (stores != NULL) {
        stores->previous = store;
    }
    stores = store;
    sr_os_leave(SR_MUTEX_WINDOWS);
    return store;
}

static int end(sr_store *store, sr_error *error)
{
    if (store->is_ended) {
        return 0;
    }
    if (store->shown_count != 0) {
        return 1;
    }
    if (sr_os_store_end(&store->native, error) != 0) {
        return -1;
    }
    store->is_ended = 1;
    if (store->previous != NULL) {
        store->previous->next = store->next;
    } else {
        stores = store->next;
    }
    if (store->next != NULL) {
        store->next->previous = store->previous;
    }
    return 0;
}

int sr_store_end(sr_store *store, sr_error *error)
{
    int outcome = 0;
    sr_os_enter(SR_MUTEX_WINDOWS);
    if (sr_store_is_ours(store)) {
        outcome = end(store, error);
    }
    sr_os_leave(SR_MUTEX_WINDOWS);
    return outcome;
}

/* If the system does not take it back it stays, for the rest of the process: wiped, if it could be. */
static void end_unless_shown(sr_store *store)
{
    sr_error ignored;
    if (store->owner == NULL && end(store, &ignored) == 0) {
        free_store(store);
    }
}

void sr_store_let_go(sr_store *store)
{
    sr_os_enter(SR_MUTEX_WINDOWS);
    store->owner = NULL;
    if (sr_store_is_ours(store)) {
        end_unless_shown(store);
    } else {
        free_store(store); /* the placeholder stays: something else may be there by now */
    }
    sr_os_leave(SR_MUTEX_WINDOWS);
}

sr_window *sr_window_begin(char *address, size_t page_count)
{
    if (page_count > (SIZE_MAX - sizeof(sr_window)) / sizeof(sr_pane)) {
        return NULL;
    }
    sr_window *window = calloc(1, sizeof *window + page_count * sizeof *window->panes);
    if (window == NULL) {
        return NULL;
    }
    window->address = address;
    window->page_count = page_count;
    sr_os_enter(SR_MUTEX_WINDOWS);
    window->generation = sr_generation();
    window->next = windows;
    if (windows != NULL) {
        windows->previous = window;
    }
    windows = window;
    sr_os_leave(SR_MUTEX_WINDOWS);
    return window;
}

static void take(const sr_pane *pane)
{
    if (pane->store != NULL) {
        assert(!pane->store->shown[pane->page]);
        pane->store->shown[pane->page] = 1;
        pane->store->shown_count++;
    }
}

static void give_up(const sr_pane *pane)
{
    if (pane->store != NULL) {
        assert(pane->store->shown[pane->page]);
        pane->store->shown[pane->page] = 0;
        pane->store->shown_count--;
    }
}

void sr_window_end(sr_window *window)
{
    if (sr_window_is_ours(window)) {
        for (size_t i = 0; i < window->page_count; i++) {
            sr_pane pane = window->panes[i];
            give_up(&pane);
            sr_window_drop(&pane, 1);
        }
        if (window->previous != NULL) {
            window->previous->next = window->next;
        } else {
            windows = window->next;
        }
        if (window->next != NULL) {
            window->next->previous = window->previous;
        }
    }
    free(window);
}

/* ---- which page is where ---- */

void sr_window_put_back(sr_window *window, size_t first, size_t count, const sr_pane *before)
{
    for (size_t i = 0; i < count; i++) {
        give_up(&window->panes[first + i]);
    }
    for (size_t i = 0; i < count; i++) {
        window->panes[first + i] = before[i];
        take(&before[i]);
    }
}

size_t sr_window_put(sr_window *window, size_t first, size_t count, sr_store *store, const sr_store_run *runs,
                     sr_pane *before)
{
    assert(count != 0 && count <= window->page_count && first <= window->page_count - count);
    sr_pane *panes = window->panes + first;
    for (size_t i = 0; i < count; i++) {
        before[i] = panes[i];
        give_up(&panes[i]);
        panes[i] = (sr_pane){NULL, 0};
    }
    if (store == NULL) {
        return 0;
    }
    size_t i = 0;
    for (const sr_store_run *run = runs; i < count; run++) {
        for (size_t page = run->first; page < run->first + run->count; page++, i++) {
            assert(page < store->native.page_count);
            if (store->shown[page]) {
                sr_window_put_back(window, first, count, before);
                return page;
            }
            panes[i] = (sr_pane){store, page};
            take(&panes[i]);
        }
    }
    return store->native.page_count;
}

void sr_window_drop(sr_pane *before, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sr_store *store = before[i].store;
        if (store == NULL || store->shown_count != 0 || store->owner != NULL) {
            continue;
        }
        for (size_t later = i; later < count; later++) { /* it is gone in a moment */
            if (before[later].store == store) {
                before[later].store = NULL;
            }
        }
        end_unless_shown(store);
    }
}

size_t sr_panes_alike(const sr_pane *panes, size_t first, size_t end)
{
    size_t i = first + 1;
    while (i < end && panes[i].store == panes[first].store
           && (panes[i].store == NULL || panes[i].page == panes[i - 1].page + 1)) {
        i++;
    }
    return i - first;
}

/* ---- a forked child ---- */

void sr_stores_forget(void)
{
    for (sr_store *store = stores; store != NULL; store = store->next) {
        sr_os_store_forget(&store->native);
    }
    size_t page = sr_os_page_size();
    for (sr_window *window = windows; window != NULL; window = window->next) {
        for (size_t first = 0, count; first < window->page_count; first += count) {
            count = sr_panes_alike(window->panes, first, window->page_count);
            if (window->panes[first].store != NULL) {
                sr_os_fill_hole(window->address + first * page, count * page);
            }
        }
    }
    stores = NULL;
    windows = NULL;
}
