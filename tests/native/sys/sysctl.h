/* What the BSDs declare to tell of mappings, for other_systems_test.c alone: this system has no such header.
 *
 * AS_FREEBSD, AS_NETBSD or AS_OPENBSD says whose; it is included once for each, with another name for the struct. Laid out
 * as in sys/user.h of FreeBSD 14 and sys/sysctl.h of NetBSD 10 and OpenBSD 7.
 */
#include <stdint.h>

#undef CTL_KERN
#undef KERN_PROC_VMMAP
#if defined(AS_FREEBSD)
#define CTL_KERN 1
#define KERN_PROC 14
#define KERN_PROC_VMMAP 32
struct kinfo_vmentry {
    int32_t kve_structsize, kve_type;
    uint64_t kve_start, kve_end, kve_offset, kve_vn_fileid;
    uint32_t kve_vn_fsid_freebsd11;
    int32_t kve_flags, kve_resident, kve_private_resident, kve_protection, kve_ref_count, kve_shadow_count, kve_vn_type;
    uint64_t kve_vn_size;
    uint32_t kve_vn_rdev_freebsd11;
    uint16_t kve_vn_mode, kve_status;
    uint64_t kve_vn_fsid, kve_vn_rdev;
    int32_t _kve_ispare[8];
    char kve_path[1024];
};
#elif defined(AS_NETBSD)
#define CTL_VM 2
#define VM_PROC 16
#define VM_PROC_MAP 1
struct kinfo_vmentry {
    uint64_t kve_start, kve_end, kve_offset;
    uint32_t kve_type, kve_flags, kve_count, kve_wired_count, kve_advice, kve_attributes, kve_protection;
    uint32_t kve_max_protection, kve_ref_count, kve_inheritance;
    uint64_t kve_vn_fileid, kve_vn_size, kve_vn_fsid, kve_vn_rdev;
    uint32_t kve_vn_type, kve_vn_mode;
    char kve_path[1024];
};
#elif defined(AS_OPENBSD)
#define CTL_KERN 1
#define KERN_PROC_VMMAP 80
struct kinfo_vmentry {
    unsigned long kve_start, kve_end, kve_guard, kve_fspace, kve_fspace_augment;
    uint64_t kve_offset;
    int32_t kve_wired_count, kve_etype, kve_protection, kve_max_protection, kve_advice, kve_inheritance;
    uint8_t kve_flags;
};
#endif

int sysctl(const int *name, unsigned count, void *told, size_t *size, const void *given, size_t given_size);
