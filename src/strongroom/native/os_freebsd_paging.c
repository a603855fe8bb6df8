/* What FreeBSD tells of faults, of its swap and of its address space. Compiled on every CI run; not yet run there.
 *
 * Source: sys/user.h, vm/vm_param.h and sysctl(3) of FreeBSD 14; kvm_getswapinfo(3) reads the same records.
 */
#include "os_posix_paging.h"

#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <unistd.h>
#include <vm/vm_param.h>

int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid};
    struct kinfo_proc told;
    size_t size = sizeof told;
    if (sysctl(name, 4, &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(KERN_PROC_PID)");
    }
    if (size != sizeof told || told.ki_structsize != (int)sizeof told) {
        return refused(error, "sysctl(KERN_PROC_PID)", size == 0 ? ESRCH : EILSEQ);
    }
    *minor = (uint64_t)told.ki_rusage.ru_minflt;
    *major = (uint64_t)told.ki_rusage.ru_majflt;
    return 0;
}

int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
{
    int name[CTL_MAXNAME];
    size_t length = CTL_MAXNAME - 1, page = sr_os_page_size();
    *count = 0;
    if (sysctlnametomib("vm.swap_info", name, &length) != 0) {
        return failed(error, "sysctl(vm.swap_info)");
    }
    for (;; ++*count) {
        struct xswdev told;
        size_t size = sizeof told;
        name[length] = (int)*count;
        if (sysctl(name, (u_int)length + 1, &told, &size, NULL, 0) != 0) {
            return errno == ENOENT ? 0 : failed(error, "sysctl(vm.swap_info)"); /* the one behind the last */
        }
        if (size != sizeof told || told.xsw_version != XSWDEV_VERSION) {
            return refused(error, "sysctl(vm.swap_info)", EILSEQ);
        }
        if (*count < room) {
            sr_page_file *file = &files[*count];
            memset(file, 0, sizeof *file);
            file->is_device = told.xsw_dev != NODEV;
            if (file->is_device) {
                snprintf(file->path, sizeof file->path, "/dev/%s", devname(told.xsw_dev, S_IFCHR));
            }
            file->size = (uint64_t)told.xsw_nblks * page;
            file->used = (uint64_t)told.xsw_used * page;
            file->priority = -1;
        }
    }
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_VM_LAYOUT, (int)getpid()};
    struct kinfo_vm_layout told;
    size_t size = sizeof told;
    if (sysctl(name, 4, &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(KERN_PROC_VM_LAYOUT)");
    }
    *start = told.kvm_min_user_addr;
    *end = told.kvm_max_user_addr;
    return 0;
}
