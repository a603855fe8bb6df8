/* Stores of physical pages and windows: which page is where.
 *
 * A page is in one window at a time, and there once, as on Windows, though some systems could show it twice: so there is
 * one model, and who unmaps a page knows that nobody sees it any more.
 *
 * In: stores and windows, panes of a window by number. Out: answers, and the books. The system calls that make and end
 * stores are made here; those that show pages are region_window.c's, which keeps the two in step. Called by that, and
 * by the native module. Can fail: the system calls and the heap, before anything is changed.
 *
 * All of it is guarded by SR_MUTEX_WINDOWS, which is the mutex of every region that is a window, too: whoever shows a
 * page changes the books of a store, and there is no order in which two such mutexes could be taken.
 */
#ifndef SR_STORE_H
#define SR_STORE_H

#include "sr_os_physical.h"

typedef struct sr_store {
    sr_physical native;
    uint64_t generation;
    size_t shown_count;
    unsigned char *shown;     /* one a page: whether a window shows it */
    void *owner;              /* the object that users have; NULL once it is gone */
    int is_ended;
    struct sr_store *next, *previous;
} sr_store;

typedef struct sr_pane { /* of a window, one a page */
    sr_store *store;      /* NULL: nothing is shown there */
    size_t page;
} sr_pane;

typedef struct sr_window {
    char *address;
    size_t page_count;
    uint64_t generation;
    struct sr_window *next, *previous;
    sr_pane panes[];
} sr_window;

/* Consecutive pages of a store. */
typedef struct sr_store_run {
    size_t first, count;
} sr_store_run;

/* A new store; takes the mutex. NULL with the error of the call that failed, "malloc" included. */
sr_store *sr_store_make(sr_store_kind kind, size_t page_count, void *owner, sr_error *error);

/* Wipe it and give it back, if no window shows a page of it: -1 with the error, 1 if one does. Twice is fine. Takes the
 * mutex. */
int sr_store_end(sr_store *store, sr_error *error);

/* Its owner is gone: it ends now, or when the last page of it is hidden. Takes the mutex. */
void sr_store_let_go(sr_store *store);

/* Whether it, or a window, was made in this process: a child has no page of its parent's. */
int sr_store_is_ours(const sr_store *store);
int sr_window_is_ours(const sr_window *window);

/* The books of a window, which join the list of them. NULL: no heap. Takes the mutex; ending it needs it held, and hides
 * whatever the books say is shown: the address space is gone. */
sr_window *sr_window_begin(char *address, size_t page_count);
void sr_window_end(sr_window *window);

/* With the mutex, as the following. What lies in `count` panes from `first` on goes to `before`, and its pages are free;
 * then they get these runs of a store, in order, or nothing if `store` is NULL. If one of these pages is in another pane,
 * nothing has changed: the number of that page, else the store's page count. (With no store: 0.) */
size_t sr_window_put(sr_window *window, size_t first, size_t count, sr_store *store, const sr_store_run *runs,
                     sr_pane *before);

/* Undo sr_window_put: what `before` says is there again. */
void sr_window_put_back(sr_window *window, size_t first, size_t count, const sr_pane *before);

/* What was there before is hidden for good: stores that nobody has any more and of which nothing is shown end, and
 * `before` forgets them. */
void sr_window_drop(sr_pane *before, size_t count);

/* How many panes from `first` on, up to `end`, show consecutive pages of one store, or nothing. */
size_t sr_panes_alike(const sr_pane *panes, size_t first, size_t end);

/* In a child: placeholders where pages were, and an empty list. Async-signal-safe. */
void sr_stores_forget(void);

#endif
