/* A part of the OS contract: pages that may vanish, and pages of a file that only this process has.
 *
 * The rules of sr_os.h hold. Two promises are never confused here: nothing keeps these pages in memory; what they are for
 * is where their contents go when they leave it. Droppable ones go nowhere. A private file's go to that file and not to
 * the system's swap; of its last page only the part up to the end of the file goes there, the rest goes nowhere.
 */
#ifndef SR_OS_BACKING_H
#define SR_OS_BACKING_H

#include "sr_os.h"

/* Replace reserved pages by pages that the system may turn into zeros whenever it likes and never writes out, READ_WRITE
 * and zero-filled. SR_UNSUPPORTED, or the system's refusal, where there are none. */
int sr_os_droppable(void *address, size_t size, sr_error *error);

/* Pages of a private file. Elsewhere than on Windows a reservation like any other, and `file` is nothing. */
typedef struct sr_private_pages {
    unsigned char *reservation; /* guards included */
    size_t reserved_size;
    unsigned char *pages;
    intptr_t file; /* what has to be open for as long as they are there */
} sr_private_pages;

/* Make `size` bytes of pages of a new file of zeros in `directory`, shared with it, READ_WRITE, with at least a page that
 * nobody can touch on either side. The file ends `tail` bytes before the pages do, less than a page. Only its owner could
 * ever open it. It has no name when this returns and no descriptor either, and ends with its pages; where a file must
 * keep both (Windows) nobody else can open it, and it ends when this process does. Its space is taken here, so that a full
 * disk is an error now and not a fault later. While that is written a fork need not wait: a child closes the descriptor
 * (sr_os_private_forget, in the at-fork handler), and none is ever made of the pages. */
int sr_os_private_pages(const char *directory, size_t size, size_t tail, sr_private_pages *made, sr_error *error);

/* In a child, from the at-fork handler: let go of the files that other threads of the parent's were making. */
void sr_os_private_forget(void);

/* Have what these pages hold written to their file, and wait for the disk. Async-signal-safe. */
int sr_os_private_flush(intptr_t file, void *address, size_t size, sr_error *error);

/* Give pages and guards back, and with them the file. All or nothing. */
int sr_os_private_release(intptr_t file, void *reservation, size_t reserved_size, sr_error *error);

/* Whether what lies behind the end of a file in `directory`, `tail` bytes, vanishes when its last page is written: seen on
 * a file made for that. A file system in memory has nothing to write, and keeps it; it would go to swap with the rest.
 * SR_UNSUPPORTED there. */
int sr_os_drops_tails(const char *directory, size_t tail, sr_error *error);

/* Where the files of a directory lie, in the system's own words; nothing where it does not say. */
typedef struct sr_filesystem {
    char kind[64];     /* "ufs", "tmpfs"; SR_RAM_DISK for Windows' */
    char source[1024]; /* what is mounted: a device, a volume; cut if it does not fit */
} sr_filesystem;

#define SR_RAM_DISK "RAM disk"

/* Ask for that. SR_UNSUPPORTED on Linux, where mountinfo says more. */
int sr_os_filesystem(const char *directory, sr_filesystem *found, sr_error *error);

/* Give the space of such a file back to its file system now, as far as that can be said; the pages are zeros then.
 * SR_UNSUPPORTED, or the system's refusal, where it cannot: the space goes back when the pages do. */
int sr_os_punch(void *address, size_t size, sr_error *error);

/* Fetch pages whose contents may have to come from a device; to be written, with the room that this may take there, if
 * `is_written`, or only to be read. They must be as accessible. An error where that fails, which would be a fault at the
 * first touch. Where the system cannot be asked: nothing is done, and no error. */
int sr_os_fetch(void *address, size_t size, int is_written, sr_error *error);

/* Whether a page is in memory, so that to read it waits for no disk; yes where the system does not say. Async-signal-safe. */
int sr_os_is_present(void *page);

#endif
