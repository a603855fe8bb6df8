/* Slots of the pool on Linux: where they lie, what they hold when they are taken and after they were given back, how
 * the arenas grow and go. Damaged memory, the lock limit and children have tests of their own (pool_*_test.c). */
#define _GNU_SOURCE
#include "pool_check.h"

static size_t page;
static sr_slot slots[MOST_SLOTS];

/* ---- layout ---- */

/* Whether the data of these slots, all of an arena, end `stride` apart, the last one at the guard page. */
static int do_end_in_steps(size_t count, size_t size, size_t stride)
{
    for (size_t i = 0; i < count; i++) {
        size_t to_end = (size_t)(pages_end(&slots[0]) - (slots[i].data + size));
        if (sr_slot_pages(&slots[i]) != sr_slot_pages(&slots[0]) || to_end != (count - 1 - i) * stride) {
            return 0;
        }
    }
    return 1;
}

static void check_layout(size_t size, size_t fits, sr_backing backing)
{
    size_t stride = fits + SR_CANARY_SIZE;
    printf("      %zu bytes in %s\n", size, name_of(backing));
    slots[0] = taken(size, backing);
    const sr_block *pages = sr_slot_pages(&slots[0]);
    size_t count = 1 + take_all_free(slots + 1, size, backing);
    CHECK("the first arena is one page", pages->pages_size == page);
    CHECK("as full as it can be", count == (page - SR_CANARY_SIZE) / stride);
    CHECK("its pages are readable, writable and kept as a secret needs it", is_furnished(pages));
    CHECK("with an inaccessible page on either side", has_permissions(pages->pages - 1, "---p")
                                                          && has_permissions(pages->pages + page, "---p"));
    CHECK("each secret ends where the next slot begins, the last at the guard", do_end_in_steps(count, size, stride));
    int are_zeros = 1;
    for (size_t i = 0; i < count; i++) {
        are_zeros &= is_all(slots[i].data, size, 0);
    }
    CHECK("every one is zeros", are_zeros);
    mark_all(slots, count, size);
    CHECK("every one keeps what is written, and all canaries are intact", are_marked_and_intact(slots, count, size));
    CHECK("reading the byte after the last faults", faults(read_one, slots[count - 1].data + size));
    CHECK("writing the byte after the last faults", faults(write_one, slots[count - 1].data + size));
    sums now = sums_of(fits);
    CHECK("the list says so", now.arenas == 1 && now.slots == count && now.taken == count && now.pages_size == page);
    unsigned char *start = pages->pages;
    give_all(slots, count);
    CHECK("nothing is left of them", is_all(start + SR_CANARY_SIZE, page - SR_CANARY_SIZE, 0));
    CHECK("and the pages go, guards and all", sr_pool_trim() == page && !is_mapped(start) && !is_mapped(start - 1)
                                                  && !is_mapped(start + page));
}

static void test_layouts(sr_backing backing)
{
    static const size_t fits[] = {16, 32, 64, 128, 256, 512, SR_SLOT_MAX_SIZE};
    size_t smallest = 1;
    for (size_t i = 0; i < sizeof fits / sizeof fits[0]; i++) {
        check_layout(smallest, fits[i], backing);
        check_layout(fits[i] - 1, fits[i], backing);
        check_layout(fits[i], fits[i], backing);
        smallest = fits[i] + 1;
    }
}

static void test_density(void)
{
    slots[0] = taken(32, SR_BACKING_LOCKED);
    size_t count = 1 + take_all_free(slots + 1, 32, SR_BACKING_LOCKED);
    CHECK("a secret of 32 bytes costs 48 at most", slots[1].data - slots[0].data <= 48);
    CHECK("a page of 4 KiB holds 85 of them", count * 4096 >= 85 * page);
    give_all(slots, count);
}

/* ---- the order in which slots are used again ---- */

static void test_reuse(void)
{
    enum { GIVEN = 4 };
    static const size_t order[GIVEN] = {7, 3, 84, 0};
    unsigned char *data[GIVEN];
    (void)sr_pool_trim();
    slots[0] = taken(32, SR_BACKING_LOCKED);
    size_t count = 1 + take_all_free(slots + 1, 32, SR_BACKING_LOCKED);
    mark_all(slots, count, 32);
    CHECK("the pool says that it has none free", !sr_pool_take_ready(32, SR_BACKING_LOCKED, ALL_REQUIRED, 0,
                                                                     &slots[count]));
    for (size_t i = 0; i < GIVEN; i++) {
        sr_slot *slot = &slots[order[i] % count];
        data[i] = slot->data;
        sr_pool_give(slot);
        CHECK("a slot given back is none any more", slot->home == NULL && slot->data == NULL);
        CHECK("an old pointer to it finds zeros", is_all(data[i], 32, 0));
        CHECK("and so it does in front of the secret", is_all(data[i] - SR_CANARY_SIZE, SR_CANARY_SIZE, 0));
    }
    for (size_t i = 0; i < GIVEN; i++) {
        sr_slot *slot = &slots[order[i] % count];
        *slot = taken_from_free(5, SR_BACKING_LOCKED); /* 17 to 32 bytes have their own slots: none is free for 5 */
        CHECK("a smaller kind does not take it", slot->home == NULL);
        *slot = taken_from_free(17, SR_BACKING_LOCKED);
        CHECK("the slot that was free the longest is taken first", slot->data == data[i] + 32 - 17);
        CHECK("it is zeros", is_all(slot->data, 17, 0));
        CHECK("with an intact canary", sr_slot_is_intact(slot));
    }
    give_all(slots, count);
}

/* As long as another arena has slots that were free for longer, the one given back a moment ago waits. */
static void test_reuse_among_arenas(void)
{
    (void)sr_pool_trim();
    slots[0] = taken(32, SR_BACKING_LOCKED);
    size_t count = 1 + take_all_free(slots + 1, 32, SR_BACKING_LOCKED);
    slots[count] = taken(32, SR_BACKING_LOCKED);
    CHECK("there is a full arena and a fresh one", slots[count].home != slots[0].home);
    unsigned char *data = slots[0].data;
    sr_pool_give(&slots[0]);
    size_t waited = 0, others = take_all_free(slots + count + 1, 32, SR_BACKING_LOCKED);
    while (waited < others && slots[count + 1 + waited].data != data) {
        waited++;
    }
    CHECK("a slot given back to a full arena is the last to be taken", waited + 1 == others);
    give_all(slots + 1, count + others);
}

static void test_zero_again(void)
{
    int are_zeros = 1;
    (void)sr_pool_trim();
    for (int round = 0; round < 4; round++) {
        size_t count = take_all_free(slots, 64, SR_BACKING_LOCKED);
        if (count == 0) {
            slots[count++] = taken(64, SR_BACKING_LOCKED);
        }
        for (size_t i = 0; i < count; i++) {
            are_zeros &= is_all(slots[i].data, 64, 0);
        }
        mark_all(slots, count, 64);
        give_all(slots, count);
    }
    CHECK("a slot is zeros whoever had it before", are_zeros);
}

/* ---- arenas come and go ---- */

/* Whatever the lock limit: only sizes are looked at. */
static void test_growth(void)
{
    size_t all_pages = 0, count = 0, arenas = 0;
    sr_pooled *latest = NULL;
    int is_doubling = 1, is_largest = 0;
    (void)sr_pool_trim();
    while (is_largest < 2 && count < MOST_SLOTS) {
        sr_slot *slot = &slots[count++];
        if (sr_pool_take(SR_SLOT_MAX_SIZE, SR_BACKING_LOCKED, 0, slot, &pool_error) != 0) {
            break;
        }
        if (slot->home != latest) {
            size_t pages_size = sr_slot_pages(slot)->pages_size;
            size_t expected = all_pages == 0 ? page : all_pages < SR_ARENA_MAX_SIZE ? all_pages : SR_ARENA_MAX_SIZE;
            is_doubling &= pages_size == expected;
            is_largest += pages_size == SR_ARENA_MAX_SIZE;
            all_pages += pages_size;
            latest = slot->home;
            arenas++;
        }
    }
    CHECK("each arena is as large as all before it, the largest 256 KiB", is_doubling && is_largest == 2);
    sums now = sums_of(SR_SLOT_MAX_SIZE);
    CHECK("the list has them all", now.arenas == arenas && now.taken == count && now.pages_size == all_pages);
    CHECK("and says how many there are, even if it may describe none", sr_pool_list(NULL, 0) == sums_of(0).arenas);
    give_all(slots, count);
    now = sums_of(SR_SLOT_MAX_SIZE);
    CHECK("one of them stays for the next secret, of one page", now.arenas == 1 && now.taken == 0
                                                                     && now.pages_size == page);
    CHECK("trimming gives it back", sr_pool_trim() == now.pages_size && sr_pool_list(NULL, 0) == 0);
    CHECK("and has nothing more to give", sr_pool_trim() == 0);
}

/* A slot of each kind and backing, many of some, everything filled, everything given back. */
static void use_everything(void)
{
    static const size_t sizes[] = {16, 32, 64, 128, 256, 512, SR_SLOT_MAX_SIZE};
    size_t count = 0, kinds = 0;
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        for (size_t i = 0; has_backing(backing) && i < sizeof sizes / sizeof sizes[0]; i++, kinds++) {
            for (size_t many = i == 1 ? 200 : 1; many != 0; many--, count++) {
                if (sr_pool_take(sizes[i], backing, 0, &slots[count], &pool_error) != 0) {
                    exit(1);
                }
                memset(slots[count].data, 0xA5, sizes[i]);
            }
        }
    }
    give_all(slots, count);
    CHECK("one arena of each kind remains", sr_pool_list(NULL, 0) == kinds);
    (void)sr_pool_trim();
}

static void test_nothing_is_left(void)
{
    (void)sr_pool_trim();
    use_everything(); /* the heap has its size afterwards */
    long locked = status_number("VmLck"), mapped = mapped_kb();
    int files = count_open_files();
    use_everything();
    CHECK("after trimming nothing stays locked", status_number("VmLck") == locked && locked == 0);
    CHECK("nothing mapped", mapped_kb() == mapped);
    CHECK("and no file open", count_open_files() == files);
    sr_block_totals totals;
    sr_blocks_count(&totals);
    CHECK("and no page is on the books",
          totals.pages_size[0] == 0 && totals.pages_size[1] == 0 && totals.isolated == 0);
}

/* ---- wiping ---- */

static void test_wipe_all(sr_backing backing)
{
    slots[0] = taken(20, backing);
    size_t count = 1 + take_all_free(slots + 1, 20, backing);
    mark_all(slots, count, 20);
    sr_pool_give(&slots[count / 2]);
    sr_slot other = taken(700, backing);
    memset(other.data, 9, 700);
    sums before = sums_of(0);
    sr_pool_wipe_all();
    sums after = sums_of(0);
    int are_wiped = is_all(other.data, 700, 0) && sr_slot_is_intact(&other);
    for (size_t i = 0; i < count; i++) {
        are_wiped &= i == count / 2 || (is_all(slots[i].data, 20, 0) && sr_slot_is_intact(&slots[i]));
    }
    CHECK("wiping all leaves zeros and intact canaries", are_wiped);
    CHECK("and every slot with its owner", memcmp(&before, &after, sizeof before) == 0);
    sr_blocks_wipe_all();
    CHECK("wiping the blocks leaves the pool's pages alone",
          sr_slot_is_intact(&other) && sr_slot_is_intact(&slots[0]));
    slots[count / 2] = taken_from_free(20, backing);
    CHECK("the free one can be taken", slots[count / 2].home != NULL);
    sr_pool_give(&other);
    give_all(slots, count);
    CHECK("and all can be given back", sums_of(0).taken == 0);
    (void)sr_pool_trim();
}

int main(void)
{
    page = sr_os_page_size();
    begin_pool();
    for (sr_backing backing = 0; backing < SR_POOL_BACKINGS; backing++) {
        if (!has_backing(backing)) {
            skip("slots in secret memory", NO_SECRETMEM);
            continue;
        }
        test_layouts(backing);
        test_wipe_all(backing);
    }
    test_density();
    test_reuse();
    test_reuse_among_arenas();
    test_zero_again();
    test_growth();
    test_nothing_is_left();
    return check_result();
}
