/* The part of the OS contract that is macOS's own. Compiled on every CI run; not yet run on a Mac.
 *
 * macOS has Mach's inheritance and nothing else of what Linux offers per page: no way to leave memory out of
 * a core, none to hand a child zeros, no secret memory. It also has nothing that would collapse or merge
 * private pages behind our back, but there is no call that promises it, so those two are reported as
 * unsupported as well: a promise nobody made is not one that can be asked for.
 */
#define _DARWIN_C_SOURCE /* minherit, beside the POSIX names */
#include "os_posix.h"
#include "sr_os.h"

#include <errno.h>
#include <mach/vm_inherit.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Neither madvise(2) nor mmap(2) knows anything of cores. Cores are off by default (RLIMIT_CORE is 0), and
 * the crash reporter's text reports hold registers and stack traces, not memory. */
int sr_os_advise_no_dump(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "madvise(MADV_NOCORE)");
}

/* minherit(2). The child has a hole there. */
int sr_os_advise_not_in_child(void *address, size_t size, sr_error *error)
{
    return minherit(address, size, VM_INHERIT_NONE) != 0 ? failed(error, "minherit(VM_INHERIT_NONE)") : 0;
}

/* The kernel has four inheritances (mach/vm_inherit.h): share, copy, none, and donate, which it refuses. */
int sr_os_advise_wipe_in_child(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "minherit(INHERIT_ZERO)");
}

/* Only the soft limit: children inherit it, and one that wants cores of its own must be able to raise it.
 *
 * Not ptrace(PT_DENY_ATTACH): it keeps debuggers out, not dumps, and it ends a process that is being debugged
 * on the spot, before the message that explains why would be out. The crash reporter cannot be switched off
 * from inside: with the task's exception port cleared, the kernel falls back to the host's. */
int sr_os_forbid_dumps(sr_error *error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) {
        return failed(error, "getrlimit(RLIMIT_CORE)");
    }
    limit.rlim_cur = 0;
    return setrlimit(RLIMIT_CORE, &limit) != 0 ? failed(error, "setrlimit(RLIMIT_CORE)") : 0;
}
