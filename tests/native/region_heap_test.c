/* Regions when the heap is exhausted: each allocation of each verb refused in turn. The answer is SR_NO_HEAP, nothing has
 * changed for the kernel or in the books, and the same thing done again succeeds. */
#define _GNU_SOURCE
#include "region_check.h"

#include <sys/mman.h>

enum { PAGES = 24 };

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
static int refuse_at, allocations;

void *__wrap_malloc(size_t size)
{
    return refuse_at != 0 && ++allocations == refuse_at ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return refuse_at != 0 && ++allocations == refuse_at ? NULL : __real_realloc(memory, size);
}

static size_t page;

/* Five runs: the next cut needs more than fits without heap. Page 9 is locked by the program itself. */
static void make_full(sr_region *region)
{
    reserve_pages(region, PAGES);
    (void)ask(region, SR_COMMIT, 2, 10, SR_READ_WRITE, NULL);
    (void)ask(region, SR_COMMIT, 14, 2, SR_READ_WRITE | SR_GUARD, NULL);
    memset(region->address + 2 * page, 0xA5, 10 * page);
    mlock(region->address + 9 * page, page);
}

typedef struct deed {
    const char *name;
    sr_request request;
    int least_allocations;
} deed;

static const deed deeds[] = {
    {"commit", {.verb = SR_COMMIT, .first = 21, .count = 1, .protection = SR_READ_WRITE}, 1},
    {"decommit", {.verb = SR_DECOMMIT, .first = 4, .count = 1}, 1},
    {"protect", {.verb = SR_PROTECT, .first = 4, .count = 1, .protection = SR_READ_ONLY}, 1},
    {"protect and list", {.verb = SR_PROTECT, .first = 2, .count = 3, .protection = SR_READ_ONLY, .wants_runs = 1}, 2},
    {"lock around others' lock", {.verb = SR_LOCK, .first = 3, .count = 8}, 1},
    {"list", {.verb = SR_LIST, .first = 0, .count = PAGES}, 1},
    {"hold", {.verb = SR_HOLD, .first = 3, .count = 2, .mode = SR_READ_WRITE, .kind = SR_HOLD_SECURE}, 1},
    {"touch a guard page", {.verb = SR_COPY_OUT, .offset = 15 * 4096, .size = 1}, 1},
};

typedef struct picture {
    seen_page pages[PAGES];
    sr_run runs[PAGES];
    size_t run_count, hold_count;
} picture;

/* What the caller sees of the runs: whether others hold a lock is asked about anew each time. */
static picture picture_of(const sr_region *region)
{
    picture now;
    memset(&now, 0, sizeof now);
    look_at(region->address, PAGES, now.pages);
    now.hold_count = region->hold_count;
    now.run_count = region->pages.run_count;
    for (size_t i = 0; i < now.run_count; i++) {
        now.runs[i].first = region->pages.runs[i].first;
        now.runs[i].locks = region->pages.runs[i].locks;
        now.runs[i].protection = region->pages.runs[i].protection;
        now.runs[i].is_kept = region->pages.runs[i].is_kept;
    }
    return now;
}

static sr_answer perform(sr_region *region, const deed *one)
{
    static char byte; /* for SR_COPY_OUT */
    sr_request request = one->request;
    request.memory = &byte;
    sr_answer answer = sr_region_do(region, &request);
    free(request.runs);
    return answer;
}

/* -1 if there is no such allocation. */
static int is_right(const deed *one, int which)
{
    sr_region region;
    make_full(&region);
    picture before = picture_of(&region);
    sr_answer in_the_end = one->request.verb == SR_COPY_OUT ? SR_GUARD_TOUCHED : SR_DONE;
    allocations = 0;
    refuse_at = which;
    sr_answer answer = perform(&region, one);
    refuse_at = 0;
    int is_fine = -1;
    if (allocations >= which) {
        picture after = picture_of(&region);
        is_fine = answer == SR_NO_HEAP && memcmp(&before, &after, sizeof before) == 0
            && perform(&region, one) == in_the_end;
    } else if (answer != in_the_end) {
        is_fine = 0;
    }
    if (is_fine == 0) {
        printf("      %s: allocation %d refused, answer %d\n", one->name, which, (int)answer);
    }
    region.hold_count = 0;
    is_fine = ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE ? is_fine : 0;
    return is_fine;
}

int main(void)
{
    begin_regions();
    page = sr_os_page_size();
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        int which = 1, wrong = 0, answer;
        while ((answer = is_right(&deeds[i], which)) != -1 && which < 50) {
            wrong += answer == 0;
            which++;
        }
        CHECK("control: it needs heap", which > deeds[i].least_allocations && which < 50);
        CHECK(deeds[i].name, wrong == 0);
    }
    return check_result(); /* the address sanitizer finds what was not freed */
}
