/* What NetBSD tells of faults and of its address space. Compiled on every CI run; not yet run there.
 *
 * Source: sysctl(7) (kern.proc2, vm.minaddress, vm.maxaddress) and uvm/uvm_param.h of NetBSD 10.
 */
#define _NETBSD_SOURCE
#include "os_posix_paging.h"

#include <sys/types.h>

#include <sys/sysctl.h>
#include <uvm/uvm_param.h>

int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error)
{
    struct kinfo_proc2 told;
    size_t size = sizeof told;
    int name[] = {CTL_KERN, KERN_PROC2, KERN_PROC_PID, (int)pid, (int)sizeof told, 1};
    if (sysctl(name, 6, &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(KERN_PROC2)");
    }
    if (size != sizeof told) {
        return refused(error, "sysctl(KERN_PROC2)", size == 0 ? ESRCH : EILSEQ);
    }
    *minor = told.p_uru_minflt;
    *major = told.p_uru_majflt;
    return 0;
}

static int ask(int what, uint64_t *address, sr_error *error)
{
    int name[] = {CTL_VM, what};
    unsigned long told;
    size_t size = sizeof told;
    if (sysctl(name, 2, &told, &size, NULL, 0) != 0) {
        return failed(error, "sysctl(vm.maxaddress)");
    }
    *address = told;
    return 0;
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    return ask(VM_MINADDRESS, start, error) != 0 || ask(VM_MAXADDRESS, end, error) != 0 ? -1 : 0;
}
