/* How often this process had to be given a page, on every Unix: getrusage(2). */
#define _GNU_SOURCE /* RUSAGE_THREAD, which is Linux's, FreeBSD's and OpenBSD's */
#include "os_posix_paging.h"

#include <sys/time.h>
#include <sys/types.h>

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
