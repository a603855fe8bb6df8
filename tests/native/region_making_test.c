/* Making a region, sealing a range and copying through a pipe, with each system call on the way refused: the error names
 * it, and neither address space nor a descriptor is left. What is done with a region is in region_refused_test.c. */
#include "refusing.h"

#include "region_check.h"

#include "os_pipe.h"

#include <limits.h>

static const int codes[] = {ENOMEM, EPERM, EAGAIN, EINVAL, ENOSYS};
enum { CODES = sizeof codes / sizeof codes[0] };

static size_t page;
static char from[3 * 4096], to[sizeof from];

/* ---- ways to make a region ---- */

typedef struct making {
    const char *name;
    sr_place place;
    size_t alignment_pages;
    int is_large;
} making;

static const making makings[] = {
    {"anywhere", SR_PLACE_ANYWHERE, 0, 0},      {"near an address", SR_PLACE_NEAR, 0, 0},
    {"at an address", SR_PLACE_EXACT, 0, 0},    {"top down", SR_PLACE_TOP_DOWN, 0, 0},
    {"aligned", SR_PLACE_ANYWHERE, 64, 0},      {"aligned to much", SR_PLACE_ANYWHERE, 4096, 0},
    {"large pages", SR_PLACE_ANYWHERE, 0, 1},
};

static int make(const making *one, sr_region *region, sr_error *error)
{
    if (one->is_large) {
        return sr_region_reserve_large(region, 1, SR_READ_ONLY, error);
    }
    char *wish = (char *)0x200000000000 + 64 * page;
    return sr_region_reserve(region, 5, one->place, wish, one->alignment_pages * page, error);
}

static size_t mapped_kb(void)
{
    return HAS_ASAN ? 0 : (size_t)status_number("VmSize");
}

static int is_right(const making *one, int which, int code)
{
    sr_region region;
    sr_error error = {"", 0};
    size_t before = mapped_kb();
    refuse_nth(which, code, 0);
    int result = make(one, &region, &error);
    const char *call = refused;
    refuse_nth(0, 0, 0);
    if (call == NULL || result == 0) {
        return 0;
    }
    int is_fine = strncmp(error.call, call, strlen(call)) == 0 && error.code == code && mapped_kb() == before;
    if (!is_fine) {
        printf("      %s: call %d (%s) refused with errno %d: %s, %lld, %zu KiB left\n", one->name, which, call, code,
               error.call, (long long)error.code, mapped_kb() - before);
    }
    return is_fine;
}

static void test_makings(void)
{
    for (size_t i = 0; i < sizeof makings / sizeof makings[0]; i++) {
        const making *one = &makings[i];
        sr_region region;
        sr_error error;
        int wrong = 0;
        if (one->is_large && sr_os_large_page_size() == 0) {
            skip("large pages", "this kernel does not say how large they are");
            continue;
        }
        refuse_nth(INT_MAX, 0, 0);
        int result = make(one, &region, &error), call_count = calls_seen;
        refuse_nth(0, 0, 0);
        CHECK("control: unhindered it is made", result == 0 && call_count >= 1 && call_count <= 3);
        CHECK("and where it was asked for", one->place != SR_PLACE_EXACT
                                                || region.address == (char *)0x200000000000 + 64 * page);
        CHECK("and released", ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
        /* The read of /proc/meminfo is no such call: without it there are no large pages to ask for. */
        for (int choice = 0; choice < CODES * call_count; choice++) {
            if (!(one->is_large && choice / CODES == 0)) {
                wrong += !is_right(one, 1 + choice / CODES, codes[choice % CODES]);
            }
        }
        CHECK(one->name, wrong == 0);
    }
}

static void test_taken_address(void)
{
    sr_region region, second;
    sr_error error;
    reserve_pages(&region, 5);
    size_t before = mapped_kb();
    CHECK("an address that is taken is refused", sr_region_reserve(&second, 2, SR_PLACE_EXACT, region.address + page, 0,
                                                                   &error) == -1 && error.code == EEXIST);
    CHECK("and nothing is left or replaced", mapped_kb() == before && is_as_booked(&region));
    (void)ask(&region, SR_RELEASE, 0, 0, 0, NULL);
}

/* ---- sealing ---- */

static void test_sealing_refused(void)
{
    uint64_t hold;
    sr_region region;
    reserve_pages(&region, 5);
    (void)ask(&region, SR_COMMIT, 0, 5, SR_READ_WRITE, NULL);
    for (int code = 0; code < CODES; code++) {
        refuse_nth(1, codes[code], 0);
        sr_answer answer = ask_hold(&region, SR_HOLD_PERMANENT, SR_READ_WRITE, 1, 2, &hold);
        CHECK("control: the kernel was asked to seal", refused != NULL && strcmp(refused, "mseal") == 0);
        refuse_nth(0, 0, 0);
        CHECK("a refused seal leaves no hold", answer == SR_FAILED && region.hold_count == 0
                                                   && ask(&region, SR_DECOMMIT, 1, 2, 0, NULL) == SR_DONE
                                                   && ask(&region, SR_COMMIT, 1, 2, SR_READ_WRITE, NULL) == SR_DONE);
    }
    CHECK("and the region can be released", ask(&region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
}

/* ---- copying through a pipe ---- */

static void test_pipe_refused(void)
{
    sr_error error;
    int open_before = count_open_files(), wrong = 0;
    memset(from, 0xA5, sizeof from);
    refuse_nth(INT_MAX, 0, 0);
    CHECK("control: three pages are a pipe, three writes and three reads",
          sr_pipe_copy(to, from, sizeof from, &error) == 0 && calls_seen == 7 && is_all(to, sizeof to, 0xA5));
    for (int choice = 0; choice < CODES * 7; choice++) {
        refuse_nth(1 + choice / CODES, codes[choice % CODES], 0);
        int result = sr_pipe_copy(to, from, sizeof from, &error);
        wrong += result != -1 || refused == NULL || strcmp(error.call, refused) != 0
            || error.code != codes[choice % CODES] || count_open_files() != open_before;
    }
    CHECK("each of them refused is named, and both ends are closed", wrong == 0);
    memset(to, 0, sizeof to);
    for (int which = 2; which <= 7; which++) {
        refuse_nth(which, EINTR, 0);
        wrong += sr_pipe_copy(to, from, sizeof from, &error) != 0 || refused == NULL;
    }
    CHECK("a signal in between stops none of them", wrong == 0 && is_all(to, sizeof to, 0xA5));
    refuse_nth(0, 0, 0);
}

/* The two calls that sandboxes forbid: then, and only then, the bytes go through a pipe. */
static void test_copy_refused(void)
{
    sr_error error;
    for (int code = 0; code < CODES; code++) {
        int has_pipe = codes[code] == ENOSYS || codes[code] == EPERM;
        memset(to, 0, sizeof to);
        refuse_nth(1, codes[code], 0);
        int result = sr_os_copy(to, from, sizeof from, &error);
        CHECK("a copy that the kernel refuses takes the pipe, or is an error",
              has_pipe ? result == 0 && calls_seen == 8 && is_all(to, sizeof to, 0xA5)
                       : result == -1 && strcmp(error.call, "process_vm_readv") == 0 && error.code == codes[code]);
    }
    refuse_nth(0, 0, 0);
}

int main(void)
{
    begin_regions();
    page = sr_os_page_size();
    (void)mapped_kb();
    test_makings();
    test_taken_address();
    test_sealing_refused();
    test_pipe_refused();
    test_copy_refused();
    return check_result();
}
