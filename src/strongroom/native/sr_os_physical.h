/* A part of the OS contract: stores of physical pages, and the windows that show them.
 *
 * The rules of sr_os.h hold. A store is memory that is never written to swap. All of it is there from its making to its
 * end; a window is address space in which pages of it are shown, wherever and as often as one likes. It is Windows'
 * AWE, and this is what the systems make of it:
 *
 *     SR_STORE_AWE        frames of RAM that the memory manager does not page; they have no address but in a window
 *     SR_STORE_SECRETMEM  secret memory, mapped once; a window is a second mapping of a part of it, made by mremap(2)
 *                         with no old size, which needs no descriptor and carries the flags
 *     SR_STORE_LOCKED     shared memory that stays mapped and locked as a whole; a window maps a part of it again. A
 *                         page that is locked through one mapping is not evicted through another, so that windows may
 *                         come and go. (A window alone that was locked and moved on leaves pages that are swapped.)
 */
#ifndef SR_OS_PHYSICAL_H
#define SR_OS_PHYSICAL_H

#include "sr_os.h"

typedef enum sr_store_kind { SR_STORE_SECRETMEM, SR_STORE_LOCKED, SR_STORE_AWE } sr_store_kind;

typedef struct sr_physical {
    sr_store_kind kind;
    size_t page_count;
    char *address;      /* where all of it is mapped, for its whole life; NULL where frames have no address */
    intptr_t file;      /* -1 for none */
    uint64_t device, number; /* of that file: somebody else may have closed it, and its number be another's */
    uintptr_t *frames;  /* SR_STORE_AWE: room for one of each page, the caller's; else not looked at */
} sr_physical;

/* Fill in the rest of a store whose `kind`, `page_count` and `frames` say what it is to be. Zero-filled, read and
 * written, neither in core dumps nor in a forked child where the system can do that. All of it, or nothing. */
int sr_os_store_make(sr_physical *store, sr_error *error);

/* Overwrite what another user of the same RAM could find, as far as this process can reach it, and give it back. No
 * window shows a page of it. */
int sr_os_store_end(sr_physical *store, sr_error *error);

/* In a forked child: leave no hole where the store was, and no way to reach it. Async-signal-safe. */
void sr_os_store_forget(sr_physical *store);

/* Address space for a window, in which nothing is shown yet; sr_os_release gives it back. */
int sr_os_window_reserve(size_t size, void **address, sr_error *error);

/* Whether a page cannot be in two places even for a moment, so that what is shown must be hidden before it is replaced. */
int sr_os_store_is_exclusive(void);

/* Show `count` pages of a store from `first` on at an address of a window, SR_READ_WRITE, instead of what is shown there.
 * -1: it is as it was. 1, with an error, too: what was shown there is hidden. */
int sr_os_store_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error);

/* Show nothing there any more: reserved again, and inaccessible. On failure it is as it was. */
int sr_os_store_hide(void *address, size_t size, sr_error *error);

#endif
