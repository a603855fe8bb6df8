/* Windows: pages of stores shown in a region, replaced and hidden, with the books of both in step.
 *
 * All or nothing. The books come first, and they say what the system is to do; what fails is undone in the same way,
 * from the old books. Pages are replaced in one step, without a moment in which nothing is there: where no mapping is
 * left (vm.max_map_count) what was hidden could not be shown again. But on Linux a window of secret memory is charged to
 * the lock limit before what it replaces is given back; so there, and where a page cannot be in two places even for a
 * moment (Windows), all of it is hidden first.
 */
#include "region_verbs.h"

#include <stdlib.h>

/* Have the system show what the panes say, instead of what is shown there now. -1 with an error if it does not, and then
 * only the first `*done` panes show something else than before, or nothing. */
static int show(const sr_region *region, size_t first, size_t count, size_t *done, sr_error *error)
{
    const sr_pane *panes = region->window->panes;
    size_t end = first + count;
    for (size_t i = first, alike; i < end; i += alike) {
        alike = sr_panes_alike(panes, i, end);
        char *address = region->address + i * region->page_size;
        int outcome = panes[i].store == NULL
            ? 0 : sr_os_store_show(&panes[i].store->native, panes[i].page, alike, address, error);
        *done = i - first + (outcome >= 0 ? alike : 0);
        if (outcome != 0) {
            return -1;
        }
    }
    return 0;
}

static int hide(const sr_region *region, size_t first, size_t count, sr_error *error)
{
    return sr_os_store_hide(region->address + first * region->page_size, count * region->page_size, error);
}

/* A page that is shown is READ_WRITE; the books may say something stricter. If that is refused it is hidden. */
static void protect_again(const sr_region *region, size_t first, size_t end)
{
    sr_error ignored;
    for (size_t page = first; page < end;) {
        sr_stretch part = sr_stretch_at(region, page, end);
        if (part.run.protection != 0 && part.run.protection != SR_READ_WRITE
            && sr_os_protect(part.address, part.size, (sr_protection)part.run.protection, &ignored) != 0) {
            (void)sr_os_store_hide(part.address, part.size, &ignored);
        }
        page += part.count;
    }
}

/* Bring back what was shown before in the first `count` panes, which show something else now, or nothing: each run for
 * itself, and if that is refused once more after hiding it, which may be what it takes where mappings are few. It was
 * there a moment ago; if it is not to be had all the same, the pages are stricter than the books say, until they are
 * mapped again. */
static void restore(const sr_region *region, size_t first, size_t count)
{
    sr_error ignored;
    const sr_pane *panes = region->window->panes;
    size_t end = first + count, done;
    for (size_t i = first, alike; i < end; i += alike) {
        alike = sr_panes_alike(panes, i, end);
        int is_back = panes[i].store != NULL && show(region, i, alike, &done, &ignored) == 0;
        if (!is_back && hide(region, i, alike, &ignored) == 0 && panes[i].store != NULL) {
            is_back = show(region, i, alike, &done, &ignored) == 0;
        }
        if (is_back) { /* else what was put there to keep others out would become a page of zeros */
            protect_again(region, i, i + alike);
        }
    }
}

static int shows_any(const sr_region *region, size_t first, size_t count)
{
    const sr_pane *panes = region->window->panes;
    return panes[first].store != NULL || sr_panes_alike(panes, first, first + count) < count;
}

static sr_answer map(sr_region *region, sr_request *request, sr_pane *before)
{
    size_t first = request->first, count = request->count, done = 0;
    int outcome = -1;
    sr_store *store = request->store;
    int is_shown = shows_any(region, first, count);
    int is_hidden = !is_shown;
    size_t page = sr_window_put(region->window, first, count, store, request->store_runs, before);
    if (store != NULL && page != store->native.page_count) {
        request->store_page = page;
        return SR_SHOWN_ELSEWHERE;
    }
    if (is_shown && (store == NULL || sr_os_store_is_exclusive())) {
        is_hidden = hide(region, first, count, &request->error) == 0;
    }
    if (is_hidden || (store != NULL && !sr_os_store_is_exclusive())) {
        outcome = show(region, first, count, &done, &request->error);
        if (outcome != 0 && !is_hidden && sr_os_is_lock_limit(&request->error)) {
            sr_error ignored;
            is_hidden = hide(region, first, count, &ignored) == 0;
            outcome = is_hidden ? show(region, first, count, &done, &request->error) : outcome;
        }
    }
    if (outcome != 0) {
        sr_window_put_back(region->window, first, count, before);
        restore(region, first, is_hidden ? count : done);
        return SR_FAILED;
    }
    sr_pagemap_change(&region->pages, first, count, store != NULL ? SR_CHANGE_PROTECTION : SR_CHANGE_DECOMMIT,
                      SR_READ_WRITE);
    sr_window_drop(before, count);
    return SR_DONE;
}

sr_answer sr_do_map_pages(sr_region *region, sr_request *request)
{
    if (region->kind != SR_KIND_WINDOW) {
        return SR_NOT_ALLOWED;
    }
    if (request->store != NULL && (request->store->is_ended || !sr_store_is_ours(request->store))) {
        return SR_STORE_RELEASED;
    }
    sr_answer outcome = sr_require_free(region, request, 0);
    if (outcome != SR_DONE) {
        return outcome;
    }
    if (request->count > SIZE_MAX / sizeof(sr_pane) || sr_pagemap_room(&region->pages) != 0) {
        return SR_NO_HEAP;
    }
    sr_pane *before = malloc(request->count * sizeof *before);
    if (before == NULL) {
        return SR_NO_HEAP;
    }
    outcome = map(region, request, before);
    free(before);
    return outcome;
}

/* In a child the pages are holes that were filled, unless somebody else was faster: nothing is given back there. */
sr_answer sr_release_window(sr_region *region, sr_request *request)
{
    sr_window *window = region->window;
    if (sr_window_is_ours(window)
        && sr_os_release(region->address, window->page_count * region->page_size, &request->error) != 0) {
        return SR_FAILED;
    }
    sr_window_end(window);
    region->window = NULL;
    sr_region_end(region);
    return SR_DONE;
}
