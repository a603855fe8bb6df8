/* Every system call of every verb made to fail, one after the other, with every errno: the second of several, the one
 * in the middle of a rollback that others need, the last. Then the answer names it, and pages, locks, contents and
 * address space are as before, in the books and for the kernel; and the same thing done again succeeds. */
#include "refusing.h"

#include "region_check.h"

#include <limits.h>

enum { PAGES = 14 };

static const int codes[] = {ENOMEM, EPERM, EAGAIN, EINVAL, ENOSYS};
enum { CODES = sizeof codes / sizeof codes[0] };

static size_t page;
static char outside[PAGES * 4096];

/* Pages of every kind, in runs: 0-1 reserved, 2-3 writable, 4 readable, 5 guarded, 6-7 reserved, 8 locked once, 9
 * locked twice, 10 by the program itself, 11 readable and locked, 12 writable, 13 closed. */
static void make_mixed(sr_region *region)
{
    reserve_pages(region, PAGES);
    (void)ask(region, SR_COMMIT, 2, 4, SR_READ_WRITE, NULL);
    (void)ask(region, SR_COMMIT, 8, 6, SR_READ_WRITE, NULL);
    for (size_t i = 2; i < PAGES; i += i == 5 ? 3 : 1) {
        memset(region->address + i * page, (int)i, page);
    }
    (void)ask(region, SR_LOCK, 8, 2, 0, NULL);
    (void)ask(region, SR_LOCK, 9, 1, 0, NULL);
    (void)ask(region, SR_LOCK, 11, 1, 0, NULL);
    mlock(region->address + 10 * page, page);
    (void)ask(region, SR_PROTECT, 4, 1, SR_READ_ONLY, NULL);
    (void)ask(region, SR_PROTECT, 5, 1, SR_READ_WRITE | SR_GUARD, NULL);
    (void)ask(region, SR_PROTECT, 11, 1, SR_READ_ONLY, NULL);
    (void)ask(region, SR_PROTECT, 13, 1, SR_NO_ACCESS, NULL);
}

/* ---- all that must not change ---- */

typedef struct picture {
    sr_run runs[PAGES];
    size_t run_count, hold_count;
    seen_page pages[PAGES];
    long locked_kb, mapped_kb;
    int open_files;
    unsigned long contents;
} picture;

static picture picture_of(sr_region *region)
{
    picture now;
    memset(&now, 0, sizeof now);
    now.locked_kb = status_number("VmLck");
    now.mapped_kb = HAS_ASAN ? 0 : status_number("VmSize");
    now.open_files = count_open_files();
    if (region->address == NULL) {
        return now;
    }
    now.run_count = region->pages.run_count;
    for (size_t i = 0; i < now.run_count; i++) { /* field by field: there may be padding between them */
        const sr_run *run = &region->pages.runs[i];
        now.runs[i].first = run->first;
        now.runs[i].locks = run->locks;
        now.runs[i].protection = run->protection;
        now.runs[i].is_kept = run->is_kept;
    }
    now.hold_count = region->hold_count;
    look_at(region->address, PAGES, now.pages);
    for (size_t i = 0; i < PAGES; i++) {
        if (now.pages[i].permissions[0] == 'r') {
            for (size_t byte = 0; byte < page; byte += 64) {
                now.contents = now.contents * 31 + (unsigned char)region->address[i * page + byte];
            }
        }
    }
    return now;
}

/* ---- what is done ---- */

typedef struct deed {
    const char *name;
    sr_verb verb;
    size_t first, count;
    unsigned protection;
    int least_calls; /* it would be no test if there were fewer */
} deed;

static const deed deeds[] = {
    {"commit fresh", SR_COMMIT, 0, 2, SR_READ_WRITE, 1},
    {"commit mixed", SR_COMMIT, 1, 8, SR_READ_ONLY, 6},
    {"commit all", SR_COMMIT, 0, PAGES, SR_EXECUTE_READ, 8},
    {"decommit mixed", SR_DECOMMIT, 1, 12, 0, 1},
    {"protect one run", SR_PROTECT, 2, 2, SR_READ_ONLY, 1},
    {"protect mixed", SR_PROTECT, 8, 6, SR_READ_WRITE | SR_GUARD, 5},
    {"protect mixed, open", SR_PROTECT, 2, 4, SR_EXECUTE_READ_WRITE, 3},
    {"lock mixed", SR_LOCK, 8, 5, 0, 4},
    {"lock some", SR_LOCK, 2, 3, 0, 4},
    {"unlock mixed", SR_UNLOCK, 8, 2, 0, 1},
    {"unlock the last", SR_UNLOCK, 11, 1, 0, 1},
    {"read", SR_COPY_OUT, 8, 5, 0, 1},
    {"write", SR_COPY_IN, 8, 3, 0, 1},
    {"fill", SR_FILL, 8, 3, 0, 3},
    {"read a guard page", SR_COPY_OUT, 5, 1, 0, 1},
    {"release", SR_RELEASE, 0, PAGES, 0, 1},
};

static sr_answer perform(sr_region *region, const deed *one, sr_request *request)
{
    if (one->verb == SR_COPY_OUT || one->verb == SR_COPY_IN || one->verb == SR_FILL) {
        return ask_bytes(region, one->verb, one->first * page, one->count * page, outside, request);
    }
    return ask(region, one->verb, one->first, one->count, one->protection, request);
}

static int is_a_copy(sr_verb verb)
{
    return verb == SR_COPY_OUT || verb == SR_COPY_IN || verb == SR_FILL;
}

/* What a verb does without: knowing whether others hold a lock (then nobody does), and the first way of copying. */
static int may_be_done_without(const char *call)
{
    return strcmp(call, "madvise") == 0 || strncmp(call, "process_vm", 10) == 0;
}

static int is_alike(picture one, picture other, const char *call)
{
    if (strcmp(call, "madvise") == 0) { /* others' locks were not seen */
        for (size_t i = 0; i < PAGES; i++) {
            one.runs[i].is_kept = other.runs[i].is_kept = 0;
        }
    }
    return memcmp(&one, &other, sizeof one) == 0;
}

static int is_as_before(const deed *one, picture before, picture after)
{
    if (is_a_copy(one->verb)) { /* how much was copied before is not told */
        before.contents = after.contents = 0;
    }
    return memcmp(&before, &after, sizeof before) == 0;
}

/* The answer of a deed that nothing stops, and the picture after it. */
static sr_answer undisturbed(const deed *one, picture *after, int *call_count)
{
    sr_region region;
    sr_request request;
    make_mixed(&region);
    refuse_nth(INT_MAX, 0, 0); /* only to count */
    sr_answer answer = perform(&region, one, &request);
    *call_count = calls_seen;
    refuse_nth(0, 0, 0);
    *after = picture_of(&region);
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
    return answer;
}

/* One deed with its n-th call refused. */
static int is_right(const deed *one, int which, int code, int for_good, sr_answer in_the_end, const picture *done)
{
    sr_region region;
    sr_request request;
    long mapped_kb = HAS_ASAN ? 0 : status_number("VmSize");
    make_mixed(&region);
    picture before = picture_of(&region);
    refuse_nth(which, code, for_good);
    sr_answer answer = perform(&region, one, &request);
    const char *call = refused;
    refuse_nth(0, 0, 0);
    picture after = picture_of(&region);
    int is_fine = call != NULL;
    if (is_fine && strcmp(call, "madvise") == 0 && code == EINVAL && !for_good) {
        is_fine = answer == in_the_end; /* no refusal, but how the kernel says that a page is locked */
    } else if (is_fine && answer == in_the_end) {
        is_fine = may_be_done_without(call) && is_alike(*done, after, call);
    } else if (is_fine) {
        is_fine = answer == SR_FAILED && request.error.code == code
            && (for_good ? memcmp(before.runs, after.runs, sizeof before.runs) == 0
                         : strcmp(request.error.call, call) == 0 && is_as_before(one, before, after)
                               && perform(&region, one, &request) == in_the_end);
    }
    if (region.address != NULL && ask(&region, SR_RELEASE, 0, 0, 0, NULL) != SR_DONE) {
        is_fine = 0;
    }
    is_fine = is_fine && (HAS_ASAN || status_number("VmSize") == mapped_kb);
    if (!is_fine) {
        printf("      %s: call %d (%s) refused with errno %d%s, answer %d\n", one->name, which,
               call == NULL ? "none" : call, code, for_good ? ", and all after it" : "", (int)answer);
    }
    return is_fine;
}

static void test_deeds(void)
{
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        int call_count, wrong = 0;
        picture done;
        sr_answer in_the_end = undisturbed(&deeds[i], &done, &call_count);
        CHECK("control: its system calls are counted", call_count >= deeds[i].least_calls);
        for (int choice = 0; choice < CODES * call_count; choice++) {
            int code = codes[choice % CODES], which = 1 + choice / CODES;
            wrong += !is_right(&deeds[i], which, code, 0, in_the_end, &done);
            wrong += !is_right(&deeds[i], which, code, 1, in_the_end, &done);
        }
        CHECK(deeds[i].name, wrong == 0);
    }
}

int main(void)
{
    begin_regions();
    page = sr_os_page_size();
    (void)status_number("VmSize");
    test_deeds();
    return check_result();
}
