/* What OpenBSD tells of faults, and what its headers say of address space. Compiled on every CI run; not yet run there.
 *
 * Which pages are in memory it tells nobody: mincore(2) went with 6.6, because of what others could see by it.
 *
 * Source: sysctl(2) (kern.proc) and machine/vmparam.h of OpenBSD 7.
 */
#define _BSD_SOURCE
#include "os_posix_paging.h"

#include <sys/param.h>
#include <sys/types.h>

#include <machine/vmparam.h>
#include <sys/sysctl.h>

int sr_os_resident(void *address, size_t size, size_t *pages, sr_error *error)
{
    (void)address;
    (void)size;
    (void)pages;
    return lacking(error, "mincore");
}

int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error)
{
    struct kinfo_proc told;
    size_t size = sizeof told;
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid, (int)sizeof told, 1};
    if (sysctl(name, 6, &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(KERN_PROC)");
    }
    if (size != sizeof told) {
        return refused(error, "sysctl(KERN_PROC)", size == 0 ? ESRCH : EILSEQ);
    }
    *minor = told.p_uru_minflt;
    *major = told.p_uru_majflt;
    return 0;
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    (void)error;
    *start = sr_os_page_size();
    *end = VM_MAXUSER_ADDRESS;
    return 0;
}
