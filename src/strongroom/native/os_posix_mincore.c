/* Which pages are in memory, as mincore(2) tells it: where there is no page table to be read, and for this process alone.
 *
 * It answers for the object behind a page. Of a file's page it says whether anybody has it in memory, also if this
 * process never touched it; how often a page is mapped it does not say. macOS tells pages that were paged out, too (the
 * compressor included); the others tell those from pages that are nowhere by nothing. OpenBSD has had no mincore since 6.6.
 *
 * Sources: mincore(2) of Darwin, FreeBSD 14 and NetBSD 10; sys/mman.h of each.
 */
#define _GNU_SOURCE      /* Linux, where this is only tested */
#define _DARWIN_C_SOURCE /* macOS: what is not in POSIX */
#define __BSD_VISIBLE 1  /* FreeBSD */
#define _NETBSD_SOURCE   /* NetBSD */
#include "os_posix.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <sys/types.h>

#include <sys/mman.h>

/* Answers at a time, a byte for each page; they lie on the stack. And how many until who waits may be interrupted. */
enum { PAGES = 1024, MOST_PAGES = 1 << 20 };

#if !defined(MINCORE_INCORE)
#define MINCORE_INCORE 1 /* NetBSD and Linux: "the least significant bit" */
#endif
#if !defined(MINCORE_PAGED_OUT)
#define MINCORE_PAGED_OUT 0
#endif

static unsigned kinds_of(unsigned char told)
{
    return told & MINCORE_INCORE ? SR_PAGES_RESIDENT : told & MINCORE_PAGED_OUT ? SR_PAGES_SWAPPED : 0;
}

int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error)
{
    unsigned char told[PAGES];
    uint64_t asked = 0;
    size_t page = sr_os_page_size();
    *count = 0;
    if (pid != 0) {
        return lacking(error, "mincore(another process)");
    }
    while (start < end) {
        if (asked >= MOST_PAGES && (*count == 0 || runs[*count - 1].end != start)) {
            break; /* between two runs: none is told in two parts */
        }
        uint64_t pages = (end - start) / page < PAGES ? (end - start) / page : PAGES;
        asked += pages;
        /* char, unsigned char; const or not: each system declares another one. */
        if (mincore((void *)(uintptr_t)start, (size_t)pages * page, (void *)told) != 0) {
            return failed(error, "mincore");
        }
        for (uint64_t i = 0; i < pages; i++, start += page) {
            unsigned kinds = kinds_of(told[i]);
            sr_page_run *last = *count == 0 ? NULL : &runs[*count - 1];
            if (kinds == 0) {
                continue;
            }
            if (last != NULL && last->end == start && last->kinds == kinds) {
                last->end += page;
            } else if (*count == room) {
                *reached = start;
                return 0;
            } else {
                runs[(*count)++] = (sr_page_run){start, start + page, kinds};
            }
        }
    }
    *reached = start;
    return 0;
}
