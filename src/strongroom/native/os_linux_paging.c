/* Pages that Linux takes out of memory and brings back.
 *
 * MADV_PAGEOUT writes a page to the swap and takes it out of the page table, but where others may still want it from the
 * swap cache it stays in memory: of 64 pages 48 did, for as long as nothing else needed the room, and to touch one was a minor
 * fault. Mapped once more, which reads nothing, and pushed again, unchanged since it was written, it goes, once that writing
 * has ended. So there is a second pass, or several. What remains is what the kernel keeps: pages that are shared after a
 * fork or by others, and those that were touched for the first time only just now, on another processor, in whose batch
 * they wait.
 *
 * MADV_FREE lets the kernel drop pages instead of writing them. One that is written to is kept; MADV_POPULATE_WRITE is
 * such a write that changes nothing. Whether a page was dropped before that the kernel tells nobody: it reads as zeros
 * then.
 *
 * mincore(2) counts what is in memory, the swap cache and the page cache included. Of files that this user could not write
 * to it says yes always (5.2).
 *
 * Source: madvise(2), mincore(2), man-pages 6.10; mm/madvise.c.
 */
#define _GNU_SOURCE
#include "os_linux_advice.h"
#include "os_posix_paging.h"

#include "sr_os_asking.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_FREE
#define MADV_FREE 8 /* Linux 4.5 */
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif

/* Pages, and runs of pages, asked about at a time: on the stack. */
enum { ANSWERS = 512, RUNS = 64 };
/* Nanoseconds: doubled from one to the other, 102 milliseconds together. */
enum { FIRST_PAUSE = 200000, LAST_PAUSE = 51200000 };

/* Advice that this kernel does not know is lacking, if nothing is wrong with the range itself. */
static int advise(void *address, size_t size, int advice, const char *call, sr_error *error)
{
    int result = advised(address, size, advice);
    if (result != 0 && errno == EINVAL && madvise(address, 0, advice) != 0 && errno == EINVAL) {
        return lacking(error, call);
    }
    return result != 0 ? refused(error, call, errno) : 0;
}

int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error)
{
    (void)pid;
    (void)minor;
    (void)major;
    return lacking(error, "read(/proc/PID/stat)");
}

/* Once more, for what is in memory still. It is a second try of what was done: no error of it counts. */
static void push_again(char *address, size_t size)
{
    unsigned char answers[ANSWERS];
    size_t page = sr_os_page_size();
    for (size_t done = 0; done < size;) {
        size_t count = (size - done) / page < ANSWERS ? (size - done) / page : ANSWERS, i = 0;
        if (mincore(address + done, count * page, answers) != 0) {
            return;
        }
        while (i < count) {
            size_t first = i;
            while (i < count && (answers[i] & 1) != 0) {
                i++;
            }
            if (i != first) {
                (void)madvise(address + done + first * page, (i - first) * page, MADV_POPULATE_READ);
                (void)madvise(address + done + first * page, (i - first) * page, MADV_PAGEOUT);
            }
            i += i == first;
        }
        done += count * page;
    }
}

/* How many pages have left the page table for the swap, and memory not yet. */
static size_t count_on_their_way(char *address, size_t size)
{
    sr_page_run runs[RUNS];
    sr_error ignored;
    uint64_t at = (uintptr_t)address, end = at + size;
    size_t count, resident, found = 0;
    while (at < end) {
        if (sr_os_page_runs(0, at, end, runs, RUNS, &count, &at, &ignored) != 0) {
            break; /* after PR_SET_DUMPABLE nobody without privilege is told */
        }
        for (size_t i = 0; i < count; i++) {
            void *start = (void *)(uintptr_t)runs[i].start;
            if (runs[i].kinds == SR_PAGES_SWAPPED
                && sr_os_resident(start, (size_t)(runs[i].end - runs[i].start), &resident, &ignored) == 0) {
                found += resident;
            }
        }
    }
    return found;
}

/* What is being written cannot go: it is waited for, a little and then longer, and a tenth of a second in all. */
int sr_os_page_out(void *address, size_t size, sr_error *error)
{
    size_t stays, now;
    if (advise(address, size, MADV_PAGEOUT, "madvise(MADV_PAGEOUT)", error) != 0) {
        return -1;
    }
    size_t leaving = count_on_their_way(address, size);
    if (leaving == 0 || sr_os_resident(address, size, &stays, error) != 0) {
        return 0;
    }
    for (long pause = FIRST_PAUSE; pause <= LAST_PAUSE; pause *= 2) {
        struct timespec wait = {0, pause};
        (void)nanosleep(&wait, NULL);
        push_again(address, size);
        if (sr_os_resident(address, size, &now, error) != 0 || now + leaving <= stays) {
            break;
        }
    }
    return 0;
}

/* A kernel before 5.14 cannot be waited for; it has the wish. */
int sr_os_prefetch(void *address, size_t size, int is_waited, sr_error *error)
{
    if (is_waited) {
        int result = advise(address, size, MADV_POPULATE_READ, "madvise(MADV_POPULATE_READ)", error);
        if (result == 0 || error->code != SR_UNSUPPORTED) {
            return result;
        }
    }
    return advise(address, size, MADV_WILLNEED, "madvise(MADV_WILLNEED)", error);
}

int sr_os_reset(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_FREE, "madvise(MADV_FREE)", error);
}

int sr_os_undo_reset(void *address, size_t size, int *is_whole, sr_error *error)
{
    static const unsigned char zeros[4096];
    unsigned char held[sizeof zeros];
    size_t page = sr_os_page_size();
    if (advise(address, size, MADV_POPULATE_WRITE, "madvise(MADV_POPULATE_WRITE)", error) != 0) {
        return -1;
    }
    int outcome = 0;
    *is_whole = 1;
    for (size_t done = 0; outcome == 0 && *is_whole && done < size; done += page) {
        int is_zeros = 1;
        for (size_t part = 0; outcome == 0 && is_zeros && part < page; part += sizeof held) {
            outcome = sr_os_copy(held, (char *)address + done + part, sizeof held, error);
            is_zeros = outcome == 0 && memcmp(held, zeros, sizeof held) == 0;
        }
        *is_whole = !is_zeros;
    }
    sr_os_wipe(held, sizeof held); /* no copy stays on the stack */
    return outcome;
}

int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
{
    (void)files;
    (void)room;
    (void)count;
    return lacking(error, "read(/proc/swaps)");
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    (void)start;
    (void)end;
    return lacking(error, "read(/proc/cpuinfo)");
}
