/* Stores of physical pages and windows: which page is where, what the kernel says of them, and what a child has. */
#define _GNU_SOURCE
#include "store_check.h"

static void test_what_it_is(sr_store_kind kind)
{
    int files = count_open_files();
    long mapped = status_number("VmSize");
    sr_region window;
    sr_store *store = made(kind);
    make_window(&window);
    char *pages = store->native.address;
    CHECK("  a store is a shared mapping, left out of dumps, and not in children",
          has_permissions(pages, "rw-s") && has_flag(pages, "dd") && has_flag(pages, "dc"));
    if (!HAS_NO_LOCKS) {
        CHECK("  and locked", has_flag(pages, "lo"));
    }
    CHECK("  secret memory has no descriptor", count_open_files() - files == (kind == SR_STORE_LOCKED));
    CHECK("  a window shows nothing", is_shown(&window, "--------"));
    CHECK("  pages are shown", map_pages(&window, 2, store, 4, 3) == SR_DONE && is_shown(&window, "--efg---"));
    char *pane = window.address + 2 * page;
    CHECK("  they too are left out of dumps, and not in children", has_flag(pane, "dd") && has_flag(pane, "dc"));
    memset(pane, 'X', page);
    CHECK("  they are the store's own", pages[4 * page] == 'X');
    memset(pane, 'e', page);
    CHECK("  others take their place", map_pages(&window, 3, store, 8, 3) == SR_DONE && is_shown(&window, "--eijk--"));
    sr_store_run runs[] = {{15, 1}, {3, 2}, {0, 1}};
    CHECK("  and some in any order",
          map_runs(&window, 0, 4, store, runs, NULL) == SR_DONE && is_shown(&window, "pdeajk--"));
    CHECK("  a page may change its place", map_pages(&window, 0, store, 3, 4) == SR_DONE
                                                && is_shown(&window, "defgjk--"));
    CHECK("  it is hidden", unmap(&window, 1, 3) == SR_DONE && is_shown(&window, "d---jk--"));
    CHECK("  what shows nothing can be hidden", unmap(&window, 6, 2) == SR_DONE && is_shown(&window, "d---jk--"));
    sr_error error;
    CHECK("  what is shown keeps the store", sr_store_end(store, &error) == 1 && store->shown_count == 3);
    CHECK("  the window ends, the pages stay",
          ask(&window, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE && store->shown_count == 0 && pages[3 * page] == 'd');
    end_store(store);
    CHECK("  nothing is left", !is_mapped(pages) && count_open_files() == files
                                    && (HAS_ASAN || status_number("VmSize") == mapped));
}

static void test_refusals(sr_store_kind kind)
{
    sr_region window, other;
    sr_store *store = made(kind);
    sr_request request;
    uint64_t hold;
    make_window(&window);
    make_window(&other);
    (void)map_pages(&window, 0, store, 0, 4);
    sr_store_run second[] = {{8, 2}, {2, 1}}, twice[] = {{8, 2}, {9, 1}};
    CHECK("  a page is in one window at a time",
          map_runs(&other, 0, 3, store, second, &request) == SR_SHOWN_ELSEWHERE && request.store_page == 2
              && is_shown(&other, "--------") && is_shown(&window, "abcd----"));
    CHECK("  and in one place", map_runs(&window, 4, 3, store, second, NULL) == SR_SHOWN_ELSEWHERE
                                    && map_runs(&window, 1, 3, store, twice, &request) == SR_SHOWN_ELSEWHERE
                                    && request.store_page == 9 && is_shown(&window, "abcd----"));
    CHECK("  what is not counted as shown can be", map_pages(&other, 0, store, 8, 2) == SR_DONE
                                                        && store->shown_count == 6);
    CHECK("  nothing else is committed, given back or locked",
          ask(&window, SR_COMMIT, 0, 8, SR_READ_WRITE, NULL) == SR_IS_WINDOW
              && ask(&window, SR_DECOMMIT, 0, 1, 0, NULL) == SR_IS_WINDOW
              && ask(&window, SR_LOCK, 0, 1, 0, NULL) == SR_IS_WINDOW && is_shown(&window, "abcd----"));
    CHECK("  nothing is executed or guards",
          ask(&window, SR_PROTECT, 0, 1, SR_EXECUTE_READ, NULL) == SR_NOT_ALLOWED
              && ask(&window, SR_PROTECT, 0, 1, SR_READ_WRITE | SR_GUARD, NULL) == SR_NOT_ALLOWED);
    CHECK("  what shows nothing cannot be touched", ask_bytes(&window, SR_FILL, 4 * page, 1, NULL, NULL)
                                                        == SR_NOT_COMMITTED);
    CHECK("  a hold stops what would take its pages away",
          ask_hold(&window, SR_HOLD_SECURE, SR_READ_ONLY, 1, 1, &hold) == SR_DONE
              && map_pages(&window, 1, store, 12, 1) == SR_HELD && unmap(&window, 0, 8) == SR_HELD
              && ask(&window, SR_RELEASE, 0, 0, 0, NULL) == SR_HELD && is_shown(&window, "abcd----"));
    CHECK("  and nothing else", map_pages(&window, 2, store, 12, 2) == SR_DONE && is_shown(&window, "abmn----")
                                     && ask_unhold(&window, hold) == SR_DONE);
    sr_region ordinary;
    reserve_pages(&ordinary, 2);
    CHECK("  other regions are no windows", map_pages(&ordinary, 0, store, 14, 1) == SR_NOT_ALLOWED);
    (void)ask(&ordinary, SR_RELEASE, 0, 0, 0, NULL);
    sr_store_let_go(store); /* which ends it only with its last page */
    CHECK("  a store that nobody has stays as long as it is shown", is_shown(&window, "abmn----"));
    char *pages = store->native.address;
    (void)ask(&other, SR_RELEASE, 0, 0, 0, NULL);
    store = made(kind);
    CHECK("  others may take the place of some", map_pages(&window, 1, store, 5, 1) == SR_DONE && is_mapped(pages)
                                                      && is_shown(&window, "afmn----"));
    CHECK("  it goes with the last", map_pages(&window, 0, store, 0, 4) == SR_DONE && !is_mapped(pages)
                                         && is_shown(&window, "abcd----"));
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    sr_error error;
    CHECK("  an ended store shows nothing", sr_store_end(store, &error) == 0 && sr_store_end(store, &error) == 0);
    make_window(&window);
    CHECK("  in no window", map_pages(&window, 0, store, 0, 1) == SR_STORE_RELEASED);
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    sr_store_let_go(store);
}

/* ---- a child ---- */

typedef struct family {
    sr_region *window;
    sr_store *store;
} family;

static void look_from_child(void *argument)
{
    family *parents = argument;
    sr_region *window = parents->window;
    char byte;
    CHECK("  in a child the store is a hole that nothing falls into",
          !sr_store_is_ours(parents->store) && has_permissions(parents->store->native.address, "---p"));
    CHECK("  and so is each page of a window", strcmp(seen(window, 0, PANES),
                                                      "---p ---p ---p ---p ---p ---p ---p ---p") == 0);
    CHECK("  no descriptor leads there", parents->store->native.file == -1);
    CHECK("  nothing can be done with a window", map_pages(window, 0, parents->store, 0, 1) == SR_IS_PARENTS
                                                     && unmap(window, 0, 1) == SR_IS_PARENTS
                                                     && ask_bytes(window, SR_COPY_OUT, 0, 1, &byte, NULL)
                                                            == SR_IS_PARENTS);
    sr_region own;
    make_window(&own);
    CHECK("  nor with the store", map_pages(&own, 0, parents->store, 8, 1) == SR_STORE_RELEASED);
    sr_store *store = made(parents->store->native.kind);
    CHECK("  its own are as good as any", map_pages(&own, 0, store, 1, 2) == SR_DONE && is_shown(&own, "bc------"));
    CHECK("  the window ends, as far as the child goes", ask(window, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
    sr_store_let_go(parents->store);
    (void)ask(&own, SR_RELEASE, 0, 0, 0, NULL);
    end_store(store);
}

static void test_child(sr_store_kind kind)
{
    sr_region window;
    sr_store *store = made(kind);
    make_window(&window);
    (void)map_pages(&window, 1, store, 3, 3);
    (void)map_pages(&window, 6, store, 9, 1);
    family parents = {&window, store};
    check_in_child("  a child has none of it", look_from_child, &parents);
    CHECK("  the parent has all of it", is_shown(&window, "-def--j-"));
    (void)ask(&window, SR_RELEASE, 0, 0, 0, NULL);
    end_store(store);
}

static void test_all(sr_store_kind kind)
{
    test_what_it_is(kind);
    test_refusals(kind);
    test_child(kind);
}

int main(void)
{
    sr_error error;
    with_each_kind(test_all);
    CHECK("no system has them all", sr_store_make(SR_STORE_AWE, 1, &owner, &error) == NULL
                                        && error.code == SR_UNSUPPORTED);
    return check_result();
}
