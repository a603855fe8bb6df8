/* Stores and windows with each system call on the way refused: the error names it, and nothing has changed. */
#include "refusing.h"

#include "store_check.h"

#include <sys/stat.h>

REFUSABLE(int, memfd_create, (const char *name, unsigned flags), (name, flags))
REFUSABLE(int, fstat, (int file, struct stat *found), (file, found))

static void test_refused_makings(sr_store_kind kind)
{
    int is_last = 0, clean = 1;
    for (int nth = 1; nth < 20 && !is_last; nth++) {
        int files = count_open_files();
        long mapped = status_number("VmSize"), locked = status_number("VmLck");
        sr_error error = {"", 0};
        refuse_nth(nth, EPERM, 0);
        sr_store *store = sr_store_make(kind, PAGES, &owner, &error);
        const char *which = refused;
        refuse_nth(0, 0, 0);
        is_last = which == NULL;
        if (store != NULL) {
            clean &= is_last || strcmp(which, "madvise") == 0; /* that against huge pages */
            sr_store_let_go(store);
        } else {
            clean &= strncmp(error.call, which, strlen(which)) == 0 && error.code == EPERM;
        }
        clean &= count_open_files() == files && status_number("VmLck") == locked
            && (HAS_ASAN || status_number("VmSize") == mapped);
        if (!clean) {
            printf("      %d: %s refused, the error is %s\n", nth, which != NULL ? which : "nothing", error.call);
            break;
        }
    }
    CHECK("  a making that fails names the call and leaves nothing", clean && is_last);
}

/* What a window shows stays, whichever call of a map or unmap fails, with its protections. */
static void test_refused_maps(sr_store_kind kind, const char *before, int is_unmap)
{
    sr_region window;
    sr_store *store = made(kind);
    make_window(&window);
    for (size_t i = 0; i < PANES; i++) {
        if (before[i] != '-') {
            (void)map_pages(&window, i, store, (size_t)(before[i] - 'a'), 1);
        }
    }
    if (before[2] != '-') {
        (void)ask(&window, SR_PROTECT, 2, 1, SR_READ_ONLY, NULL);
    }
    sr_store_run runs[] = {{8, 2}, {12, 1}, {2, 1}};
    int is_done = 0, clean = 1, nth;
    for (nth = 1; nth < 20 && !is_done && clean; nth++) {
        sr_request request;
        refuse_nth(nth, ENOMEM, 0);
        sr_answer answer = map_runs(&window, 1, 4, is_unmap ? NULL : store, is_unmap ? NULL : runs, &request);
        const char *which = refused;
        refuse_nth(0, 0, 0);
        is_done = answer == SR_DONE;
        if (!is_done) {
            clean = answer == SR_FAILED && which != NULL && strncmp(request.error.call, which, strlen(which)) == 0
                && request.error.code == ENOMEM && is_shown(&window, before)
                && (before[2] == '-' || has_permissions(window.address + 2 * page, "r--s"));
        }
        if (!clean) {
            printf("      %d: %s refused: %d, %s %lld\n", nth, which, (int)answer, request.error.call,
                   (long long)request.error.code);
        }
    }
    CHECK("  a map that fails names the call, and everything is as it was", clean && is_done && nth > 2);
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    end_store(store);
}

/* And if even what was there is not to be had any more, the pages are stricter than the books say, until they are mapped
 * again. */
static void test_refused_for_good(sr_store_kind kind)
{
    sr_region window;
    sr_store *store = made(kind);
    make_window(&window);
    (void)map_pages(&window, 0, store, 0, 6);
    (void)ask(&window, SR_PROTECT, 1, 1, SR_READ_ONLY, NULL);
    sr_store_run runs[] = {{8, 1}, {12, 1}, {14, 1}};
    refuse_call = kind == SR_STORE_LOCKED ? "fstat" : "mremap";
    refuse_nth(2, ENOMEM, 1); /* the first page is another one by then */
    sr_answer answer = map_runs(&window, 1, 3, store, runs, NULL);
    refuse_nth(0, 0, 0);
    refuse_call = NULL;
    CHECK("  nor is it a page of zeros", has_permissions(window.address + page, "---p"));
    CHECK("  what cannot be brought back is hidden at least",
          answer == SR_FAILED && strcmp(shown(&window), "a-cdef--") == 0
              && store->shown_count == 6);
    CHECK("  and can be shown again", map_pages(&window, 1, store, 1, 3) == SR_DONE && is_shown(&window, "abcdef--"));
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    end_store(store);
}

/* A daemon closes all descriptors, and another file gets the number. */
static void test_lost_descriptor(void)
{
    sr_region window;
    sr_error error;
    sr_request request;
    sr_store_run run = {0, 1};
    sr_store *store = made(SR_STORE_LOCKED);
    int number = (int)store->native.file;
    make_window(&window);
    close(number);
    CHECK("a store whose descriptor was closed shows no page", map_runs(&window, 0, 1, store, &run, &request) == SR_FAILED
                                                                   && request.error.code == EBADF);
    FILE *theirs = tmpfile();
    CHECK("(its number was given away)", theirs != NULL && fileno(theirs) == number && ftruncate(number, 65536) == 0);
    CHECK("nor another file's", map_runs(&window, 0, 1, store, &run, &request) == SR_FAILED
                                    && request.error.code == EBADF && is_shown(&window, "--------"));
    struct stat found;
    CHECK("which it does not close", sr_store_end(store, &error) == 0 && __real_fstat(number, &found) == 0);
    fclose(theirs);
    sr_store_let_go(store);
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
}

static void test_all(sr_store_kind kind)
{
    test_refused_makings(kind);
    test_refused_maps(kind, "abcdefg-", 0);
    test_refused_maps(kind, "a-c--f--", 0);
    test_refused_maps(kind, "--------", 0);
    test_refused_maps(kind, "abcdefg-", 1);
    test_refused_for_good(kind);
}

int main(void)
{
    with_each_kind(test_all);
    test_lost_descriptor();
    return check_result();
}
