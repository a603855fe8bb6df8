/* What macOS declares to tell of mappings, for other_systems_test.c alone. Laid out as in sys/proc_info.h. */
#include <stdint.h>

#define PROC_PIDREGIONPATHINFO 8
struct proc_regionwithpathinfo {
    struct {
        uint32_t pri_protection, pri_max_protection, pri_inheritance, pri_flags;
        uint64_t pri_offset;
        uint32_t pri_behavior, pri_user_wired_count, pri_user_tag, pri_pages_resident, pri_pages_shared_now_private;
        uint32_t pri_pages_swapped_out, pri_pages_dirtied, pri_ref_count, pri_shadow_depth, pri_share_mode;
        uint32_t pri_private_pages_resident, pri_shared_pages_resident, pri_obj_id, pri_depth;
        uint64_t pri_address, pri_size;
    } prp_prinfo;
    struct {
        struct {
            struct {
                uint32_t vst_dev;
                uint16_t vst_mode, vst_nlink;
                uint64_t vst_ino;
                uint8_t vst_rest[120];
            } vi_stat;
            int32_t vi_type, vi_pad, vi_fsid[2];
        } vip_vi;
        char vip_path[1024];
    } prp_vip;
};

int proc_pidinfo(int process, int what, uint64_t where, void *told, int size);
