/* Damage in the pool's pages: any byte around a secret, and slots written to after they were given back. It is noticed,
 * and of no secret is anything left when the process ends for it. */
#define _GNU_SOURCE
#include "pool_check.h"

#include <sys/mman.h>

enum { UNNOTICED = 3 }; /* exit status of a child that should have been aborted */

static size_t page;
static sr_slot slots[MOST_SLOTS];

static int is_aborted(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* ---- the bytes around a secret ---- */

typedef enum neighbour { TAKEN, NEVER_TAKEN, GIVEN_BACK, GUARD_PAGE } neighbour;
static const char *const neighbours[] = {"a secret", "a slot that was never taken", "a slot that was given back",
                                         "the guard page"};

enum { BEFORE, VICTIM, AFTER };

/* Three slots in a row, the last one as it is wanted; in an empty pool they are taken in that order. */
static size_t set_scene(size_t size, neighbour next)
{
    size_t count = next == NEVER_TAKEN ? 2 : 3;
    for (size_t i = 0; i < count; i++) {
        slots[i] = taken(size, SR_BACKING_LOCKED);
    }
    if (next == GIVEN_BACK) {
        count--;
        sr_pool_give(&slots[AFTER]);
    }
    if (next == GUARD_PAGE) {
        count += take_all_free(slots + count, size, SR_BACKING_LOCKED);
        sr_slot last = slots[count - 1], before_last = slots[count - 2];
        slots[count - 1] = slots[VICTIM];
        slots[count - 2] = slots[BEFORE];
        slots[VICTIM] = last;
        slots[BEFORE] = before_last;
    }
    mark_all(slots, count, size);
    return count;
}

/* Whether each byte that is changed makes a slot damaged, for as long as it is changed. */
static int is_each_noticed(const sr_slot *slot, unsigned char *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            from[i] ^= (unsigned char)bit;
            int is_noticed = !sr_slot_is_intact(slot);
            from[i] ^= (unsigned char)bit;
            if (!is_noticed || !sr_slot_is_intact(slot)) {
                return 0;
            }
        }
    }
    return 1;
}

static void check_bytes_around(size_t size, size_t stride, neighbour next)
{
    printf("      %zu bytes before %s\n", size, neighbours[next]);
    size_t count = set_scene(size, next), canary_size = stride - size;
    unsigned char *data = slots[VICTIM].data;
    CHECK("control: it is intact", sr_slot_is_intact(&slots[VICTIM]) && slots[BEFORE].data + stride == data);
    CHECK("each bit before it counts", is_each_noticed(&slots[VICTIM], data - canary_size, canary_size));
    CHECK("as the one before it looks further, too", is_each_noticed(&slots[BEFORE], data - canary_size, canary_size));
    if (next == GUARD_PAGE) {
        CHECK("the byte behind it cannot be changed", faults(write_one, data + size));
    } else {
        size_t behind = next == TAKEN ? canary_size : SR_CANARY_SIZE;
        CHECK("each bit behind it counts", is_each_noticed(&slots[VICTIM], data + size, behind));
        data[size] ^= 1;
        CHECK("but not for the one before", sr_slot_is_intact(&slots[BEFORE]));
        data[size] ^= 1;
    }
    memset(data, 0xFF, size);
    CHECK("what is written within it never does", sr_slot_is_intact(&slots[VICTIM])
                                                      && sr_slot_is_intact(&slots[BEFORE]));
    give_all(slots, count);
    (void)sr_pool_trim();
}

static void test_copied_canary(void)
{
    (void)set_scene(32, TAKEN);
    unsigned char original[48];
    memcpy(original, slots[BEFORE].data - 16, sizeof original);
    memcpy(slots[BEFORE].data - 16, slots[AFTER].data - 16, sizeof original);
    CHECK("a secret copied over another with its canary is noticed", !sr_slot_is_intact(&slots[BEFORE]));
    memcpy(slots[BEFORE].data - 16, original, sizeof original);
    give_all(slots, 3);
}

/* ---- the end of the process ---- */

typedef enum discovery { BY_GIVING, BY_GIVING_NEXT, BY_WIPING } discovery;

typedef struct crime {
    size_t size;
    ptrdiff_t offset; /* of the byte that is changed, from the secret's first */
    neighbour next;
    discovery found;
} crime;

static void change_one(void *argument)
{
    const crime *scene = argument;
    (void)set_scene(scene->size, scene->next);
    slots[VICTIM].data[scene->offset] ^= 1;
    if (sr_slot_is_intact(&slots[VICTIM])) {
        _exit(UNNOTICED);
    }
    switch (scene->found) {
    case BY_GIVING: sr_pool_give(&slots[VICTIM]); break;
    case BY_GIVING_NEXT: sr_pool_give(&slots[AFTER]); break;
    case BY_WIPING: sr_pool_wipe_all(); break;
    }
    _exit(UNNOTICED);
}

static void test_ends(void)
{
    static const crime crimes[] = {
        {32, -1, TAKEN, BY_GIVING},        {32, -16, TAKEN, BY_GIVING},      {17, -31, TAKEN, BY_GIVING},
        {32, 32, TAKEN, BY_GIVING},        {17, 17, TAKEN, BY_GIVING},       {1024, 1024, TAKEN, BY_GIVING},
        {32, 32, NEVER_TAKEN, BY_GIVING},  {32, 47, NEVER_TAKEN, BY_GIVING}, {32, 32, GIVEN_BACK, BY_GIVING},
        {32, 47, GIVEN_BACK, BY_GIVING},   {32, -1, GUARD_PAGE, BY_GIVING},  {32, 32, TAKEN, BY_GIVING_NEXT},
        {32, 47, TAKEN, BY_GIVING_NEXT},   {32, -1, TAKEN, BY_WIPING},       {32, 32, TAKEN, BY_WIPING},
        {32, 32, NEVER_TAKEN, BY_WIPING},
    };
    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        crime scene = crimes[i];
        int status = status_of_child(change_one, &scene);
        if (!CHECK("one byte changed beside a secret ends the process", is_aborted(status))) {
            printf("      size %zu, offset %td: status %#x\n", scene.size, scene.offset, (unsigned)status);
        }
    }
}

/* ---- slots that are free ---- */

typedef struct late_write {
    size_t index;  /* of the slot given back, or of one that was never taken */
    size_t offset; /* of the byte, from the slot's first */
    int is_given_back;
    int is_written;
} late_write;

/* Slots of 32 bytes, six taken; then every free one is taken until the one in question must have come. */
static void write_to_free(void *argument)
{
    const late_write *scene = argument;
    for (size_t i = 0; i < 6; i++) {
        slots[i] = taken(32, SR_BACKING_LOCKED);
    }
    unsigned char *start = slots[0].data - SR_CANARY_SIZE + scene->index * 48;
    if (scene->is_given_back) {
        sr_pool_give(&slots[scene->index]);
    }
    if (scene->is_written) {
        start[scene->offset] = 1;
    }
    (void)take_all_free(slots + 6, 32, SR_BACKING_LOCKED);
    _exit(scene->is_written ? UNNOTICED : 0);
}

static void test_late_writes(void)
{
    static const size_t offsets[] = {0, 15, 16, 31, 47};
    for (int is_given_back = 0; is_given_back < 2; is_given_back++) {
        late_write scene = {is_given_back ? 3 : 8, 0, is_given_back, 0};
        CHECK("control: all free slots can be taken", status_of_child(write_to_free, &scene) == 0);
        scene.is_written = 1;
        for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
            scene.offset = offsets[i];
            CHECK("a slot written to while it was free ends the process when it is taken",
                  is_aborted(status_of_child(write_to_free, &scene)));
        }
    }
}

/* ---- what is left of the others ---- */

/* In place of pages: a mapping that the parent shares, which the child's death does not take away. */
enum { SAME_ARENA, OTHER_ARENA, OWN_PAGES, WITNESSES };
static unsigned char *witnesses[WITNESSES];
static int standard_error[2];

/* As many equal bytes in a row are no canary. */
enum { TELLING = 6 };

static int shows_none(const unsigned char *bytes, size_t size)
{
    size_t run = 0;
    for (size_t i = 0; i < size && run < TELLING; i++) {
        run = bytes[i] == 0x5A ? run + 1 : 0;
    }
    return run < TELLING;
}

static void watch(int which, void *pages)
{
    memcpy(witnesses[which], pages, page);
    if (mremap(witnesses[which], 0, page, MREMAP_MAYMOVE | MREMAP_FIXED, pages) == MAP_FAILED) {
        _exit(2);
    }
}

static void die_with_witnesses(void *argument)
{
    static sr_block block;
    int by_taking = *(int *)argument;
    dup2(standard_error[1], STDERR_FILENO);
    sr_slot damaged = taken(32, SR_BACKING_LOCKED), neighbour = taken(32, SR_BACKING_LOCKED);
    sr_slot other = taken(500, SR_BACKING_LOCKED);
    if (sr_block_create(&block, 100, SR_BACKING_LOCKED, ALL_REQUIRED, &pool_error) != 0
        || sr_block_protect(&block, SR_READ_WRITE, &pool_error) != 0) {
        _exit(2);
    }
    watch(SAME_ARENA, sr_slot_pages(&damaged)->pages);
    watch(OTHER_ARENA, sr_slot_pages(&other)->pages);
    watch(OWN_PAGES, block.pages);
    memset(damaged.data, 0x5A, 32);
    memset(neighbour.data, 0x5A, 32);
    memset(other.data, 0x5A, 500);
    memset(block.data, 0x5A, 100);
    if (by_taking) {
        unsigned char *kept = damaged.data;
        sr_pool_give(&damaged);
        memset(kept + 5, 0x5A, TELLING);
        (void)take_all_free(slots, 32, SR_BACKING_LOCKED);
    } else {
        damaged.data[-1] ^= 1;
        sr_pool_give(&damaged);
    }
}

static void check_last_moments(int by_taking, const char *words)
{
    char said[512] = "";
    for (int i = 0; i < WITNESSES; i++) {
        witnesses[i] = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        memset(witnesses[i], 0x77, page);
    }
    CHECK("a pipe for standard error", pipe(standard_error) == 0);
    int status = status_of_child(die_with_witnesses, &by_taking);
    close(standard_error[1]);
    ssize_t length = read(standard_error[0], said, sizeof said - 1);
    close(standard_error[0]);
    CHECK("the process is aborted", is_aborted(status));
    CHECK("it says why", length > 0 && strstr(said, words) != NULL && strstr(said, "Every secret has been wiped"));
    CHECK("after the secrets beside it were wiped", shows_none(witnesses[SAME_ARENA], page));
    CHECK("and those in other shared pages", shows_none(witnesses[OTHER_ARENA], page));
    CHECK("and those with pages of their own", shows_none(witnesses[OWN_PAGES], page));
    for (int i = 0; i < WITNESSES; i++) {
        munmap(witnesses[i], page);
    }
}

int main(void)
{
    static const size_t sizes[][2] = {{1, 16}, {16, 16}, {17, 32}, {32, 32}, {1000, 1024}};
    page = sr_os_page_size();
    begin_pool();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (neighbour next = TAKEN; next <= GUARD_PAGE; next++) {
            if (sizes[i][1] != 1024 || next != GUARD_PAGE) { /* three to a page: no room for the scene */
                check_bytes_around(sizes[i][0], sizes[i][1] + SR_CANARY_SIZE, next);
            }
        }
    }
    test_copied_canary();
    (void)sr_pool_trim();
    test_ends();
    test_late_writes();
    check_last_moments(0, "damaged canary");
    check_last_moments(1, "use after destroy");
    return check_result();
}
