/* What Linux says of a process's memory, as text: /proc/PID/maps and smaps, read row by row.
 *
 * In: the bytes of a whole listing. Out: one sr_mapping after the other, or that this is no listing, and which line is
 * wrong. Pure: no system call, no heap, nothing kept but where the reader stands. Called by asking.pxi and by C tests.
 *
 *     55894a981000-55894a983000 r--p 00002000 fe:00 260386      /usr/bin/head    a row's first line, in both
 *     Rss:                   8 kB                                                the other lines: smaps alone
 *     VmFlags: rd mr mw me
 *
 * It is text that others choose parts of, so nothing is guessed. Rows come sorted, and overlap only where mappings changed
 * while they were read: the second is cut then, and the reader says so. Each line ends with a newline (of a path's own the
 * kernel makes \012); a number that does not fit, a line twice, a row without the lines that the first row has: no
 * listing. So one that was cut short is never half believed, but where it was cut
 * exactly between two rows, which only reading again can tell. Lines of other names are skipped: each kernel has more.
 *
 * Source: proc_pid_maps(5), proc_pid_smaps(5), man-pages 6.10; Linux fs/proc/task_mmu.c.
 */
#ifndef SR_LISTING_H
#define SR_LISTING_H

#include <stddef.h>
#include <stdint.h>

/* The lines of smaps that hold a size, as far as anybody here asks for them. */
typedef enum sr_told {
    SR_TOLD_RESIDENT, /* Rss; pages of hugetlbfs are not in it, but in the last two */
    SR_TOLD_PROPORTIONAL,
    SR_TOLD_SHARED_CLEAN,
    SR_TOLD_SHARED_DIRTY,
    SR_TOLD_SWAPPED,
    SR_TOLD_SHARED_HUGE,
    SR_TOLD_PRIVATE_HUGE,
    SR_TOLD_COUNT,
    SR_TOLD_FLAGS = SR_TOLD_COUNT /* the line VmFlags: since Linux 3.8 */
} sr_told;

/* Words of VmFlags. */
enum {
    SR_FLAG_LOCKED = 1 << 0,          /* lo */
    SR_FLAG_UNDUMPABLE = 1 << 1,      /* dd */
    SR_FLAG_ABSENT_IN_CHILD = 1 << 2, /* dc */
    SR_FLAG_ZEROS_IN_CHILD = 1 << 3,  /* wf */
    SR_FLAG_DROPPABLE = 1 << 4        /* dp */
};

typedef struct sr_mapping {
    uint64_t start, end;   /* addresses */
    uint64_t offset;       /* bytes into the file */
    uint64_t inode;
    uint32_t major, minor; /* of the file system's device */
    char letters[4];       /* "rwxp", or '-' for each of the first three, or 's' for the last */
    size_t path, path_size; /* where in the text, and bytes; without the blanks before it, with " (deleted)" */
    size_t flags_at, flags_size;
    uint64_t sizes[SR_TOLD_COUNT]; /* bytes */
    uint32_t told;         /* 1 << each sr_told that the row has; 0 in maps */
    uint32_t flags;
    int is_cut;            /* a part of what the system told of: no size is told of that */
} sr_mapping;

/* Lines that a row may have: 24 in Linux 6.18. */
enum { SR_LISTING_LINES = 64 };

/* A reader; all of it is listing.c's but `line`. */
typedef struct sr_listing {
    const char *text;
    size_t size, at, line; /* the number of the line that was read last, from 1 */
    uint64_t end;          /* of the row before */
    uint32_t expected;     /* what the first row told */
    int is_detailed, has_begun;
    int is_torn;           /* rows overlapped: it was read while mappings changed */
    /* Which name was found as the how manieth line of a row: the next row has the same ones in the same order. */
    signed char guesses[SR_LISTING_LINES];
} sr_listing;

/* Begin to read `size` bytes: of smaps if `is_detailed`, else of maps. The text must last as long as the reader. */
void sr_listing_begin(sr_listing *listing, const char *text, size_t size, int is_detailed);

/* Read the next row: 1. 0 at the end, -1 if this is no listing: `line` is the line that is none. */
int sr_listing_next(sr_listing *listing, sr_mapping *row);

#endif
