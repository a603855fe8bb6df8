/* Listings of four kernels: what was recorded on 6.18, and the same rows with the lines that fs/proc/task_mmu.c of the
 * others writes, in that version's order. Names are made up. */
#ifndef SR_LISTING_SAMPLES_H
#define SR_LISTING_SAMPLES_H

static const char maps_text[] =
    "55894a981000-55894a983000 r--p 00000000 fe:00 260386                     /usr/bin/head\n"
    "55894a983000-55894a989000 r-xp 00002000 fe:00 260386                     /usr/bin/head (deleted)\n"
    "5589632f3000-558963314000 rw-p 00000000 00:00 0                          [heap]\n"
    "7f4c0ae00000-7f4c0ae01000 rw-s 00000000 00:01 1032                       /secretmem (deleted)\n"
    "7f4c0ae01000-7f4c0ae02000 ---p 00000000 00:00 0 \n"
    "7f4c0b000000-7f4c0b001000 r--s 1ff000 103:02 18446744073709551615 /a b\\012c \tEnd: 1 kB\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

#define HEADER_1 "5589632f3000-558963314000 rw-p 00000000 00:00 0                          [heap]\n"
#define HEADER_2 "7f4c0ae00000-7f4c0ae10000 rw-s 00000000 00:01 1032                       /secretmem (deleted)\n"
#define HEADER_3 "7ffc61b5d000-7ffc61b7e000 rw-p 00000000 00:00 0                          [stack]\n"

#define LINES_6_18(rss, pss, clean, dirty, swap, flags)                                                               \
    "Size:                132 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"                         \
    "Rss:                 " rss " kB\nPss:                 " pss " kB\nPss_Dirty:             4 kB\n"                 \
    "Shared_Clean:        " clean " kB\nShared_Dirty:        " dirty " kB\nPrivate_Clean:         0 kB\n"             \
    "Private_Dirty:         4 kB\nReferenced:            4 kB\nAnonymous:             4 kB\n"                         \
    "KSM:                   0 kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\n"                         \
    "ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\n"                         \
    "Private_Hugetlb:     2048 kB\nSwap:                " swap " kB\nSwapPss:               0 kB\n"                   \
    "Locked:                4 kB\nTHPeligible:           0\nVmFlags: " flags " \n"

#define LINES_6_1(rss, pss, clean, dirty, swap, flags)                                                                \
    "Size:                132 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"                         \
    "Rss:                 " rss " kB\nPss:                 " pss " kB\nPss_Dirty:             4 kB\n"                 \
    "Shared_Clean:        " clean " kB\nShared_Dirty:        " dirty " kB\nPrivate_Clean:         0 kB\n"             \
    "Private_Dirty:         4 kB\nReferenced:            4 kB\nAnonymous:             4 kB\n"                         \
    "LazyFree:              0 kB\nAnonHugePages:         0 kB\nShmemPmdMapped:        0 kB\n"                         \
    "FilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\nPrivate_Hugetlb:     2048 kB\n"                        \
    "Swap:                " swap " kB\nSwapPss:               0 kB\nLocked:                4 kB\n"                    \
    "THPeligible:    0\nProtectionKey:         0\nVmFlags: " flags " \n"

/* No pages of hugetlbfs in it yet, and no flags. */
#define LINES_3_7(rss, pss, clean, dirty, swap, flags)                                                                \
    "Size:                136 kB\nRss:                 " rss " kB\nPss:                 " pss " kB\n"                 \
    "Shared_Clean:        " clean " kB\nShared_Dirty:        " dirty " kB\nPrivate_Clean:         0 kB\n"             \
    "Private_Dirty:         4 kB\nReferenced:            4 kB\nAnonymous:             4 kB\n"                         \
    "AnonHugePages:         0 kB\nSwap:                " swap " kB\nKernelPageSize:        4 kB\n"                    \
    "MMUPageSize:           4 kB\nLocked:                4 kB\n"

#define LISTING(LINES)                                                                                                \
    HEADER_1 LINES("  12", "   7", "   8", "   0", "  20", "rd wr mr mw me ac sd")                                    \
    HEADER_2 LINES("   4", "   4", "   0", "   0", "   0", "rd wr sh mr mw ms lo dd dc wf dp ??")                     \
    HEADER_3 LINES("  16", "  16", "   0", "   4", "   0", "rd wr mr mw me gd ac")

static const char smaps_6_18[] = LISTING(LINES_6_18);
static const char smaps_6_1[] = LISTING(LINES_6_1);
static const char smaps_3_7[] = LISTING(LINES_3_7);

#endif
