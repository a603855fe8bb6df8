/* Which pages are in memory, as macOS, FreeBSD and NetBSD are asked: Linux has the call too, and a page table that knows
 * better. What macOS tells of pages that were paged out is made up. */
#define _GNU_SOURCE
#include "contract.h"
#include "sr_os_asking.h"

#include <errno.h>
#include <sys/mman.h>

#define MINCORE_PAGED_OUT 0x20 /* macOS */
#define PAGES ASKED            /* contract.h has another */
#define kinds_of kinds_told
#define sr_os_page_runs runs_told
int runs_told(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
              uint64_t *reached, sr_error *error);
#include "os_posix_mincore.c"
#undef sr_os_page_runs

enum { MANY = 2 * ASKED + 300, ROOM = MANY };

static const unsigned char *made_up;
int __real_mincore(void *address, size_t bytes, unsigned char *told);
int __wrap_mincore(void *address, size_t bytes, unsigned char *told);

int __wrap_mincore(void *address, size_t bytes, unsigned char *told)
{
    int answer = __real_mincore(address, bytes, told);
    for (size_t i = 0; made_up != NULL && i < bytes / page; i++) {
        told[i] = made_up[i];
    }
    return answer;
}

static sr_page_run told[ROOM], known[ROOM];
static sr_error error;
static size_t count;
static uint64_t reached;

static int is_run(const sr_page_run *run, const unsigned char *address, size_t first, size_t pages)
{
    uint64_t start = (uintptr_t)address + first * page;
    return run->start == start && run->end == start + pages * page && run->kinds == SR_PAGES_RESIDENT;
}

static void test_as_the_page_table_has_it(void)
{
    size_t known_count = 0, bytes = MANY * page;
    uint64_t known_reached;
    unsigned char *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
        CHECK("memory is mapped", 0);
        return;
    }
    sr_os_advise_no_huge(address, bytes, &error);
    for (size_t i = 0; i < MANY; i++) {
        if (i % 7 == 0 || i % 5 == 1 || (i > ASKED - 3 && i < ASKED + 3)) { /* also across two questions */
            address[i * page] = 1;
        }
    }
    uint64_t start = (uintptr_t)address, end = start + bytes;
    CHECK("it is asked", runs_told(0, start, end, told, ROOM, &count, &reached, &error) == 0 && reached == end);
    CHECK("and so is the page table",
          sr_os_page_runs(0, start, end, known, ROOM, &known_count, &known_reached, &error) == 0 && known_reached == end);
    int is_same = count == known_count && count > 600;
    for (size_t i = 0; is_same && i < count; i++) {
        is_same = told[i].start == known[i].start && told[i].end == known[i].end && told[i].kinds == SR_PAGES_RESIDENT;
    }
    CHECK("both have the same pages in memory", is_same);
    size_t all = count, got = 0;
    for (uint64_t from = start; from < end; from = reached) {
        if (runs_told(0, from, end, known + got, 10, &count, &reached, &error) != 0 || reached <= from) {
            break;
        }
        got += count;
    }
    CHECK("ten at a time they are the same", got == all && memcmp(told, known, all * sizeof *told) == 0);
    munmap(address, bytes);
    CHECK("of what is not mapped it says so", runs_told(0, start, end, told, ROOM, &count, &reached, &error) == -1
                                                  && names(&error, "mincore", ENOMEM));
}

static void test_much_at_once(void)
{
    uint64_t bytes = 3ull * MOST_PAGES * page, start, end;
    unsigned char *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
        CHECK("much is mapped", 0);
        return;
    }
    sr_os_advise_no_huge(address, bytes, &error);
    start = (uintptr_t)address;
    end = start + bytes;
    memset(address + (MOST_PAGES - 1) * page, 1, 2 * page);
    CHECK("it returns where nothing is, to be asked again, and not amid a run",
          runs_told(0, start, end, told, ROOM, &count, &reached, &error) == 0 && reached < end && count == 1
              && is_run(told, address, MOST_PAGES - 1, 2));
    CHECK("and goes on", runs_told(0, reached, end, told, ROOM, &count, &reached, &error) == 0 && count == 0);
    munmap(address, bytes);
}

static void test_what_only_macos_tells(void)
{
    static const unsigned char answers[] = {0x21, 0x20, 0x60, 0x80};
    unsigned char *address = committed();
    uint64_t start = (uintptr_t)address;
    made_up = answers;
    CHECK("pages that were paged out are runs of their own",
          runs_told(0, start, start + size, told, ROOM, &count, &reached, &error) == 0 && count == 2
              && told[0].kinds == SR_PAGES_RESIDENT && told[0].end == start + page
              && told[1].kinds == SR_PAGES_SWAPPED && told[1].end == start + 3 * page);
    made_up = NULL;
    release(address);
}

static void test_other_processes(void)
{
    CHECK("of another process's pages nothing is told", runs_told(1, 0, page, told, ROOM, &count, &reached, &error) == -1
                                                            && names(&error, "mincore(another process)", SR_UNSUPPORTED));
}

int main(void)
{
    measure_pages();
    test_as_the_page_table_has_it();
    test_much_at_once();
    test_what_only_macos_tells();
    test_other_processes();
    return check_result();
}
