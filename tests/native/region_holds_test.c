/* Locks, holds and fork of regions on Linux, in the kernel's own words: the `lo` flag, VmLck, a child's memory. */
#define _GNU_SOURCE
#include "region_check.h"

#include <errno.h>
#include <sys/mman.h>

enum { PAGES = 8 };

static size_t page;

static int is_seen(const sr_region *region, size_t first, size_t count, const char *words)
{
    const char *found = seen(region, first, count);
    return strcmp(found, words) == 0 ? 1 : (printf("      seen: %s\n", found), 0);
}

static void reserve_and_commit(sr_region *region)
{
    reserve_pages(region, PAGES);
    (void)ask(region, SR_COMMIT, 0, PAGES - 1, SR_READ_WRITE, NULL);
}

static void release(sr_region *region)
{
    CHECK("the region can be released", ask(region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
}

/* ---- locks ---- */

static void test_counting(void)
{
    sr_region region;
    sr_request request;
    long before = status_number("VmLck"), page_kb = (long)(page / 1024);
    reserve_and_commit(&region);
    CHECK("lock three pages", ask(&region, SR_LOCK, 1, 3, 0, NULL) == SR_DONE);
    CHECK("they are locked, their neighbours not",
          is_seen(&region, 0, 5, "rw-p rw-p/lo rw-p/lo rw-p/lo rw-p") && status_number("VmLck") == before + 3 * page_kb);
    CHECK("lock one of them and one more", ask(&region, SR_LOCK, 3, 2, 0, NULL) == SR_DONE);
    CHECK("unlock both, once", ask(&region, SR_UNLOCK, 3, 2, 0, NULL) == SR_DONE);
    CHECK("the page with two locks keeps one",
          is_seen(&region, 0, 6, "rw-p rw-p/lo rw-p/lo rw-p/lo rw-p rw-p"));
    CHECK("unlocking a page too many is refused",
          ask(&region, SR_UNLOCK, 3, 2, 0, &request) == SR_NOT_LOCKED && request.page == 4);
    CHECK("and changes nothing", is_seen(&region, 3, 2, "rw-p/lo rw-p"));
    CHECK("closing a locked page keeps it locked",
          ask(&region, SR_PROTECT, 2, 1, SR_NO_ACCESS, NULL) == SR_DONE && is_seen(&region, 2, 1, "---p/lo"));
    CHECK("the other unlock", ask(&region, SR_UNLOCK, 1, 3, 0, NULL) == SR_DONE);
    CHECK("leaves nothing locked",
          is_seen(&region, 0, 5, "rw-p rw-p ---p rw-p rw-p") && status_number("VmLck") == before);
    CHECK("a page that is closed cannot be locked",
          ask(&region, SR_LOCK, 1, 3, 0, &request) == SR_FORBIDDEN && request.page == 2);
    CHECK("nor one that is reserved", ask(&region, SR_LOCK, 6, 2, 0, &request) == SR_NOT_COMMITTED
                                           && request.page == PAGES - 1);
    CHECK("and nothing is locked then", status_number("VmLck") == before);
    (void)ask(&region, SR_LOCK, 4, 2, 0, NULL);
    (void)ask(&region, SR_LOCK, 4, 2, 0, NULL);
    CHECK("decommit ends every lock", ask(&region, SR_DECOMMIT, 4, 2, 0, NULL) == SR_DONE
                                          && is_seen(&region, 4, 2, "---p ---p") && status_number("VmLck") == before);
    CHECK("a page committed again begins without", ask(&region, SR_COMMIT, 4, 2, SR_READ_WRITE, NULL) == SR_DONE
                                                        && ask(&region, SR_UNLOCK, 4, 1, 0, NULL) == SR_NOT_LOCKED);
    region.pages.runs[sr_pagemap_find(&region.pages, 0)].locks = UINT32_MAX;
    CHECK("more than can be counted is refused", ask(&region, SR_LOCK, 0, 1, 0, &request) == SR_TOO_MANY_LOCKS
                                                     && request.page == 0);
    release(&region);
}

static void test_others(void)
{
    sr_region region;
    sr_request request;
    reserve_and_commit(&region);
    CHECK("control: the program locks two pages by itself",
          mlock(region.address + 2 * page, page) == 0 && mlock(region.address + 5 * page, page) == 0
              && is_seen(&region, 1, 5, "rw-p rw-p/lo rw-p rw-p rw-p/lo"));
    CHECK("lock all around them, twice", ask(&region, SR_LOCK, 0, 7, 0, NULL) == SR_DONE
                                             && ask(&region, SR_LOCK, 0, 4, 0, NULL) == SR_DONE);
    CHECK("all are locked", is_seen(&region, 1, 6, "rw-p/lo rw-p/lo rw-p/lo rw-p/lo rw-p/lo rw-p/lo"));
    CHECK("whose lock it is does not show in a list", ask(&region, SR_LIST, 0, 8, 0, &request) == SR_DONE
              && request.run_count == 3 && request.runs[0].locks == 2 && request.runs[1].first == 4
              && request.runs[1].locks == 1 && request.runs[2].first == 7 && request.runs[3].first == 8);
    free(request.runs);
    CHECK("unlock them all", ask(&region, SR_UNLOCK, 0, 4, 0, NULL) == SR_DONE
                                 && ask(&region, SR_UNLOCK, 0, 7, 0, NULL) == SR_DONE);
    CHECK("the program's own locks stay", is_seen(&region, 1, 6, "rw-p rw-p/lo rw-p rw-p rw-p/lo rw-p"));
    CHECK("a refused lock leaves no trace of having looked",
          ask(&region, SR_LOCK, 0, 8, 0, NULL) == SR_NOT_COMMITTED
              && region.pages.run_count == 2);
    CHECK("when the program has unlocked its page", munlock(region.address + 2 * page, page) == 0);
    CHECK("strongroom's next lock of it is strongroom's own",
          ask(&region, SR_LOCK, 2, 1, 0, NULL) == SR_DONE && is_seen(&region, 2, 1, "rw-p/lo")
              && ask(&region, SR_UNLOCK, 2, 1, 0, NULL) == SR_DONE && is_seen(&region, 2, 1, "rw-p"));
    release(&region);
}

/* ---- holds ---- */

static void check_holding(sr_region *region, sr_hold_kind kind)
{
    uint64_t hold, inner;
    sr_request request;
    (void)ask(region, SR_COMMIT, 0, PAGES - 1, SR_READ_WRITE, NULL);
    CHECK("hold pages 2 to 4 as writable", ask_hold(region, kind, SR_READ_WRITE, 2, 3, &hold) == SR_DONE);
    CHECK("and 3 as readable", ask_hold(region, kind, SR_READ_ONLY, 3, 1, &inner) == SR_DONE && inner != hold);
    CHECK("decommit that touches it is refused", ask(region, SR_DECOMMIT, 0, 3, 0, &request) == SR_HELD
                                                     && request.held.id == hold && request.held.kind == kind);
    CHECK("so are release, and less than writing",
          ask(region, SR_RELEASE, 0, 0, 0, NULL) == SR_HELD
              && ask(region, SR_PROTECT, 4, 1, SR_READ_ONLY, NULL) == SR_HELD
              && ask(region, SR_COMMIT, 4, 3, SR_EXECUTE_READ, NULL) == SR_HELD
              && ask(region, SR_PROTECT, 0, 7, SR_NO_ACCESS, NULL) == SR_HELD
              && ask(region, SR_PROTECT, 2, 1, SR_READ_WRITE | SR_GUARD, NULL) == SR_HELD);
    CHECK("nothing of that is seen", is_seen(region, 0, 7, "rw-p rw-p rw-p rw-p rw-p rw-p rw-p"));
    CHECK("more than it asks for is fine", ask(region, SR_PROTECT, 2, 1, SR_EXECUTE_READ_WRITE, NULL) == SR_DONE
                                               && is_seen(region, 2, 1, "rwxp"));
    CHECK("and its neighbours are free", ask(region, SR_DECOMMIT, 0, 2, 0, NULL) == SR_DONE
                                             && ask(region, SR_PROTECT, 5, 1, SR_NO_ACCESS, NULL) == SR_DONE
                                             && is_seen(region, 0, 6, "---p ---p rwxp rw-p rw-p ---p"));
    CHECK("after letting go the other one still holds", ask_unhold(region, hold) == SR_DONE
              && ask(region, SR_PROTECT, 3, 1, SR_NO_ACCESS, &request) == SR_HELD && request.held.id == inner
              && ask(region, SR_PROTECT, 3, 1, SR_EXECUTE, NULL) == SR_DONE && is_seen(region, 3, 1, "r-xp"));
    CHECK("what is closed or reserved cannot be held", ask_hold(region, kind, SR_READ_ONLY, 5, 1, &hold) == SR_FORBIDDEN
              && ask_hold(region, kind, SR_READ_WRITE, 3, 1, &hold) == SR_FORBIDDEN
              && ask_hold(region, kind, SR_READ_ONLY, 0, 1, &hold) == SR_NOT_COMMITTED);
    CHECK("the last one lets go", ask_unhold(region, inner) == SR_DONE);
    CHECK("once", ask_unhold(region, inner) == SR_NO_SUCH_HOLD);
    CHECK("everything is allowed again", ask(region, SR_DECOMMIT, 0, PAGES, 0, NULL) == SR_DONE
                                             && is_seen(region, 0, 5, "---p ---p ---p ---p ---p"));
}

static void test_listing(void)
{
    uint64_t made;
    sr_region region;
    sr_request request;
    reserve_and_commit(&region);
    CHECK("no holds are listed where there are none",
          ask(&region, SR_LIST_HOLDS, 0, 1, 0, &request) == SR_DONE && request.hold_count == 0);
    free(request.holds);
    CHECK("control: a hold is made", ask_hold(&region, SR_HOLD_SECURE, SR_READ_ONLY, 2, 3, &made) == SR_DONE);
    CHECK("a hold is listed: its range, mode and kind, in a copy",
          ask(&region, SR_LIST_HOLDS, 0, 1, 0, &request) == SR_DONE && request.hold_count == 1
              && request.holds[0].first == 2 && request.holds[0].count == 3 && request.holds[0].mode == SR_READ_ONLY
              && request.holds[0].kind == SR_HOLD_SECURE && request.holds != region.holds);
    free(request.holds);
    (void)ask_unhold(&region, made);
    release(&region);
}

static void test_guarded_holds(void)
{
    uint64_t hold;
    sr_region region;
    reserve_and_commit(&region);
    (void)ask(&region, SR_PROTECT, 1, 1, SR_READ_WRITE | SR_GUARD, NULL);
    CHECK("securing a guard page is refused, and it stays one",
          ask_hold(&region, SR_HOLD_SECURE, SR_READ_ONLY, 0, 2, &hold) == SR_FORBIDDEN && is_seen(&region, 1, 1, "---p"));
    CHECK("viewing it is the touch it waited for",
          ask_hold(&region, SR_HOLD_VIEW, SR_READ_ONLY, 0, 2, &hold) == SR_GUARD_TOUCHED && is_seen(&region, 1, 1, "rw-p"));
    CHECK("and no hold came of it", region.hold_count == 0);
    release(&region);
}

static void test_permanent(void *unused)
{
    (void)unused;
    uint64_t hold;
    sr_region region;
    sr_error error;
    reserve_and_commit(&region);
    if (sr_os_seal(region.address + 6 * page, page, &error) != 0) {
        skip("permanent holds", "this kernel has no mseal(2): Linux 6.10");
        return;
    }
    char *held = region.address + 2 * page;
    CHECK("a permanent hold", ask_hold(&region, SR_HOLD_PERMANENT, SR_READ_WRITE, 2, 2, &hold) == SR_DONE);
    CHECK("strongroom refuses even what would satisfy its mode",
          ask(&region, SR_PROTECT, 3, 1, SR_EXECUTE_READ_WRITE, NULL) == SR_HELD
              && ask(&region, SR_DECOMMIT, 0, 8, 0, NULL) == SR_HELD && ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_HELD);
    CHECK("the kernel refuses everybody", mprotect(held, page, PROT_NONE) == -1 && errno == EPERM
                                              && munmap(held, page) == -1 && errno == EPERM
                                              && mmap(held, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                                                      -1, 0) == MAP_FAILED);
    CHECK("control: not for its neighbour", mprotect(held - page, page, PROT_READ) == 0);
    CHECK("writing and locking go on", ask_bytes(&region, SR_FILL, 2 * page, 9, NULL, NULL) == SR_DONE
              && ask(&region, SR_LOCK, 2, 2, 0, NULL) == SR_DONE && is_seen(&region, 2, 2, "rw-p/lo rw-p/lo")
              && ask(&region, SR_UNLOCK, 2, 2, 0, NULL) == SR_DONE && is_seen(&region, 2, 2, "rw-p rw-p"));
}

/* ---- fork ---- */

static void look_in_child(void *argument)
{
    sr_region *region = argument;
    sr_request request;
    CHECK("a child has the protections, and no locks", is_seen(region, 0, 4, "rw-p r--p rw-p rw-p"));
    CHECK("and the contents", is_all(region->address, page, 0xA5));
    CHECK("its books know", ask(region, SR_UNLOCK, 0, 1, 0, NULL) == SR_NOT_LOCKED && is_as_booked(region));
    CHECK("a View holds there, too", ask(region, SR_DECOMMIT, 2, 1, 0, &request) == SR_HELD
                                         && request.held.kind == SR_HOLD_VIEW);
    CHECK("a secure handle does not", ask(region, SR_PROTECT, 3, 1, SR_NO_ACCESS, NULL) == SR_DONE);
    CHECK("locks of its own are counted anew", ask(region, SR_LOCK, 0, 1, 0, NULL) == SR_DONE
              && is_seen(region, 0, 1, "rw-p/lo") && ask(region, SR_UNLOCK, 0, 1, 0, NULL) == SR_DONE
              && is_seen(region, 0, 1, "rw-p"));
    memset(region->address, 1, page);
}

static void test_fork(void)
{
    uint64_t view, secure;
    sr_region region;
    reserve_and_commit(&region);
    memset(region.address, 0xA5, page);
    (void)ask(&region, SR_LOCK, 0, 2, 0, NULL);
    (void)ask(&region, SR_LOCK, 0, 1, 0, NULL);
    (void)ask(&region, SR_PROTECT, 1, 1, SR_READ_ONLY, NULL);
    (void)ask_hold(&region, SR_HOLD_SECURE, SR_READ_WRITE, 3, 1, &secure);
    (void)ask_hold(&region, SR_HOLD_VIEW, SR_READ_WRITE, 2, 1, &view);
    check_in_child("a forked child has views and contents, but neither locks nor secure handles", look_in_child, &region);
    CHECK("the parent's are untouched", is_seen(&region, 0, 4, "rw-p/lo r--p/lo rw-p rw-p")
              && is_all(region.address, page, 0xA5) && ask(&region, SR_PROTECT, 3, 1, SR_NO_ACCESS, NULL) == SR_HELD);
    CHECK("and end as usual", ask_unhold(&region, secure) == SR_DONE && ask_unhold(&region, view) == SR_DONE);
    release(&region);
}

int main(void)
{
    sr_region region;
    begin_regions();
    page = sr_os_page_size();
    reserve_pages(&region, PAGES);
    check_holding(&region, SR_HOLD_VIEW);
    check_holding(&region, SR_HOLD_SECURE);
    release(&region);
    test_listing();
    test_guarded_holds();
    if (HAS_NO_LOCKS) {
        skip("locks, permanent holds and fork", "AddressSanitizer replaces mlock by nothing");
    } else {
        test_counting();
        test_others();
        check_in_child("permanent holds", test_permanent, NULL);
        test_fork();
    }
    return check_result();
}
