/* The pool and forks: a child has none of its parent's secrets and begins with an empty pool, the parent's stays. */
#define _GNU_SOURCE
#include "pool_check.h"

#include <pthread.h>
#include <sys/syscall.h>

enum { IN_ALL = 90, SIZE = 32 };

static size_t page;
static sr_slot inherited[SR_POOL_BACKINGS][IN_ALL]; /* more than a page of each */

static int is_parents(sr_backing backing)
{
    return has_backing(backing) && are_marked_and_intact(inherited[backing], IN_ALL, SIZE);
}

/* Take, look, write, give, in this process; what goes wrong is counted. */
static int own_slots_fail(sr_backing backing)
{
    static sr_slot own[IN_ALL];
    int wrong = 0;
    for (size_t i = 0; i < IN_ALL; i++) {
        own[i] = taken(SIZE, backing);
        wrong += !is_all(own[i].data, SIZE, 0);
    }
    wrong += !is_furnished(sr_slot_pages(&own[0])) || !is_furnished(sr_slot_pages(&own[IN_ALL - 1]));
    mark_all(own, IN_ALL, SIZE);
    wrong += !are_marked_and_intact(own, IN_ALL, SIZE);
    wrong += sums_of(0).taken != IN_ALL;
    sr_pool_wipe_all();
    wrong += !is_all(own[0].data, SIZE, 0) || !is_all(own[IN_ALL - 1].data, SIZE, 0);
    give_all(own, IN_ALL);
    wrong += sums_of(0).taken != 0 || sr_pool_trim() == 0 || sr_pool_list(NULL, 0) != 0;
    return wrong;
}

static int is_out_of_reach(const sr_slot *slot, const unsigned char *pages)
{
    return has_permissions(pages, "---p") && has_permissions(pages + page - 1, "---p") && faults(read_one, slot->data)
           && faults(write_one, slot->data);
}

static const unsigned char *first_pages[SR_POOL_BACKINGS], *last_pages[SR_BACKING_COUNT];

static void look_in_child(void *depth)
{
    CHECK("the child's pool is empty", sr_pool_list(NULL, 0) == 0);
    CHECK("it has nothing to trim", sr_pool_trim() == 0);
    sr_slot none;
    CHECK("and no free slot", !sr_pool_take_ready(SIZE, SR_BACKING_LOCKED, 0, 0, &none));
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        if (has_backing(backing)) {
            CHECK("the parent's pages are out of reach",
                  is_out_of_reach(&inherited[backing][0], first_pages[backing])
                      && is_out_of_reach(&inherited[backing][IN_ALL - 1], last_pages[backing]));
            CHECK("it takes and gives its own slots", own_slots_fail(backing) == 0);
        }
    }
    CHECK("wiping all wipes only its own", (sr_pool_wipe_all(), sr_blocks_wipe_all(), 1));
    sr_block_totals totals;
    sr_blocks_count(&totals);
    CHECK("nothing is on its books", totals.pages_size[0] == 0 && totals.pages_size[1] == 0);
    if (depth != NULL) {
        sr_slot own = taken(SIZE, SR_BACKING_LOCKED);
        memset(own.data, 1, SIZE);
        check_in_child("so it is for a grandchild", look_in_child, NULL);
        CHECK("whose parent keeps its own", is_all(own.data, SIZE, 1) && sr_slot_is_intact(&own));
        sr_pool_give(&own);
    }
}

/* fork(2) without the C library's handlers: the generation's page tells. */
static void look_after_raw_fork(void)
{
    fflush(NULL);
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        alarm(DEADLOCK_SECONDS);
        int is_fine = sr_pool_list(NULL, 0) == 0 && has_permissions(first_pages[SR_BACKING_LOCKED], "---p")
                      && own_slots_fail(SR_BACKING_LOCKED) == 0;
        _exit(is_fine ? 0 : 1);
    }
    int status = -1;
    waitpid((pid_t)child, &status, 0);
    CHECK("a child that no handler saw begins with an empty pool, too", WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- a thread that is not in the child ---- */

/* Whichever mutex it holds and whatever is half done at the time: the child's pool works. */
static volatile int is_busy;

static void *take_and_give(void *unused)
{
    size_t round = 0;
    (void)unused;
    while (is_busy) {
        sr_slot some[3];
        for (size_t i = 0; i < 3; i++, round++) {
            some[i] = taken(1 + round * 37 % 1024, round % 3 == 0 && has_backing(SR_BACKING_SECRETMEM));
        }
        give_all(some, 3);
        (void)sr_pool_trim();
    }
    return NULL;
}

static void test_fork_while_busy(void)
{
    enum { FORKS = 60 };
    pthread_t busy;
    int failed = 0;
    is_busy = 1;
    CHECK("a thread takes and gives slots", pthread_create(&busy, NULL, take_and_give, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(DEADLOCK_SECONDS);
            _exit(HAS_HEAP_IN_CHILD && (sr_pool_list(NULL, 0) != 0 || own_slots_fail(SR_BACKING_LOCKED) != 0));
        }
        int status = -1;
        waitpid(child, &status, 0);
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    is_busy = 0;
    pthread_join(busy, NULL);
    CHECK("in every child forked meanwhile the pool works", failed == 0);
}

int main(void)
{
    page = sr_os_page_size();
    begin_pool();
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        if (!has_backing(backing)) {
            skip("secret memory in children", NO_SECRETMEM);
            continue;
        }
        for (size_t i = 0; i < IN_ALL; i++) {
            inherited[backing][i] = taken(SIZE, backing);
        }
        mark_all(inherited[backing], IN_ALL, SIZE);
        first_pages[backing] = sr_slot_pages(&inherited[backing][0])->pages;
        last_pages[backing] = sr_slot_pages(&inherited[backing][IN_ALL - 1])->pages;
        CHECK("they are in more than one arena", first_pages[backing] != last_pages[backing]);
    }
    sums before = sums_of(0);
    int has_grandchild = 1;
    check_in_child("a child has none of its parent's secrets, and a pool of its own", look_in_child, &has_grandchild);
    look_after_raw_fork();
    test_fork_while_busy();
    (void)sr_pool_trim();
    sums after = sums_of(0);
    CHECK("the parent's pool is as it was", memcmp(&before, &after, sizeof before) == 0);
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        if (has_backing(backing)) {
            CHECK("its secrets, too", is_parents(backing));
            give_all(inherited[backing], IN_ALL);
        }
    }
    (void)sr_pool_trim();
    CHECK("and all can be given back", sr_pool_list(NULL, 0) == 0 && status_number("VmLck") == 0);
    return check_result();
}
