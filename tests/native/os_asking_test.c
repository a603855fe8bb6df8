/* What Linux tells of memory: each answer beside what this program did, what check.h reads of smaps by itself, and what
 * the other road says (with and without the two newer calls). Calls are refused, and page tables made up, by wraps. */
#define _GNU_SOURCE
#include "contract.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { GUARD_INSTALL = 102, ROOM = 1 << 20, HUGE_SIZE = 1 << 30 };

/* ---- wraps ---- */

static int ioctl_errno, read_errno, pread_errno, reads_left;
static pid_t ending; /* a process that ends as soon as its open page tables are asked */
static const uint64_t *made_up;
static size_t made_up_count;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
ssize_t __real_read(int file, void *buffer, size_t count);
ssize_t __wrap_read(int file, void *buffer, size_t count);
ssize_t __real_pread(int file, void *buffer, size_t count, off_t offset);
ssize_t __wrap_pread(int file, void *buffer, size_t count, off_t offset);

static void end_it(void)
{
    if (ending != 0) {
        kill(ending, SIGKILL);
        waitpid(ending, NULL, 0);
        ending = 0;
    }
}

long __wrap_syscall(long number, ...)
{
    end_it();
    va_list rest;
    va_start(rest, number);
    long first = va_arg(rest, long), second = va_arg(rest, long), third = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_ioctl && ioctl_errno != 0) {
        errno = ioctl_errno;
        return -1;
    }
    return __real_syscall(number, first, second, third);
}

ssize_t __wrap_read(int file, void *buffer, size_t count)
{
    if (read_errno != 0 && reads_left-- == 0) {
        errno = read_errno;
        return -1;
    }
    return __real_read(file, buffer, count);
}

ssize_t __wrap_pread(int file, void *buffer, size_t count, off_t offset)
{
    end_it();
    if (pread_errno != 0) {
        errno = pread_errno;
        return -1;
    }
    if (made_up != NULL) {
        memcpy(buffer, made_up, made_up_count * sizeof *made_up);
        return (ssize_t)(made_up_count * sizeof *made_up);
    }
    return __real_pread(file, buffer, count, offset);
}

/* ---- helpers ---- */

typedef struct answer {
    int result;
    size_t count;
    uint64_t reached;
    sr_page_run runs[8];
    sr_error error;
} answer;

static answer ask(const unsigned char *address, size_t bytes, size_t room)
{
    answer found;
    memset(&found, 0, sizeof found);
    uint64_t start = (uintptr_t)address;
    found.result = sr_os_page_runs(0, start, start + bytes, found.runs, room, &found.count, &found.reached, &found.error);
    return found;
}

static int is_run(const sr_page_run *run, const unsigned char *address, size_t first, size_t count, unsigned kinds)
{
    uint64_t start = (uintptr_t)address + first * page;
    return run->start == start && run->end == start + count * page && run->kinds == kinds;
}

static const unsigned own = SR_PAGES_RESIDENT | SR_PAGES_EXCLUSIVE;

/* ---- tests ---- */

static void test_listings(void)
{
    static char text[ROOM];
    unsigned char *address = committed();
    for (int is_detailed = 0; is_detailed <= 1; is_detailed++) {
        size_t count = 0;
        sr_error error;
        sr_listing listing;
        sr_mapping row;
        mapping expected;
        int answer, is_found = 0;
        CHECK("a listing is read", sr_os_listing(0, is_detailed, text, sizeof text, &count, &error) == 0 && count > 500);
        sr_listing_begin(&listing, text, count, is_detailed);
        while ((answer = sr_listing_next(&listing, &row)) == 1) {
            if (row.start <= (uintptr_t)address && (uintptr_t)address < row.end && find_mapping(address, &expected)) {
                is_found = row.start == expected.begin && row.end == expected.end
                        && memcmp(row.letters, expected.permissions, 4) == 0;
            }
        }
        CHECK("this kernel's is one, to its end", answer == 0);
        CHECK("and what this program mapped is in it", is_found);
        CHECK("too small a room is told", sr_os_listing(0, is_detailed, text, count / 2, &count, &error) == 1);
    }
    release(address);
}

static void test_refused_listings(void)
{
    char text[4096];
    size_t count;
    sr_error error = {"", 0};
    int files = count_open_files();
    CHECK("no such process", sr_os_listing(INT32_MAX, 0, text, sizeof text, &count, &error) == -1
                                 && names(&error, "open(/proc/PID/maps)", ENOENT));
    read_errno = EIO;
    reads_left = 1;
    CHECK("a read that fails half way", sr_os_listing(0, 1, text, sizeof text, &count, &error) == -1
                                            && names(&error, "read(/proc/PID/smaps)", EIO));
    read_errno = 0;
    CHECK("nothing stays open", count_open_files() == files);
}

static void test_single_mappings(void)
{
    char text[4096];
    sr_mapping row;
    sr_error error;
    mapping expected;
    const void *code = (const void *)(uintptr_t)&strlen;
    unsigned char *address = committed();
    int files = count_open_files();
    if (sr_os_mapping_at((uintptr_t)code, &row, text, sizeof text, &error) == -1 && error.code == ENOTTY) {
        printf("skip  single mappings: PROCMAP_QUERY is Linux 6.11's\n");
        release(address);
        return;
    }
    CHECK("a file's mapping has the file's name", find_mapping(code, &expected) && row.start == expected.begin
              && row.end == expected.end && memcmp(row.letters, expected.permissions, 4) == 0
              && row.path_size == strlen(expected.path) && memcmp(text, expected.path, row.path_size) == 0);
    CHECK("this program's own memory has none",
          sr_os_mapping_at((uintptr_t)address + page, &row, text, sizeof text, &error) == 0
              && row.start <= (uintptr_t)address && row.path_size == 0 && row.inode == 0);
    CHECK("in a gap it is the next one", sr_os_mapping_at(0, &row, text, sizeof text, &error) == 0 && row.start > 0);
    CHECK("above all of them there is none", sr_os_mapping_at(UINTPTR_MAX, &row, text, sizeof text, &error) == 1);
    CHECK("a path that does not fit is an error", sr_os_mapping_at((uintptr_t)code, &row, text, 3, &error) == -1
                                                      && names(&error, "ioctl(PROCMAP_QUERY)", ENAMETOOLONG));
    ioctl_errno = ENOTTY;
    CHECK("an older kernel's refusal is told", sr_os_mapping_at(0, &row, text, sizeof text, &error) == -1
                                                   && names(&error, "ioctl(PROCMAP_QUERY)", ENOTTY));
    ioctl_errno = 0;
    CHECK("nothing stays open", count_open_files() == files);
    release(address);
}

/* Pages 0 and 1 written, 2 only read, 3 a guard region where the kernel has them; twice: with the scan and without. */
static void test_pages(void)
{
    unsigned char *address = committed();
    CHECK("untouched pages are nowhere", ask(address, size, 8).count == 0);
    memset(address, 1, 2 * page);
    read_one(address + 2 * page);
    madvise(address + 3 * page, page, GUARD_INSTALL); /* 6.13 */
    for (int is_old = 0; is_old <= 1; is_old++) {
        ioctl_errno = is_old ? ENOTTY : 0;
        answer found = ask(address, size, 8);
        CHECK("written pages are this process's own", found.result == 0 && is_run(&found.runs[0], address, 0, 2, own));
        CHECK("one that was read is the page of zeros", is_run(&found.runs[1], address, 2, 1, SR_PAGES_RESIDENT));
        CHECK("a guard region is neither in memory nor swapped", found.count == 2);
        CHECK("all was reached", found.reached == (uintptr_t)address + size);
        found = ask(address, size, 1);
        CHECK("with too little room it says how far it came",
              found.count == 1 && found.reached == (uintptr_t)address + 2 * page);
        found = ask(address + found.reached - (uintptr_t)address, 2 * page, 1);
        CHECK("and goes on from there", found.count == 1 && is_run(found.runs, address, 2, 1, SR_PAGES_RESIDENT));
    }
    ioctl_errno = 0;
    release(address);
}

static void test_made_up_entries(void)
{
    static const uint64_t entries[] = {1ull << 62, 1ull << 62 | 1ull << 58, 1ull << 63, 1ull << 63 | 1ull << 56};
    unsigned char *address = committed();
    ioctl_errno = ENOTTY;
    made_up = entries;
    made_up_count = PAGES;
    answer found = ask(address, size, 8);
    made_up = NULL;
    CHECK("a page in swap", is_run(&found.runs[0], address, 0, 1, SR_PAGES_SWAPPED));
    CHECK("a guard region, whatever it says of swap; then one that others map too, and one that nobody does",
          found.count == 3 && is_run(&found.runs[1], address, 2, 1, SR_PAGES_RESIDENT)
              && is_run(&found.runs[2], address, 3, 1, own));
    ioctl_errno = 0;
    release(address);
}

/* The scan's own buffer, and that of entries, filled several times over. */
static void test_many_pages(void)
{
    sr_error error;
    void *space = NULL;
    static sr_page_run runs[2][600];
    size_t counts[2];
    if (sr_os_reserve(HUGE_SIZE, SR_PLACE_ANYWHERE, &space, &error) != 0
        || sr_os_commit(space, HUGE_SIZE, SR_READ_WRITE, &error) != 0) {
        stop(&error);
    }
    sr_os_advise_no_huge(space, HUGE_SIZE, &error);
    for (size_t i = 0; i < 500; i++) {
        ((unsigned char *)space)[(i * 1040 + i % 3) * page / 2 / page * page] = 1;
    }
    for (int is_old = 0; is_old <= 1; is_old++) {
        uint64_t reached, start = (uintptr_t)space;
        ioctl_errno = is_old ? ENOTTY : 0;
        CHECK("a gigabyte with 500 pages in it is read",
              sr_os_page_runs(0, start, start + HUGE_SIZE, runs[is_old], 600, &counts[is_old], &reached, &error) == 0
                  && reached == start + HUGE_SIZE);
    }
    ioctl_errno = 0;
    CHECK("the scan and the entries agree",
          counts[0] == 500 && counts[1] == 500 && memcmp(runs[0], runs[1], 500 * sizeof *runs[0]) == 0);
    sr_os_release(space, HUGE_SIZE, &error);
}

static void test_refused_pages(void)
{
    unsigned char *address = committed();
    int files = count_open_files();
    pread_errno = EPERM;
    memset(address, 1, page);
    answer found = ask(address, size, 8);
    pread_errno = 0;
    CHECK("entries that cannot be read are an error", found.result == -1
                                                          && names(&found.error, "read(/proc/PID/pagemap)", EPERM));
    sr_error error = {"", 0};
    size_t count;
    uint64_t reached;
    CHECK("no such process", sr_os_page_runs(INT32_MAX, 0, page, NULL, 0, &count, &reached, &error) == -1
                                 && names(&error, "open(/proc/PID/pagemap)", ENOENT));
    uint64_t top = UINT64_MAX / page * page;
    CHECK("above user space there is nothing", sr_os_page_runs(0, top - page, top, found.runs, 8, &count, &reached, &error) == 0
                                                   && count == 0 && reached == top);
    CHECK("nothing stays open", count_open_files() == files);
    release(address);
}

/* Its page tables are gone, and what was opened of them tells nothing, without an error. */
static void test_ended_meanwhile(void)
{
    unsigned char *address = committed();
    memset(address, 1, page);
    for (int is_old = 0; is_old <= 1; is_old++) {
        sr_error error = {"", 0};
        sr_page_run run;
        size_t count;
        uint64_t reached, start = (uintptr_t)address;
        pid_t child = fork();
        if (child == 0) {
            pause();
        }
        ioctl_errno = is_old ? ENOTTY : 0;
        CHECK("control: a child's page", sr_os_page_runs(child, start, start + page, &run, 1, &count, &reached, &error) == 0
                                             && count == 1 && (run.kinds & SR_PAGES_RESIDENT) != 0);
        ending = child;
        CHECK("a process that ends meanwhile is none",
              sr_os_page_runs(child, start, start + page, &run, 1, &count, &reached, &error) == -1
                  && names(&error, "read(/proc/PID/pagemap)", ESRCH));
    }
    ioctl_errno = 0;
    release(address);
}

int main(void)
{
    measure_pages();
    test_listings();
    test_refused_listings();
    test_single_mappings();
    test_pages();
    test_made_up_entries();
    test_many_pages();
    test_refused_pages();
    test_ended_meanwhile();
    return check_result();
}
