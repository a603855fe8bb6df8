/* What every Unix says of paging alike: how often this process had to be given a page, getrusage(2), and the wish for
 * pages of which nothing is known, madvise(2).
 *
 * Where not all of a range is mapped Linux does what it is asked for the rest, and answers ENOMEM; without swap in the
 * kernel EBADF, of memory that is no file's. Whether the others do the rest their pages do not say.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD, which is Linux's, FreeBSD's and OpenBSD's */
#define _DARWIN_C_SOURCE
#define _NETBSD_SOURCE
#include "os_posix_paging.h"

#include <sys/time.h>
#include <sys/types.h>

#include <sys/mman.h>
#include <sys/resource.h>

int sr_os_faults(int64_t pid, int is_thread, uint64_t *minor, uint64_t *major, sr_error *error)
{
    struct rusage usage;
    int who = RUSAGE_SELF;
    if (pid != 0) {
        return sr_posix_faults_of(pid, minor, major, error);
    }
    if (is_thread) {
#ifdef RUSAGE_THREAD
        who = RUSAGE_THREAD;
#else
        return lacking(error, "getrusage(RUSAGE_THREAD)");
#endif
    }
    if (getrusage(who, &usage) != 0) {
        return failed(error, is_thread ? "getrusage(RUSAGE_THREAD)" : "getrusage(RUSAGE_SELF)");
    }
    *minor = (uint64_t)usage.ru_minflt;
    *major = (uint64_t)usage.ru_majflt;
    return 0;
}

int sr_os_prefetch_all(const sr_range *ranges, size_t count, sr_error *error)
{
    for (size_t i = 0; i < count; i++) {
        size_t before = (uintptr_t)ranges[i].address % sr_os_page_size();
        char *start = (char *)ranges[i].address - before; /* the kernel rounds the end up itself */
        if (madvise(start, before + ranges[i].size, MADV_WILLNEED) != 0 && errno != ENOMEM && errno != EBADF) {
            const char *call = "madvise(MADV_WILLNEED)";
            return errno == ENOSYS ? lacking(error, call) : failed(error, call);
        }
    }
    return 0;
}
