/* What Linux tells of the memory of a process: text, and since 6.7 and 6.11 two calls that need none.
 *
 * The kernel makes a listing anew with each read, of the mappings behind the last one that it told, and takes no lock in
 * between: it is of no single moment, and whoever wants one reads twice. Each read gives at most a page or so of text,
 * whatever the buffer.
 *
 * A page table is read from pagemap, eight bytes for each page whether there is one or not. PAGEMAP_SCAN (6.7) says
 * first where there are any: of 64 GiB that hold three pages it takes 26 microseconds, where reading takes 60
 * milliseconds. Bits of an entry: proc_pid_pagemap(5) and Documentation/admin-guide/mm/pagemap.rst. "In swap" is said of
 * everything that is neither in memory nor nothing; of guard regions (MADV_GUARD_INSTALL) it is said too, and since
 * 6.15 that they are such.
 *
 * The two calls are declared here: the headers that people build with are older than the kernels that they run on.
 * Sources: proc_pid_maps(5), proc_pid_pagemap(5), ioctl_pagemap_scan(2), man-pages 6.10; PROCMAP_QUERY in linux/fs.h.
 */
#define _GNU_SOURCE
#include "os_posix.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct mapping_query {
    uint64_t size, query_flags, query_address, start, end, flags, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
} mapping_query;
#define ASK_FOR_MAPPING _IOWR('f', 17, mapping_query)
enum { COVERING_OR_NEXT = 0x10, READABLE = 1, WRITABLE = 2, EXECUTABLE = 4, SHARED = 8 };

typedef struct scanned {
    uint64_t start, end, categories;
} scanned;

typedef struct scan_request {
    uint64_t size, flags, start, end, walk_end, scanned, scanned_room, max_pages;
    uint64_t inverted, mask, any_of, returned;
} scan_request;
#define SCAN_PAGES _IOWR('f', 16, scan_request)
enum { SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4 };

_Static_assert(sizeof(mapping_query) == 104 && sizeof(scan_request) == 96, "as in linux/fs.h");

/* Entries of pagemap that are read at a time, and stretches that are scanned: both lie on the stack. */
enum { ENTRIES = 512, STRETCHES = 64 };
/* Entries that one call reads where nothing is, before it returns: 16 GiB of address space, some hundredths of a second.
 * More, and who waits for terabytes could not be interrupted. */
#define ENTRIES_AT_A_TIME (1u << 22)
/* On every processor the kernel's addresses have the highest bit. */
#define USER_SPACE_ENDS (1ull << 63)
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_GUARD (1ull << 58)
#define ENTRY_EXCLUSIVE (1ull << 56)

/* ioctl(2), whose number is an int in some C libraries and an unsigned long in others. */
static long ask(int file, unsigned long what, void *request)
{
    return syscall(SYS_ioctl, file, what, request);
}

/* -1 and errno, or a descriptor. A process goes on when its first thread has ended, but /proc/self is that thread. */
static int opened(int64_t pid, const char *name)
{
    char path[64];
    if (pid != 0) {
        snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, name);
        return open(path, O_RDONLY | O_CLOEXEC);
    }
    snprintf(path, sizeof path, "/proc/thread-self/%s", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) { /* before 3.17, and in some sandboxes */
        snprintf(path, sizeof path, "/proc/self/%s", name);
        file = open(path, O_RDONLY | O_CLOEXEC);
    }
    return file;
}

int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    ssize_t count = 1;
    int file = opened(pid, is_detailed ? "smaps" : "maps");
    *size = 0;
    if (file < 0 && errno == ESRCH) {
        return 0; /* there is such a process, and no memory that it could have: older kernels open that, and say nothing */
    }
    if (file < 0) {
        return failed(error, is_detailed ? "open(/proc/PID/smaps)" : "open(/proc/PID/maps)");
    }
    while (count != 0 && *size < room) {
        count = read(file, buffer + *size, room - *size);
        if (count < 0) {
            failed(error, is_detailed ? "read(/proc/PID/smaps)" : "read(/proc/PID/maps)");
            close(file);
            return -1;
        }
        *size += (size_t)count;
    }
    close(file);
    return count != 0; /* a listing that just fits has not been seen to end */
}

int sr_os_mapping_at(uintptr_t address, sr_mapping *row, char *text, size_t room, sr_error *error)
{
    mapping_query query = {.size = sizeof query, .query_flags = COVERING_OR_NEXT, .query_address = address,
                           .name_size = (uint32_t)room, .name = (uintptr_t)text};
    int file = opened(0, "maps");
    if (file < 0) {
        return failed(error, "open(/proc/PID/maps)");
    }
    long answer = ask(file, ASK_FOR_MAPPING, &query);
    if (answer != 0) {
        failed(error, "ioctl(PROCMAP_QUERY)");
    }
    close(file);
    if (answer != 0) {
        return error->code == ENOENT ? 1 : -1;
    }
    memset(row, 0, sizeof *row);
    row->start = query.start;
    row->end = query.end;
    row->offset = query.offset;
    row->inode = query.inode;
    row->major = query.major;
    row->minor = query.minor;
    row->letters[0] = query.flags & READABLE ? 'r' : '-';
    row->letters[1] = query.flags & WRITABLE ? 'w' : '-';
    row->letters[2] = query.flags & EXECUTABLE ? 'x' : '-';
    row->letters[3] = query.flags & SHARED ? 's' : 'p';
    row->path_size = query.name_size == 0 ? 0 : query.name_size - 1; /* with its NUL */
    return 0;
}

/* Where runs are put together. */
typedef struct gathering {
    sr_page_run *runs;
    size_t room, count;
    uint64_t reached, read; /* `read` entries */
} gathering;

/* 0 if there is no room: nothing from `start` on is in. */
static int add(gathering *all, uint64_t start, uint64_t end, unsigned kinds)
{
    sr_page_run *last = all->count == 0 ? NULL : &all->runs[all->count - 1];
    if (last != NULL && last->end == start && last->kinds == kinds) {
        last->end = end;
    } else if (all->count == all->room) {
        all->reached = start;
        return 0;
    } else {
        all->runs[all->count++] = (sr_page_run){start, end, kinds};
    }
    return 1;
}

static unsigned kinds_of(uint64_t entry)
{
    if (entry & ENTRY_PRESENT) {
        return SR_PAGES_RESIDENT | (entry & ENTRY_EXCLUSIVE ? SR_PAGES_EXCLUSIVE : 0);
    }
    return (entry & ENTRY_SWAPPED) && !(entry & ENTRY_GUARD) ? SR_PAGES_SWAPPED : 0;
}

/* The entries between two addresses. 1 if all are in, 0 if there was no room or it took long, -1 and errno. */
static int gather(int file, uint64_t start, uint64_t end, gathering *all)
{
    uint64_t entries[ENTRIES], page = sr_os_page_size();
    while (start < end) {
        if (all->read >= ENTRIES_AT_A_TIME && (all->count == 0 || all->runs[all->count - 1].end != start)) {
            all->reached = start; /* between two runs: none is told in two parts */
            return 0;
        }
        uint64_t wanted = (end - start) / page < ENTRIES ? (end - start) / page : ENTRIES;
        ssize_t got = pread(file, entries, (size_t)wanted * sizeof *entries, (off_t)(start / page * sizeof *entries));
        if (got == 0 && start < USER_SPACE_ENDS) {
            errno = ESRCH; /* the process has ended since the file was opened */
            return -1;
        }
        if (got <= 0) {
            return got == 0 ? 1 : -1; /* 0: above user space, as the page of [vsyscall] */
        }
        all->read += (size_t)got / sizeof *entries;
        for (size_t i = 0; i < (size_t)got / sizeof *entries; i++, start += page) {
            unsigned kinds = kinds_of(entries[i]);
            if (kinds != 0 && !add(all, start, start + page, kinds)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Where between two addresses something is, and no further than there is room for. As gather(). */
static int scan(int file, uint64_t start, uint64_t end, gathering *all)
{
    scanned stretches[STRETCHES];
    while (start < end) {
        scan_request request = {.size = sizeof request, .start = start, .end = end,
                                .scanned = (uintptr_t)stretches, .scanned_room = STRETCHES,
                                .any_of = SCAN_PRESENT | SCAN_SWAPPED, .returned = SCAN_PRESENT | SCAN_SWAPPED};
        long count = ask(file, SCAN_PAGES, &request);
        if (count < 0 || request.walk_end <= start) {
            return gather(file, start, end, all); /* before 6.7, and above user space */
        }
        for (long i = 0; i < count; i++) {
            int answer = gather(file, stretches[i].start, stretches[i].end, all);
            if (answer != 1) {
                return answer;
            }
        }
        start = request.walk_end;
    }
    return 1;
}

int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error)
{
    gathering all = {.runs = runs, .room = room, .reached = end};
    int file = opened(pid, "pagemap");
    if (file < 0) {
        return failed(error, "open(/proc/PID/pagemap)");
    }
    int answer = scan(file, start, end, &all);
    if (answer < 0) {
        failed(error, "read(/proc/PID/pagemap)");
    }
    close(file);
    *count = all.count;
    *reached = all.reached;
    return answer < 0 ? -1 : 0;
}
