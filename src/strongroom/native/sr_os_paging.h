/* A part of the OS contract: pages that leave memory and come back, and where to.
 *
 * The rules of sr_os.h hold. What a system is told here is advice: that it said yes means nothing, so whoever wants to know
 * what became of it counts with sr_os_resident() before and after. Contents are lost by sr_os_reset() alone.
 */
#ifndef SR_OS_PAGING_H
#define SR_OS_PAGING_H

#include "sr_os.h"

/* A number that the system does not tell. */
#define SR_NOT_TOLD UINT64_MAX

/* How often a process touched a page that was not there: without a device having to be read, and with. Where both are
 * counted as one, `*minor` is all and `*major` SR_NOT_TOLD. `pid` 0 is this process, of which `is_thread` asks for the
 * calling thread alone. SR_UNSUPPORTED where other processes are told of in text (Linux). */
int sr_os_faults(int64_t pid, int is_thread, uint64_t *minor, uint64_t *major, sr_error *error);

/* How many pages of a range are in memory, whether this process has them mapped or not. Windows: in the working set. */
int sr_os_resident(void *address, size_t size, size_t *pages, sr_error *error);

/* Have the system take pages out of memory. They must not be locked: Windows would unlock them. */
int sr_os_page_out(void *address, size_t size, sr_error *error);

/* Have it bring them in; `is_waited`: return when they are there. They must be readable. */
int sr_os_prefetch(void *address, size_t size, int is_waited, sr_error *error);

/* Addresses, in bytes: laid out as Windows' WIN32_MEMORY_RANGE_ENTRY. */
typedef struct sr_range {
    void *address;
    size_t size;
} sr_range;

/* The wish alone, for several ranges at once, none of them empty or wrapped around. Nothing is required of their pages: what is
 * not there, or cannot be brought in, is passed over. */
int sr_os_prefetch_all(const sr_range *ranges, size_t count, sr_error *error);

/* Say that what private pages hold is not needed any more. They hold it still, or zeros, until they are written to. */
int sr_os_reset(void *address, size_t size, sr_error *error);

/* Take that back; the pages must be writable. `*is_whole` unless any of them may have lost what it held. */
int sr_os_undo_reset(void *address, size_t size, int *is_whole, sr_error *error);

/* A file or device that pages of private memory go to; sizes in bytes. */
typedef struct sr_page_file {
    char path[1024]; /* UTF-8 on Windows; nothing where the system has no name for it */
    uint64_t size, used;
    int64_t priority; /* -1 where there is none */
    int is_device;
} sr_page_file;

/* Up to `room` of them, and how many there are. SR_UNSUPPORTED where they are told in text (Linux). */
int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error);

/* The lowest address that a program can have, and the first beyond the highest. SR_UNSUPPORTED on Linux. */
int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error);

#endif
