/* The pool at a lock limit of 64 KiB, as a user without privileges has it: how many secrets fit, what stands in for
 * pages that the system refuses, and pages without a lock for those who can do without. */
#define _GNU_SOURCE
#include "pool_check.h"

#include <pthread.h>

enum { LIMIT = 64 * 1024 };

static size_t page;
static sr_slot slots[MOST_SLOTS];

/* Slots until the pool has no more; how many. */
static size_t take_to_the_limit(sr_slot *to, size_t size, sr_backing backing)
{
    size_t count = 0;
    while (count < MOST_SLOTS && take(&to[count], size, backing) == 0) {
        count++;
    }
    return count;
}

static int is_at_the_limit(const sr_slot *slot)
{
    return slot->home == NULL && sr_os_is_lock_limit(&pool_error);
}

static void check_is_nobody(void)
{
    CHECK("nobody has a lock limit of 64 KiB", become_nobody_under(LIMIT, LIMIT));
}

/* ---- how many there are ---- */

static void fill_up(void *argument)
{
    sr_backing backing = *(const sr_backing *)argument;
    check_is_nobody();
    size_t count = take_to_the_limit(slots, 32, backing);
    printf("      %zu slots of 32 bytes in %s\n", count, name_of(backing));
    CHECK("a thousand secrets and more fit", count >= 1000 && count < MOST_SLOTS);
    CHECK("then it is the lock limit that says no", is_at_the_limit(&slots[count]));
    CHECK("all of the limit is used, and no more", status_number("VmLck") == LIMIT / 1024);
    int are_furnished = 1;
    for (size_t i = 0; i < count; i++) {
        are_furnished &= i % 100 != 0 || is_furnished(sr_slot_pages(&slots[i]));
    }
    CHECK("every one is in locked pages", are_furnished);
    mark_all(slots, count, 32);
    CHECK("asking again changes nothing", take(&slots[count], 32, backing) == -1 && is_at_the_limit(&slots[count]));
    CHECK("all contents are as they were", are_marked_and_intact(slots, count, 32));
    CHECK("a larger secret does not fit either", take(&slots[count], 1024, backing) == -1
                                                     && is_at_the_limit(&slots[count]));
    unsigned char *data = slots[count / 2].data;
    sr_pool_give(&slots[count / 2]);
    CHECK("after one was given back the next fits", take(&slots[count / 2], 32, backing) == 0
                                                        && slots[count / 2].data == data);
    give_all(slots, count);
    (void)sr_pool_trim();
    CHECK("in the end nothing is locked", status_number("VmLck") == 0 && sr_pool_list(NULL, 0) == 0);
    CHECK("and the whole limit can be used anew", take_to_the_limit(slots, 32, backing) == count);
}

/* Of 16 pages two are locked by something else: where eight do not fit four do, and then one. */
static void grow_by_halves(void *argument)
{
    static const size_t expected_pages[] = {1, 1, 2, 4, 4, 1, 1};
    sr_backing backing = *(const sr_backing *)argument;
    sr_block other;
    size_t arenas = 0, count = 0;
    int is_as_expected = 1;
    CHECK("nobody has a lock limit of 16 pages", become_nobody_under(16 * page, 16 * page));
    CHECK("of which two are taken", sr_block_create(&other, 2 * page - SR_CANARY_SIZE, SR_BACKING_LOCKED, ALL_REQUIRED,
                                                    &pool_error) == 0);
    for (; count < MOST_SLOTS && take(&slots[count], 200, backing) == 0; count++) {
        if (count == 0 || slots[count].home != slots[count - 1].home) { /* each is filled before the next is made */
            size_t pages = sr_slot_pages(&slots[count])->pages_size / page;
            is_as_expected &= arenas < 7 && pages == expected_pages[arenas];
            arenas++;
        }
    }
    CHECK("at the limit arenas are made by halves, down to a page", is_as_expected && arenas == 7);
    CHECK("and nothing of it stays unused", sums_of(0).pages_size == 14 * page);
    give_all(slots, count);
}

/* ---- what stands in ---- */

static void use_larger_slots(void *argument)
{
    sr_backing backing = *(const sr_backing *)argument;
    check_is_nobody();
    sr_slot larger = taken(64, backing), largest = taken(1024, backing), smaller = taken(16, backing);
    size_t count = take_to_the_limit(slots, 30, backing), standing_in = 0;
    for (size_t i = 0; i < count; i++) {
        standing_in += slots[i].home == larger.home || slots[i].home == largest.home;
    }
    sums of_64 = sums_of(64), of_1024 = sums_of(1024), of_16 = sums_of(16);
    CHECK("free slots of larger kinds stand in", standing_in == of_64.slots - 1 + of_1024.slots - 1 && standing_in > 2);
    CHECK("all of them", of_64.taken == of_64.slots && of_1024.taken == of_1024.slots);
    CHECK("smaller ones do not", of_16.taken == 1);
    mark_all(slots, count, 30);
    CHECK("they are as good", are_marked_and_intact(slots, count, 30));
    sr_pool_give(&smaller);
    CHECK("pages that nobody uses any more are taken for others", take(&slots[count], 30, backing) == 0
                                                                      && sums_of(16).arenas == 0);
    memset(slots[count].data, mark_of(count), 30);
    count += 1 + take_to_the_limit(slots + count + 1, 30, backing);
    sr_pool_give(&largest);
    CHECK("a slot of a larger kind that is given back is taken next", take(&slots[count], 30, backing) == 0);
    sr_slot refused;
    CHECK("and that was the only one", take(&refused, 30, backing) == -1 && is_at_the_limit(&refused));
    give_all(slots, count + 1);
    sr_pool_give(&larger);
    (void)sr_pool_trim();
    CHECK("in the end nothing is locked", status_number("VmLck") == 0);
}

static void *take_one(void *slot)
{
    *(sr_slot *)slot = taken(32, SR_BACKING_LOCKED);
    return NULL;
}

static void *give_one(void *slot)
{
    sr_pool_give(slot);
    return NULL;
}

static int run_in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, body, argument) == 0 && pthread_join(thread, NULL) == 0;
}

static void use_others_slots(void *argument)
{
    sr_slot others[SR_POOL_SHARDS];
    (void)argument;
    check_is_nobody();
    slots[0] = taken(32, SR_BACKING_LOCKED);
    int are_apart = 1;
    for (size_t i = 0; i + 1 < SR_POOL_SHARDS; i++) {
        CHECK("another thread takes a slot", run_in_thread(take_one, &others[i]));
        are_apart &= others[i].home != slots[0].home && (i == 0 || others[i].home != others[i - 1].home);
    }
    CHECK("each from pages of its own", are_apart && sums_of(32).arenas == SR_POOL_SHARDS);
    size_t count = 1 + take_to_the_limit(slots + 1, 32, SR_BACKING_LOCKED);
    sums now = sums_of(0);
    CHECK("at the limit their free slots are used as well", now.taken == now.slots && now.pages_size == LIMIT);
    CHECK("it is the limit", is_at_the_limit(&slots[count]));
    mark_all(slots, count, 32);
    CHECK("which are as good", are_marked_and_intact(slots, count, 32));
    CHECK("a slot that another thread gives back is taken next", run_in_thread(give_one, &others[3])
                                                                     && take(&others[3], 32, SR_BACKING_LOCKED) == 0);
    CHECK("a slot taken here can be given back elsewhere", run_in_thread(give_one, &slots[5])
                                                               && take(&slots[5], 32, SR_BACKING_LOCKED) == 0);
    give_all(others, SR_POOL_SHARDS - 1);
    give_all(slots, count);
    (void)sr_pool_trim();
    CHECK("in the end nothing is locked", status_number("VmLck") == 0 && sr_pool_list(NULL, 0) == 0);
}

/* ---- pages that the system does not lock ---- */

static int is_unlocked(const sr_slot *slot)
{
    return sr_slot_pages(slot)->outcomes[SR_STEP_LOCK].call != NULL && !has_flag(sr_slot_pages(slot)->pages, "lo");
}

static int take_without_lock(sr_slot *slot)
{
    return sr_pool_take(32, SR_BACKING_LOCKED, NO_LOCK_REQUIRED, slot, &pool_error);
}

static void use_unlocked(void *argument)
{
    sr_slot unlocked, locked, second;
    (void)argument;
    CHECK("nobody may lock nothing at first", become_nobody_under(0, LIMIT));
    CHECK("without a lock required there are slots", take_without_lock(&unlocked) == 0);
    CHECK("whose pages tell", is_unlocked(&unlocked)
                                  && strcmp(sr_slot_pages(&unlocked)->outcomes[SR_STEP_LOCK].call, "mlock") == 0);
    CHECK("they do not serve who requires a lock", take(&locked, 32, SR_BACKING_LOCKED) == -1
                                                       && is_at_the_limit(&locked));
    CHECK("not even those that are free", !sr_pool_take_ready(32, SR_BACKING_LOCKED, ALL_REQUIRED, 0, &locked));
    struct rlimit more = {LIMIT, LIMIT};
    CHECK("then nobody may lock", setrlimit(RLIMIT_MEMLOCK, &more) == 0);
    CHECK("who requires a lock gets pages with one", take(&locked, 32, SR_BACKING_LOCKED) == 0 && !is_unlocked(&locked)
                                                         && is_furnished(sr_slot_pages(&locked)));
    CHECK("and from now on who does not, too", take_without_lock(&second) == 0 && second.home == locked.home);
    sr_block_totals totals;
    sr_blocks_count(&totals);
    CHECK("the books tell them apart", totals.unlocked_size == page && totals.pages_size[SR_BACKING_LOCKED] > page);
    sr_pool_give(&unlocked);
    sr_pool_give(&second);
    sr_pool_give(&locked);
    locked = taken_from_free(32, SR_BACKING_LOCKED);
    CHECK("of both the pages with a lock stay for the next secret", locked.home != NULL && sums_of(0).arenas == 1);
    sr_pool_give(&locked);
    (void)sr_pool_trim();
    CHECK("in the end nothing is locked", status_number("VmLck") == 0 && sr_pool_list(NULL, 0) == 0);
}

int main(void)
{
    page = sr_os_page_size();
    begin_pool();
    (void)has_backing(SR_BACKING_SECRETMEM);
#if HAS_ASAN
    skip("the lock limit", "AddressSanitizer's mlock does nothing");
    (void)fill_up;
    (void)grow_by_halves;
    (void)use_larger_slots;
    (void)use_others_slots;
    (void)use_unlocked;
#else
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        if (!has_backing(backing)) {
            skip("secret memory at the lock limit", NO_SECRETMEM);
            continue;
        }
        check_in_child("a thousand secrets fit under a small limit", fill_up, &backing);
        check_in_child("where a large arena does not fit, a smaller one does", grow_by_halves, &backing);
        check_in_child("free slots stand in for pages that are refused", use_larger_slots, &backing);
    }
    check_in_child("other threads' slots do, too", use_others_slots, NULL);
    check_in_child("pages without a lock serve only who does not require one", use_unlocked, NULL);
#endif
    return check_result();
}
