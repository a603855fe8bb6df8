/* What FreeBSD tells of a process's mappings: struct kinfo_vmentry, each as long as it says itself. Compiled on every CI
 * run; not yet run.
 *
 * The struct's offsets are what _os/bsdentries.py reads at; a test compares the two lists. Source: sys/user.h,
 * kinfo_getvmmap(3) of FreeBSD 14; sys/kern/kern_proc.c, kern_proc_vmmap_out().
 */
#define __BSD_VISIBLE 1
#include "os_posix.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#include <sys/sysctl.h>
#include <sys/user.h>
#include <unistd.h>

#define AT(field, place) _Static_assert(offsetof(struct kinfo_vmentry, field) == place, #field)
AT(kve_structsize, 0);
AT(kve_type, 4);
AT(kve_start, 8);
AT(kve_end, 16);
AT(kve_offset, 24);
AT(kve_vn_fileid, 32);
AT(kve_flags, 44);
AT(kve_resident, 48);
AT(kve_protection, 56);
AT(kve_status, 86);
AT(kve_vn_fsid, 88);
AT(kve_path, 136);
_Static_assert(sizeof(struct kinfo_vmentry) == 1160, "size");

/* What is too little room is ENOMEM, after all of the work. */
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_VMMAP, pid == 0 ? (int)getpid() : (int)pid};
    (void)is_detailed; /* there is one listing */
    *size = room;
    if (sysctl(name, 4, buffer, size, NULL, 0) != 0) {
        return errno == ENOMEM ? 1 : failed(error, "sysctl(KERN_PROC_VMMAP)");
    }
    return 0;
}
