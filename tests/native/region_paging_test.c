/* Page out, prefetch, reset and undo, by a kernel that is made up: which advice it is given for which pages, what is not
 * asked of it at all, and that whatever it answers leaves books, contents, protections and holds as they were. What a
 * kernel does with such advice the Python tests see. */
#define _GNU_SOURCE
#include "store_check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { TOTAL = 14, MOST_TOLD = 256 };
/* madvise(2); a C library may be older than they are. */
enum { WILL_FREE = 8, PAGEOUT = 21, POPULATE_WRITE = 23 };

static struct {
    char *address;
    size_t size;
    int advice;
} told[MOST_TOLD];
static size_t told_count;
static int refuse_with, refuse_times; /* an errno, for so many pieces of such advice */
static int refuse_copy;
static int is_known = 1;

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
ssize_t __real_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long tos, const struct iovec *from,
                                unsigned long froms, unsigned long flags);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long tos, const struct iovec *from,
                                unsigned long froms, unsigned long flags);

/* Takes such advice, and does nothing with it. */
int __wrap_madvise(void *address, size_t size, int advice)
{
    if (advice != WILL_FREE && advice != PAGEOUT && advice != POPULATE_WRITE) {
        return __real_madvise(address, size, advice);
    }
    if (size == 0) { /* whether it knows the advice */
        errno = EINVAL;
        return is_known ? 0 : -1;
    }
    if (told_count < MOST_TOLD) {
        told[told_count].address = address;
        told[told_count].size = size;
        told[told_count].advice = advice;
    }
    told_count++;
    if (refuse_times > 0) {
        refuse_times--;
        errno = refuse_with;
        return -1;
    }
    return 0;
}

ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long tos, const struct iovec *from,
                                unsigned long froms, unsigned long flags)
{
    if (refuse_copy != 0) {
        errno = refuse_copy;
        return -1;
    }
    return __real_process_vm_readv(pid, to, tos, from, froms, flags);
}

/* Pages 0-1 reserved, 2-3 writable, 4 readable, 5 a guard, 6 closed, 7 locked, 8 locked by the program as well, 9-12
 * writable, 13 reserved. */
static void make_mixed(sr_region *region)
{
    reserve_pages(region, TOTAL);
    (void)ask(region, SR_COMMIT, 2, 11, SR_READ_WRITE, NULL);
    for (size_t i = 2; i < 13; i++) {
        memset(region->address + i * page, (int)i, page);
    }
    (void)mlock(region->address + 8 * page, page);
    (void)ask(region, SR_LOCK, 7, 2, 0, NULL);
    (void)ask(region, SR_PROTECT, 4, 1, SR_READ_ONLY, NULL);
    (void)ask(region, SR_PROTECT, 5, 1, SR_READ_WRITE | SR_GUARD, NULL);
    (void)ask(region, SR_PROTECT, 6, 1, SR_NO_ACCESS, NULL);
    told_count = 0;
}

static void release(sr_region *region)
{
    CHECK("the region can be released", ask(region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
}

/* ---- all that must not change ---- */

typedef struct picture {
    sr_run runs[TOTAL];
    size_t run_count, hold_count;
    seen_page pages[TOTAL];
    int are_held; /* the bytes of what can be read */
} picture;

static picture picture_of(const sr_region *region)
{
    picture now;
    memset(&now, 0, sizeof now);
    now.run_count = region->pages.run_count;
    now.hold_count = region->hold_count;
    for (size_t i = 0; i < now.run_count; i++) { /* field by field: there may be padding between them */
        now.runs[i].first = region->pages.runs[i].first;
        now.runs[i].locks = region->pages.runs[i].locks;
        now.runs[i].protection = region->pages.runs[i].protection;
        now.runs[i].is_kept = region->pages.runs[i].is_kept;
    }
    look_at(region->address, TOTAL, now.pages);
    now.are_held = 1;
    for (size_t i = 0; i < TOTAL; i++) {
        now.are_held &= now.pages[i].permissions[0] != 'r' || is_all(region->address + i * page, page, (unsigned char)i);
    }
    return now;
}

static int is_same(const picture *before, const sr_region *region)
{
    picture now = picture_of(region);
    return memcmp(before, &now, sizeof now) == 0 && now.are_held;
}

static int was_told(const sr_region *region, size_t first, size_t count, int advice)
{
    int is_it = told_count == 1 && told[0].address == region->address + first * page && told[0].size == count * page
        && told[0].advice == advice;
    told_count = 0;
    return is_it;
}

/* Refused for what the books say of a page, and the kernel asked nothing. */
static int is_refused(sr_region *region, sr_verb verb, size_t first, size_t count, sr_answer answer, size_t where)
{
    sr_request request;
    picture before = picture_of(region);
    sr_answer got = ask(region, verb, first, count, 0, &request);
    if (got != answer || request.page != where || told_count != 0) {
        printf("      verb %d: answer %d, page %zu, %zu told\n", (int)verb, (int)got, request.page, told_count);
        return 0;
    }
    return is_same(&before, region);
}

/* ---- the verbs ---- */

static void test_which_pages(void)
{
    sr_region region;
    sr_request request;
    make_mixed(&region);
    picture before = picture_of(&region);
    CHECK("page out is one advice for the range", ask(&region, SR_PAGE_OUT, 2, 2, 0, NULL) == SR_DONE
                                                      && was_told(&region, 2, 2, PAGEOUT));
    CHECK("whatever the pages allow", ask(&region, SR_PAGE_OUT, 3, 4, 0, NULL) == SR_DONE
                                          && was_told(&region, 3, 4, PAGEOUT));
    CHECK("so is reset", ask(&region, SR_RESET, 4, 3, 0, NULL) == SR_DONE && was_told(&region, 4, 3, WILL_FREE));
    CHECK("and undoing it, which looks at what is there", ask(&region, SR_UNDO_RESET, 9, 4, 0, &request) == SR_DONE
              && was_told(&region, 9, 4, POPULATE_WRITE) && request.is_whole == 1);
    CHECK("nothing has changed by that", is_same(&before, &region));
    memset(region.address + 11 * page, 0, page);
    CHECK("a page of zeros counts as lost", ask(&region, SR_UNDO_RESET, 9, 4, 0, &request) == SR_DONE
                                                && request.is_whole == 0);
    region.address[11 * page + page - 1] = 1;
    CHECK("one with a byte in it does not", ask(&region, SR_UNDO_RESET, 9, 4, 0, &request) == SR_DONE
                                                && request.is_whole == 1);
    release(&region);
}

static void test_refused_by_the_books(void)
{
    static const sr_verb verbs[] = {SR_PAGE_OUT, SR_PREFETCH, SR_RESET, SR_UNDO_RESET};
    sr_region region;
    make_mixed(&region);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        CHECK("a reserved page at the beginning", is_refused(&region, verbs[i], 1, 3, SR_NOT_COMMITTED, 1));
        CHECK("and one at the end", is_refused(&region, verbs[i], 11, 3, SR_NOT_COMMITTED, 13));
        if (verbs[i] != SR_PREFETCH) {
            CHECK("a locked page", is_refused(&region, verbs[i], verbs[i] == SR_UNDO_RESET ? 7 : 2, 6, SR_IS_LOCKED, 7));
        }
    }
    CHECK("what is fetched must be readable", is_refused(&region, SR_PREFETCH, 2, 5, SR_FORBIDDEN, 5)
                                                  && is_refused(&region, SR_PREFETCH, 6, 1, SR_FORBIDDEN, 6));
    CHECK("what is undone must be writable", is_refused(&region, SR_UNDO_RESET, 2, 3, SR_FORBIDDEN, 4)
                                                 && is_refused(&region, SR_UNDO_RESET, 5, 1, SR_FORBIDDEN, 5));
    (void)ask(&region, SR_UNLOCK, 7, 1, 0, NULL);
    CHECK("a page is locked until the lock ends", is_refused(&region, SR_RESET, 7, 3, SR_IS_LOCKED, 8)
              && ask(&region, SR_PAGE_OUT, 7, 1, 0, NULL) == SR_DONE && was_told(&region, 7, 1, PAGEOUT));
    region.pages.runs[sr_pagemap_find(&region.pages, 9)].is_kept = 1; /* as while a lock is being made */
    CHECK("what the program keeps is locked too", is_refused(&region, SR_PAGE_OUT, 9, 1, SR_IS_LOCKED, 9));
    region.pages.runs[sr_pagemap_find(&region.pages, 9)].is_kept = 0;
    region.kind = SR_KIND_LARGE; /* all that is looked at */
    CHECK("large pages stay where they are", is_refused(&region, SR_PAGE_OUT, 3, 1, SR_IS_LOCKED, 3)
                                                 && is_refused(&region, SR_RESET, 3, 1, SR_IS_LOCKED, 3));
    region.kind = SR_KIND_MAPPED;
    sr_request request;
    CHECK("a view's contents are its section's", ask(&region, SR_RESET, 2, 1, 0, &request) == SR_NOT_PRIVATE
              && ask(&region, SR_UNDO_RESET, 2, 1, 0, &request) == SR_NOT_PRIVATE && told_count == 0);
    CHECK("its pages can go all the same", ask(&region, SR_PAGE_OUT, 2, 1, 0, NULL) == SR_DONE
                                               && was_told(&region, 2, 1, PAGEOUT));
    region.kind = SR_KIND_PRIVATE;
    release(&region);
}

static void look_in_child(void *argument)
{
    CHECK("the call of a parent's thread holds nothing in a child",
          ask(argument, SR_DECOMMIT, 3, 2, 0, NULL) == SR_DONE && ((sr_region *)argument)->hold_count == 0);
}

static void test_prefetch_holds(void)
{
    sr_region region;
    sr_request fetched, request;
    make_mixed(&region);
    CHECK("prefetch asks the kernel nothing", ask(&region, SR_PREFETCH, 3, 2, 0, &fetched) == SR_DONE && told_count == 0);
    CHECK("but holds the pages, as a call does", region.hold_count == 1 && region.holds[0].id == fetched.hold
              && region.holds[0].first == 3 && region.holds[0].count == 2 && region.holds[0].kind == SR_HOLD_CALL
              && region.holds[0].mode == SR_READ_ONLY);
    CHECK("nobody takes them away meanwhile", ask(&region, SR_DECOMMIT, 2, 2, 0, &request) == SR_HELD
              && request.held.id == fetched.hold && ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_HELD
              && ask(&region, SR_PROTECT, 4, 1, SR_NO_ACCESS, NULL) == SR_HELD);
    CHECK("nor drops what they hold", ask(&region, SR_RESET, 2, 2, 0, &request) == SR_HELD && told_count == 0);
    CHECK("two may fetch the same, and locked ones", ask(&region, SR_PREFETCH, 2, 1, 0, NULL) == SR_DONE
              && ask(&region, SR_PREFETCH, 7, 6, 0, &request) == SR_DONE && region.hold_count == 3);
    check_in_child("a child has none of these holds", look_in_child, &region);
    (void)ask_unhold(&region, request.hold);
    (void)ask_unhold(&region, fetched.hold);
    CHECK("until that is over", ask(&region, SR_DECOMMIT, 3, 2, 0, NULL) == SR_DONE && region.hold_count == 1
                                    && ask(&region, SR_DECOMMIT, 2, 1, 0, NULL) == SR_HELD);
    (void)ask_unhold(&region, region.holds[0].id);
    release(&region);
}

static void test_holds_of_others(void)
{
    static const sr_hold_kind hold_kinds[] = {SR_HOLD_VIEW, SR_HOLD_SECURE, SR_HOLD_CALL};
    uint64_t hold;
    sr_region region;
    sr_request request;
    make_mixed(&region);
    for (size_t i = 0; i < sizeof hold_kinds / sizeof hold_kinds[0]; i++) {
        (void)ask_hold(&region, hold_kinds[i], SR_READ_ONLY, 3, 1, &hold);
        told_count = 0;
        CHECK("whoever reads a page has it not reset", ask(&region, SR_RESET, 2, 4, 0, &request) == SR_HELD
                                                           && request.held.id == hold && told_count == 0);
        CHECK("but paged out", ask(&region, SR_PAGE_OUT, 2, 4, 0, NULL) == SR_DONE && was_told(&region, 2, 4, PAGEOUT));
        CHECK("and undone", ask(&region, SR_UNDO_RESET, 2, 2, 0, &request) == SR_DONE && request.is_whole == 1);
        told_count = 0;
        CHECK("its neighbour is", ask(&region, SR_RESET, 2, 1, 0, NULL) == SR_DONE && was_told(&region, 2, 1, WILL_FREE));
        (void)ask_unhold(&region, hold);
        CHECK("and it too afterwards", ask(&region, SR_RESET, 3, 1, 0, NULL) == SR_DONE);
    }
    release(&region);
}

/* ---- what the kernel refuses ---- */

static void test_refused_by_the_kernel(void)
{
    static const int codes[] = {ENOMEM, EPERM, EIO, EINVAL, ENOSYS};
    static const struct {
        sr_verb verb;
        const char *call;
    } verbs[] = {{SR_PAGE_OUT, "madvise(MADV_PAGEOUT)"}, {SR_RESET, "madvise(MADV_FREE)"},
                 {SR_UNDO_RESET, "madvise(MADV_POPULATE_WRITE)"}};
    sr_region region;
    sr_request request;
    make_mixed(&region);
    picture before = picture_of(&region);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        int wrong = 0;
        for (size_t j = 0; j < sizeof codes / sizeof codes[0]; j++) {
            refuse_with = codes[j];
            refuse_times = 1;
            wrong += ask(&region, verbs[i].verb, 9, 4, 0, &request) != SR_FAILED || request.error.code != codes[j]
                || strcmp(request.error.call, verbs[i].call) != 0 || !is_same(&before, &region)
                || ask(&region, verbs[i].verb, 9, 4, 0, NULL) != SR_DONE;
        }
        CHECK("a refusal names the call, and changes nothing", wrong == 0);
        is_known = 0;
        refuse_with = EINVAL;
        refuse_times = 1;
        CHECK("advice that the kernel does not know is lacking",
              ask(&region, verbs[i].verb, 9, 4, 0, &request) == SR_FAILED && request.error.code == SR_UNSUPPORTED);
        is_known = 1;
        refuse_with = EAGAIN;
        refuse_times = 3;
        CHECK("\"try again\" is heeded", ask(&region, verbs[i].verb, 9, 4, 0, NULL) == SR_DONE);
        refuse_times = MOST_TOLD;
        CHECK("not for ever", ask(&region, verbs[i].verb, 9, 4, 0, &request) == SR_FAILED
                                  && request.error.code == EAGAIN && refuse_times > 0 && is_same(&before, &region));
        refuse_times = 0;
    }
    refuse_copy = EIO;
    CHECK("what cannot be looked at is no answer", ask(&region, SR_UNDO_RESET, 9, 4, 0, &request) == SR_FAILED
              && strcmp(request.error.call, "process_vm_readv") == 0 && is_same(&before, &region));
    refuse_copy = 0;
    release(&region);
}

static void test_windows(void)
{
    static const sr_verb verbs[] = {SR_PAGE_OUT, SR_PREFETCH, SR_RESET, SR_UNDO_RESET};
    sr_region window;
    sr_store *store = made(SR_STORE_LOCKED);
    make_window(&window);
    (void)map_pages(&window, 2, store, 4, 3);
    told_count = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        CHECK("what a window shows neither goes nor comes", ask(&window, verbs[i], 2, 3, 0, NULL) == SR_IS_WINDOW);
        CHECK("where it shows nothing there is nothing", ask(&window, verbs[i], 1, 2, 0, NULL) == SR_NOT_COMMITTED);
    }
    CHECK("nothing is asked of the kernel, or held", told_count == 0 && window.hold_count == 0
                                                         && is_shown(&window, "--efg---"));
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    end_store(store);
}

int main(void)
{
    sr_error error = {"", 0};
    if (sr_generation_begin(sr_stores_forget, &error) != 0) {
        return 1;
    }
    page = sr_os_page_size();
    test_which_pages();
    test_refused_by_the_books();
    test_prefetch_holds();
    test_holds_of_others();
    test_refused_by_the_kernel();
    test_windows();
    return check_result();
}
