/* What macOS tells of faults, of its swap and of its address space. Compiled on every CI run; not yet run on a Mac.
 *
 * The swap is files that come and go, and only their sum is told. The addresses are the headers', which the system has
 * been built with.
 *
 * Source: sys/proc_info.h, sys/sysctl.h (vm.swapusage), mach/machine/vm_param.h, dynamic_pager(8).
 */
#define _DARWIN_C_SOURCE
#include "os_posix_paging.h"

#include <libproc.h>
#include <mach/vm_param.h>
#include <string.h>
#include <sys/sysctl.h>
#include <sys/types.h>

int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error)
{
    struct proc_taskinfo told;
    if (proc_pidinfo((int)pid, PROC_PIDTASKINFO, 0, &told, sizeof told) != (int)sizeof told) {
        return failed(error, "proc_pidinfo(PROC_PIDTASKINFO)");
    }
    uint32_t all = (uint32_t)told.pti_faults, read_in = (uint32_t)told.pti_pageins;
    *major = read_in;
    *minor = all > read_in ? all - read_in : 0; /* two counters, read one after the other */
    return 0;
}

int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
{
    struct xsw_usage told;
    size_t size = sizeof told;
    *count = 0;
    if (sysctlbyname("vm.swapusage", &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(vm.swapusage)");
    }
    if (told.xsu_total != 0 && room != 0) {
        memset(files, 0, sizeof *files);
        strncpy(files->path, "/private/var/vm/swapfile*", sizeof files->path - 1);
        files->size = told.xsu_total;
        files->used = told.xsu_used;
        files->priority = -1;
        *count = 1;
    }
    return 0;
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    (void)error;
    *start = MACH_VM_MIN_ADDRESS;
    *end = MACH_VM_MAX_ADDRESS;
    return 0;
}
