/* What NetBSD tells of a process's mappings: an array of struct kinfo_vmentry. Compiled on every CI run; not yet run.
 *
 * The struct's offsets are what _os/bsdentries.py reads at; a test compares the two lists. Source: sys/sysctl.h,
 * sysctl(7) of NetBSD 10; sys/uvm/uvm_map.c, fill_vmentries().
 */
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#include <sys/sysctl.h>
#include <unistd.h>

#define AT(field, place) _Static_assert(offsetof(struct kinfo_vmentry, field) == place, #field)
AT(kve_start, 0);
AT(kve_end, 8);
AT(kve_offset, 16);
AT(kve_type, 24);
AT(kve_flags, 28);
AT(kve_wired_count, 36);
AT(kve_protection, 48);
AT(kve_inheritance, 60);
AT(kve_vn_fileid, 64);
AT(kve_vn_fsid, 80);
AT(kve_path, 104);
_Static_assert(sizeof(struct kinfo_vmentry) == 1128, "size");

/* The kernel takes no more room than this, for 929 mappings: a process with more of them cannot be listed. */
enum { MOST = (1 << 20) / sizeof(struct kinfo_vmentry) * sizeof(struct kinfo_vmentry) };

int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    int name[] = {CTL_VM, VM_PROC, VM_PROC_MAP, pid == 0 ? (int)getpid() : (int)pid, sizeof(struct kinfo_vmentry)};
    (void)is_detailed; /* there is one listing */
    *size = room < MOST ? room - room % sizeof(struct kinfo_vmentry) : MOST;
    if (sysctl(name, 5, buffer, size, NULL, 0) != 0) {
        return errno == ENOMEM && room < MOST ? 1 : failed(error, "sysctl(VM_PROC_MAP)");
    }
    return 0;
}
