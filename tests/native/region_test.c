/* Regions on Linux: what each verb does to pages, in the kernel's own words (proc_pid_smaps(5)). Locks, holds and fork
 * are in region_holds_test.c. */
#define _GNU_SOURCE
#include "region_check.h"

#include "os_pipe.h"

#include <errno.h>
#include <sys/mman.h>

enum { PAGES = 8, RANDOM_PAGES = 16, STEPS = HAS_ASAN ? 300 : 1500 };

static size_t page;

static int is_seen(const sr_region *region, size_t first, size_t count, const char *words)
{
    const char *found = seen(region, first, count);
    return strcmp(found, words) == 0 ? 1 : (printf("      seen: %s\n", found), 0);
}

static void test_commit_and_decommit(void)
{
    sr_region region;
    reserve_pages(&region, PAGES);
    CHECK("reserved pages are inaccessible", is_seen(&region, 0, 3, "---p ---p ---p"));
    CHECK("commit of two pages", ask(&region, SR_COMMIT, 2, 2, SR_READ_WRITE, NULL) == SR_DONE);
    CHECK("is seen there alone", is_seen(&region, 1, 4, "---p rw-p rw-p ---p"));
    CHECK("they are not resident until touched", resident_kb(region.address + 2 * page) == 0);
    CHECK("they are zeros", is_all(region.address + 2 * page, 2 * page, 0));
    memset(region.address + 2 * page, 0xA5, 2 * page);
    CHECK("commit over a part that is committed", ask(&region, SR_COMMIT, 0, 6, SR_READ_ONLY, NULL) == SR_DONE);
    CHECK("gives all of it the new protection", is_seen(&region, 0, 7, "r--p r--p r--p r--p r--p r--p ---p"));
    CHECK("the content stays", is_all(region.address + 2 * page, 2 * page, 0xA5));
    CHECK("what was reserved is zeros", is_all(region.address, 2 * page, 0)
                                            && is_all(region.address + 4 * page, 2 * page, 0));
    CHECK("decommit of a range with reserved pages", ask(&region, SR_DECOMMIT, 3, 5, 0, NULL) == SR_DONE);
    CHECK("leaves the rest", is_seen(&region, 0, 5, "r--p r--p r--p ---p ---p"));
    CHECK("commit again", ask(&region, SR_COMMIT, 3, 1, SR_READ_WRITE, NULL) == SR_DONE);
    CHECK("reads as zeros", is_all(region.address + 3 * page, page, 0));
    CHECK("and its neighbour kept its content", is_all(region.address + 2 * page, page, 0xA5));
    CHECK("control: the books agree with the kernel", is_as_booked(&region));
    mprotect(region.address, page, PROT_NONE);
    CHECK("control: a page that other code changed is found", first_difference(&region) == 0);

    char *address = region.address;
    CHECK("release", ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
    CHECK("leaves nothing mapped", !is_mapped(address) && !is_mapped(address + (PAGES - 1) * page));
    CHECK("after it every verb says so", ask(&region, SR_COMMIT, 0, 1, SR_READ_WRITE, NULL) == SR_IS_RELEASED
                                             && ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_IS_RELEASED);
}

static void test_protect(void)
{
    static const unsigned all[] = {SR_NO_ACCESS, SR_READ_ONLY, SR_READ_WRITE, SR_EXECUTE, SR_EXECUTE_READ,
                                   SR_EXECUTE_READ_WRITE, SR_READ_WRITE | SR_GUARD};
    sr_region region;
    sr_request request;
    reserve_pages(&region, PAGES);
    (void)ask(&region, SR_COMMIT, 0, 6, SR_READ_WRITE, NULL);
    memset(region.address, 0xA5, 6 * page);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK("a protection", ask(&region, SR_PROTECT, 1, 1, all[i], NULL) == SR_DONE && is_as_booked(&region));
    }
    CHECK("another", ask(&region, SR_PROTECT, 3, 2, SR_EXECUTE_READ, NULL) == SR_DONE);
    CHECK("a mixed range is now", is_seen(&region, 0, 7, "rw-p ---p rw-p r-xp r-xp rw-p ---p"));
    request = (sr_request){.verb = SR_PROTECT, .first = 1, .count = 5, .protection = SR_READ_ONLY, .wants_runs = 1};
    CHECK("one protection over all of it", sr_region_do(&region, &request) == SR_DONE);
    CHECK("is seen", is_seen(&region, 0, 7, "rw-p r--p r--p r--p r--p r--p ---p"));
    CHECK("the old one of the first page comes back", request.protection == (SR_READ_WRITE | SR_GUARD));
    CHECK("and every run", request.run_count == 4 && request.runs[2].first == 3 && request.runs[3].first == 5
                               && request.runs[2].protection == SR_EXECUTE_READ && request.runs[4].first == 6);
    free(request.runs);
    CHECK("the content stays", is_all(region.address + page, 5 * page, 0xA5));
    CHECK("a range with a reserved page is refused",
          ask(&region, SR_PROTECT, 4, 4, SR_READ_WRITE, &request) == SR_NOT_COMMITTED && request.page == 6);
    CHECK("and nothing of it changed", is_seen(&region, 4, 3, "r--p r--p ---p"));
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

static void test_copy(void)
{
    static char bytes[4 * 4096], back[sizeof bytes];
    sr_region region;
    sr_request request;
    reserve_pages(&region, PAGES);
    (void)ask(&region, SR_COMMIT, 0, 4, SR_READ_WRITE, NULL);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 31 % 251);
    }
    CHECK("copy in, at odd places", ask_bytes(&region, SR_COPY_IN, 77, 9000, bytes, NULL) == SR_DONE);
    CHECK("copy out", ask_bytes(&region, SR_COPY_OUT, 77, 9000, back, NULL) == SR_DONE);
    CHECK("brings the same", memcmp(bytes, back, 9000) == 0 && is_all(region.address, 77, 0)
                                 && is_all(region.address + 9077, 4 * page - 9077, 0));
    CHECK("fill", ask_bytes(&region, SR_FILL, 100, 2 * page + 1, NULL, NULL) == SR_DONE);
    CHECK("sets exactly its bytes", memcmp(region.address + 77, bytes, 23) == 0
                                        && is_all(region.address + 100, 2 * page + 1, 0x5A)
                                        && memcmp(region.address + 2 * page + 101, bytes + 2 * page + 24, 100) == 0);
    (void)ask(&region, SR_PROTECT, 1, 1, SR_READ_ONLY, NULL);
    CHECK("writing over a read-only page is refused, by page and protection",
          ask_bytes(&region, SR_COPY_IN, 0, 3 * page, bytes, &request) == SR_FORBIDDEN && request.page == 1
              && request.found == SR_READ_ONLY);
    CHECK("nothing was written", region.address[99] == bytes[22] && region.address[100] == 0x5A);
    CHECK("reading it is not refused", ask_bytes(&region, SR_COPY_OUT, page, page, back, NULL) == SR_DONE);
    CHECK("reserved pages are refused", ask_bytes(&region, SR_COPY_OUT, 3 * page, page + 1, back, &request)
                                                == SR_NOT_COMMITTED && request.page == 4);
    mprotect(region.address, page, PROT_NONE);
    CHECK("a page that other code has closed is an error, no fault",
          ask_bytes(&region, SR_COPY_OUT, 0, 2 * page, back, &request) == SR_FAILED && request.error.code == EFAULT);
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

static void test_guard(void)
{
    char byte = 1;
    sr_region region;
    sr_request request;
    reserve_pages(&region, PAGES);
    (void)ask(&region, SR_COMMIT, 0, 3, SR_READ_WRITE, NULL);
    memset(region.address, 0xA5, 3 * page);
    (void)ask(&region, SR_PROTECT, 1, 2, SR_READ_WRITE | SR_GUARD, NULL);
    CHECK("guard pages are closed", is_seen(&region, 0, 4, "rw-p ---p ---p ---p"));
    CHECK("the first touch says so, and copies nothing",
          ask_bytes(&region, SR_COPY_OUT, page, 1, &byte, &request) == SR_GUARD_TOUCHED && request.page == 1
              && byte == 1);
    CHECK("it ends the guarding of that page alone", is_seen(&region, 0, 4, "rw-p rw-p ---p ---p"));
    CHECK("the second touch reads",
          ask_bytes(&region, SR_COPY_OUT, page, 1, &byte, NULL) == SR_DONE && byte == (char)0xA5);
    CHECK("locking a guard page is refused and does not end it",
          ask(&region, SR_LOCK, 2, 1, 0, NULL) == SR_FORBIDDEN && is_seen(&region, 2, 1, "---p"));
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

/* ---- the contract's copying ---- */

typedef int copying(void *to, const void *from, size_t size, sr_error *error);

static void check_copying(const char *name, copying *copy)
{
    sr_error error = {"", 0};
    sr_region region;
    int open_before = count_open_files();
    reserve_pages(&region, PAGES);
    (void)ask(&region, SR_COMMIT, 0, PAGES, SR_READ_WRITE, NULL);
    char *low = region.address, *high = low + 4 * page;
    memset(low, 0xA5, 4 * page);
    printf("      copying by %s\n", name);
    CHECK("all of it arrives", copy(high + 1, low + 3, 3 * page + 5, &error) == 0
                                   && is_all(high + 1, 3 * page + 5, 0xA5) && is_all(high + 3 * page + 6, 9, 0));
    mprotect(low + page, page, PROT_NONE);
    mprotect(high + page, page, PROT_READ);
    CHECK("from a closed page: an error", copy(high, low + 2 * page - 1, 1, &error) == -1 && error.code == EFAULT);
    CHECK("from an open one into a closed one", copy(high, low, page + 1, &error) == -1 && error.code == EFAULT);
    CHECK("to a page that may not be written", copy(high + page, low, 1, &error) == -1 && error.code == EFAULT);
    CHECK("from nowhere", copy(high, NULL, 1, &error) == -1 && error.code == EFAULT);
    CHECK("no descriptor is left", count_open_files() == open_before);
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

static void test_secret_source(void)
{
    sr_error error = {"", 0};
    sr_region region, secret;
    reserve_pages(&region, 2);
    (void)ask(&region, SR_COMMIT, 0, 2, SR_READ_WRITE, NULL);
    reserve_pages(&secret, 2);
    if (sr_os_secretmem(secret.address, 2 * page, &error) != 0) {
        skip("copying from secret memory", "this kernel has none: Linux 6.5, or 5.14 with secretmem.enable=1");
    } else {
        memset(secret.address, 0xA5, 2 * page);
        CHECK("secret memory is a source: the kernel may not look at it for others, but for its owner it may",
              ask_bytes(&region, SR_COPY_IN, 3, page, secret.address, NULL) == SR_DONE
                  && is_all(region.address + 3, page, 0xA5) && is_all(region.address + 3 + page, 9, 0));
        mprotect(secret.address + page, page, PROT_NONE);
        CHECK("a closed page of it is not", sr_os_copy(region.address, secret.address, page + 1, &error) == -1
                                                && error.code == EFAULT);
    }
    (void)ask(&secret, SR_RELEASE, 0, 0, 0, NULL);
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

static void test_aligned(void)
{
    for (size_t alignment = page; alignment <= 1024 * page; alignment *= 4) {
        sr_region region;
        sr_error error = {"", 0};
        long size_before = status_number("VmSize");
        CHECK("an aligned reservation", sr_region_reserve(&region, 3, SR_PLACE_ANYWHERE, NULL, alignment, &error) == 0
                                            && (uintptr_t)region.address % alignment == 0);
        if (!HAS_ASAN) { /* its own memory grows whenever it likes */
            CHECK("keeps no more than it needs", status_number("VmSize") == size_before + (long)(3 * page / 1024));
        }
        CHECK("is usable", ask(&region, SR_COMMIT, 0, 3, SR_READ_WRITE, NULL) == SR_DONE && is_as_booked(&region));
        (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
    }
}

/* Whatever is done in whatever order, the kernel shows what the books say. */
static void test_at_random(void)
{
    static const unsigned protections[] = {SR_NO_ACCESS, SR_READ_ONLY, SR_READ_WRITE, SR_READ_WRITE | SR_GUARD};
    static const sr_verb verbs[] = {SR_COMMIT, SR_COMMIT, SR_DECOMMIT, SR_PROTECT, SR_LOCK, SR_UNLOCK};
    uint64_t chance = 0x9E3779B97F4A7C15;
    size_t wrong = 0, answered[SR_NO_SUCH_HOLD + 1] = {0};
    sr_region region;
    reserve_pages(&region, RANDOM_PAGES);
    for (int i = 0; i < STEPS; i++) {
        size_t first = below(&chance, RANDOM_PAGES), count = 1 + below(&chance, RANDOM_PAGES - first) / 2;
        answered[ask(&region, verbs[below(&chance, 6)], first, count, protections[below(&chance, 4)], NULL)]++;
        wrong += !is_as_booked(&region);
    }
    CHECK("after each of many random steps the kernel agrees with the books", wrong == 0);
    CHECK("control: many were done, many refused, none failed",
          answered[SR_DONE] > STEPS / 4 && answered[SR_NOT_COMMITTED] > 0 && answered[SR_FORBIDDEN] > 0
              && answered[SR_NOT_LOCKED] > 0 && answered[SR_FAILED] == 0);
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

int main(void)
{
    begin_regions();
    page = sr_os_page_size();
    test_commit_and_decommit();
    test_protect();
    test_copy();
    test_guard();
    check_copying("the contract", sr_os_copy);
    check_copying("a pipe", sr_pipe_copy);
    test_secret_source();
    test_aligned();
    test_at_random();
    return check_result();
}
