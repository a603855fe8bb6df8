/* The part of the OS contract that is FreeBSD's, NetBSD's and OpenBSD's own. Compiled on every CI run; not
 * yet run on any of them.
 *
 * The three differ in what they have, not in how it is called, so the preprocessor asks for the feature and
 * never for the system:
 *
 *                              FreeBSD              NetBSD               OpenBSD
 *     left out of core dumps   MADV_NOCORE          -                    MAP_CONCEAL (see below)
 *     absent in a child        INHERIT_NONE         MAP_INHERIT_NONE     MAP_INHERIT_NONE
 *     zeros in a child         INHERIT_ZERO (2017)  MAP_INHERIT_ZERO     MAP_INHERIT_ZERO (5.6)
 *     getentropy               12.0                 10.0                 5.6
 *
 * Sources: madvise(2) and procctl(2) of FreeBSD 14, minherit(2) of FreeBSD (March 15, 2017) and OpenBSD 7.7,
 * getentropy(2 or 3) of all three, sys/mman.h of FreeBSD 14, NetBSD 10.1 and OpenBSD 7.
 */
#include "os_posix.h"
#include "sr_os.h"

#include <errno.h>
#include <sys/types.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#if __has_include(<sys/procctl.h>)
#include <sys/procctl.h>
#endif

/* OpenBSD's and NetBSD's names for FreeBSD's values. */
#if !defined(INHERIT_NONE) && defined(MAP_INHERIT_NONE)
#define INHERIT_NONE MAP_INHERIT_NONE
#endif
#if !defined(INHERIT_ZERO) && defined(MAP_INHERIT_ZERO)
#define INHERIT_ZERO MAP_INHERIT_ZERO
#endif

/* OpenBSD decides this when memory is mapped (MAP_CONCEAL; NetBSD has nothing of the kind) and offers no call that changes it afterwards.
 * Mapping the range anew with the flag would throw its contents away, which advice must not do; so the answer
 * is that this function cannot, under the name of the flag that could have. */
int sr_os_advise_no_dump(void *address, size_t size, sr_error *error)
{
#if defined(MADV_NOCORE)
    return madvise(address, size, MADV_NOCORE) != 0 ? failed(error, "madvise(MADV_NOCORE)") : 0;
#else
    (void)address;
    (void)size;
    return lacking(error, "mmap(MAP_CONCEAL)");
#endif
}

int sr_os_advise_not_in_child(void *address, size_t size, sr_error *error)
{
    return minherit(address, size, INHERIT_NONE) != 0 ? failed(error, "minherit(INHERIT_NONE)") : 0;
}

/* On a page that is not writable at the time OpenBSD refuses with EPERM (minherit(2), OpenBSD 7.7). */
int sr_os_advise_wipe_in_child(void *address, size_t size, sr_error *error)
{
    return minherit(address, size, INHERIT_ZERO) != 0 ? failed(error, "minherit(INHERIT_ZERO)") : 0;
}

/* FreeBSD's procctl(2) PROC_TRACE_CTL stops core dumps whatever the limits and kern.corefile say, debuggers
 * too; EBUSY while one is attached, and then the limit alone has to do. Only the soft limit is lowered:
 * children inherit it, and one that wants cores of its own must be able to raise it. */
int sr_os_forbid_dumps(sr_error *error)
{
    struct rlimit limit;
#if defined(PROC_TRACE_CTL)
    int disable = PROC_TRACE_CTL_DISABLE;
    (void)procctl(P_PID, 0, PROC_TRACE_CTL, &disable);
#endif
    if (getrlimit(RLIMIT_CORE, &limit) != 0) {
        return failed(error, "getrlimit(RLIMIT_CORE)");
    }
    limit.rlim_cur = 0;
    return setrlimit(RLIMIT_CORE, &limit) != 0 ? failed(error, "setrlimit(RLIMIT_CORE)") : 0;
}
