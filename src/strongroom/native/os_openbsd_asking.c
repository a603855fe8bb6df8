/* What OpenBSD tells of a process's mappings: struct kinfo_vmentry, at most 64 KiB of them at a time. Compiled on every
 * CI run; not yet run.
 *
 * The struct's offsets are what _os/bsdentries.py reads at; a test compares the two lists. Source: sys/sysctl.h,
 * sysctl(2) of OpenBSD 7.7; sys/kern/kern_sysctl.c, sysctl_proc_vmmap().
 */
#define __BSD_VISIBLE 1
#include "os_posix.h"
#include "sr_os_asking.h"

#include <stddef.h>
#include <sys/types.h>

#include <sys/sysctl.h>
#include <unistd.h>

#define AT(field, place) _Static_assert(offsetof(struct kinfo_vmentry, field) == place, #field)
AT(kve_start, 0);
AT(kve_end, 8);
AT(kve_guard, 16);
AT(kve_offset, 40);
AT(kve_wired_count, 48);
AT(kve_etype, 52);
AT(kve_protection, 56);
AT(kve_inheritance, 68);
_Static_assert(sizeof(struct kinfo_vmentry) == 80, "size");

/* What the kernel takes at once. It goes on at the address in the first record's kve_start, above which it looks. */
enum { MOST = (64 << 10) / sizeof(struct kinfo_vmentry) * sizeof(struct kinfo_vmentry) };

int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    int name[] = {CTL_KERN, KERN_PROC_VMMAP, pid == 0 ? (int)getpid() : (int)pid};
    unsigned long next = 0;
    (void)is_detailed; /* there is one listing */
    *size = 0;
    for (;;) {
        size_t some = room - *size < MOST ? room - *size : MOST;
        struct kinfo_vmentry *told = (struct kinfo_vmentry *)(void *)(buffer + *size);
        some -= some % sizeof *told;
        if (some == 0) {
            return 1;
        }
        size_t wanted = some;
        told->kve_start = next;
        if (sysctl(name, 3, told, &some, NULL, 0) != 0) {
            return failed(error, "sysctl(KERN_PROC_VMMAP)");
        }
        *size += some;
        if (some < wanted) {
            return 0;
        }
        next = told[some / sizeof *told - 1].kve_start + 1; /* not its end: a record may be of no bytes */
    }
}

/* There was mincore(2) until 6.6. */
int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error)
{
    (void)pid;
    (void)start;
    (void)end;
    (void)runs;
    (void)room;
    (void)count;
    (void)reached;
    return lacking(error, "mincore");
}
