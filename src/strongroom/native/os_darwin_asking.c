/* What macOS tells of a process's mappings: one call for each, one struct proc_regionwithpathinfo behind the other.
 * Compiled on every CI run; not yet run on a Mac.
 *
 * The struct's offsets are what _os/darwinentries.py reads at; a test compares the two lists. Source: sys/proc_info.h,
 * libproc.h; xnu bsd/kern/proc_info.c and bsd_vm.c, fill_procregioninfo().
 */
#define _DARWIN_C_SOURCE
#include "os_posix.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <libproc.h>
#include <stddef.h>
#include <unistd.h>

typedef struct proc_regionwithpathinfo region_info;

#define AT(field, place) _Static_assert(offsetof(region_info, field) == place, #field)
AT(prp_prinfo.pri_protection, 0);
AT(prp_prinfo.pri_inheritance, 8);
AT(prp_prinfo.pri_flags, 12);
AT(prp_prinfo.pri_offset, 16);
AT(prp_prinfo.pri_user_wired_count, 28);
AT(prp_prinfo.pri_pages_resident, 36);
AT(prp_prinfo.pri_pages_swapped_out, 44);
AT(prp_prinfo.pri_share_mode, 60);
AT(prp_prinfo.pri_address, 80);
AT(prp_prinfo.pri_size, 88);
AT(prp_vip.vip_vi.vi_stat.vst_dev, 96);
AT(prp_vip.vip_vi.vi_stat.vst_ino, 104);
AT(prp_vip.vip_path, 248);
_Static_assert(sizeof(region_info) == 1272, "size");

/* Asked for an address, it tells of the mapping there or of the next one above it; EINVAL means that there is none, also
 * in a process that has no memory any more. */
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    int process = pid == 0 ? (int)getpid() : (int)pid;
    uint64_t address = 0;
    (void)is_detailed; /* there is one listing */
    *size = 0;
    for (;;) {
        if (room - *size < sizeof(region_info)) {
            return 1;
        }
        region_info *told = (region_info *)(void *)(buffer + *size);
        int got = proc_pidinfo(process, PROC_PIDREGIONPATHINFO, address, told, (int)sizeof *told);
        if (got <= 0) {
            return errno == EINVAL ? 0 : failed(error, "proc_pidinfo(PROC_PIDREGIONPATHINFO)");
        }
        uint64_t next = told->prp_prinfo.pri_address + told->prp_prinfo.pri_size;
        if ((size_t)got != sizeof *told || next <= address) {
            return refused(error, "proc_pidinfo(PROC_PIDREGIONPATHINFO)", EIO); /* another macOS's, or no end of it */
        }
        *size += sizeof *told;
        address = next;
    }
}
