/* A part of the OS contract: what a system tells of the memory of a process, this one or another.
 *
 * The rules of sr_os.h hold. `pid` 0 is this process, asked for anew each time: what a parent opened shows the parent.
 * Only reading: nothing here changes a page, or brings one into memory.
 */
#ifndef SR_OS_ASKING_H
#define SR_OS_ASKING_H

#include "listing.h"
#include "sr_os.h"

/* What the system tells of a process's mappings, as it tells it, the whole of it into `buffer`, `*size` bytes. Linux:
 * text, smaps if `is_detailed`, else maps. Elsewhere: the system's own records one behind the other, which _os/entries.py
 * and its neighbours parse, at offsets that each os_*_asking.c asserts. 1, without an error, if `room` is too small. No
 * rows at all is an answer: a kernel's thread, a zombie. */
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);

/* What of that there is for the pages at an address of this process, free ones included, where the system is asked
 * address by address (Windows); nothing beyond user space. 1 if there is no room for the longest path. */
int sr_os_entry_at(uintptr_t address, char *buffer, size_t room, size_t *size, sr_error *error);

/* The mapping of this process that `address` lies in, or the next one above it; 1 if there is none. As in maps, but
 * without reading all of it (Linux 6.11); `path` and `path_size` of `row` are places in `text`. What the path has of
 * newlines is as it is. A path longer than `room` is an error. */
int sr_os_mapping_at(uintptr_t address, sr_mapping *row, char *text, size_t room, sr_error *error);

/* What a page table says of pages that are alike. */
enum {
    SR_PAGES_RESIDENT = 1 << 0,
    SR_PAGES_SWAPPED = 1 << 1,
    SR_PAGES_EXCLUSIVE = 1 << 2,  /* mapped once, by this process */
    SR_PAGES_LOCKED = 1 << 3,     /* by whomever; */
    SR_PAGES_TELL_LOCKS = 1 << 4, /* without this bit nobody told. With it a run may be in neither, too */
    SR_PAGES_SHARES_SHIFT = 8     /* above: how many processes have the pages, 7 for more as well; 0 if nobody told */
};

typedef struct sr_page_run {
    uint64_t start, end; /* addresses */
    unsigned kinds;
} sr_page_run;

/* The pages between two addresses, whole pages, that are in memory or in a page file, sorted; in between are those that
 * are in neither as far as this page table knows. `*reached` is how far `room` runs went, or a fraction of a second's
 * reading, to be asked again from there: `end` if that was all. SR_UNSUPPORTED where only a process's own pages can be
 * asked about, and `pid` is not 0. */
int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error);

#endif
