/* Every system call of the pool made to fail, one after the other, with every errno, the heap's calls among them. Then
 * the answer names it, nothing is mapped, locked or allocated that was not before, what others have is as it was, and
 * the same thing done again succeeds. Never is a slot in pages without a lock for one who requires it. */
#include "refusing.h"

#include "pool_check.h"

#include <limits.h>

static const int codes[] = {ENOMEM, EPERM, EAGAIN, EINVAL, ENOSYS};
enum { CODES = sizeof codes / sizeof codes[0], SIZE = 32, MANY = 400, LEAST_CALLS = 7 };

/* ---- the heap, as the native sources and this file use it ---- */

static long allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t size)
{
    void *got = is_refused("malloc") ? NULL : __real_malloc(size);
    allocations += got != NULL;
    return got;
}

void __wrap_free(void *memory)
{
    allocations -= memory != NULL;
    __real_free(memory);
}

/* ---- what must not change ---- */

typedef struct picture {
    sums of_all, of_size;
    long locked_kb, mapped_kb, allocations;
    int open_files;
} picture;

static picture picture_now(void)
{
    picture now;
    memset(&now, 0, sizeof now);
    now.of_all = sums_of(0);
    now.of_size = sums_of(SIZE);
    now.locked_kb = status_number("VmLck");
    now.mapped_kb = mapped_kb();
    now.open_files = count_open_files();
    now.allocations = allocations;
    return now;
}

static int is_same(picture one, picture other)
{
    return memcmp(&one, &other, sizeof one) == 0;
}

/* ---- what others have ---- */

static sr_slot slots[MANY];
static size_t held;

/* An empty pool, then `arenas` full of slots of SIZE bytes. */
static void set_scene(sr_backing backing, size_t arenas)
{
    for (held = 0; sums_of(SIZE).arenas < arenas; held++) {
        slots[held] = taken(SIZE, backing);
    }
    held += arenas == 0 ? 0 : take_all_free(slots + held, SIZE, backing);
    mark_all(slots, held, SIZE);
}

static void clear_scene(void)
{
    give_all(slots, held);
    held = 0;
    (void)sr_pool_trim();
}

/* ---- taking ---- */

typedef struct taking {
    const char *name;
    size_t arenas; /* full ones that are there before */
    sr_backing backing;
    size_t stand_in; /* a free slot of this size is there, too; 0: none */
    int has_unused;  /* pages of another kind are there of which no slot is taken */
} taking;

static const taking takings[] = {
    {"the first slot", 0, SR_BACKING_LOCKED, 0, 0},
    {"the first slot in secret memory", 0, SR_BACKING_SECRETMEM, 0, 0},
    {"a slot of a second arena", 1, SR_BACKING_LOCKED, 0, 0},
    {"a slot of a larger arena", 3, SR_BACKING_LOCKED, 0, 0},
    {"a slot of a larger arena in secret memory", 3, SR_BACKING_SECRETMEM, 0, 0},
    {"a slot, one of a larger kind being free", 2, SR_BACKING_LOCKED, 64, 0},
    {"a slot in secret memory, one of a larger kind being free", 1, SR_BACKING_SECRETMEM, 1024, 0},
    {"a slot, unused pages being there", 1, SR_BACKING_LOCKED, 0, 1},
};

static int is_unrequired(const char *call)
{
    return strcmp(call, "madvise") == 0;
}

/* A slot as whoever requires everything must get it. */
static int is_good_slot(const sr_slot *slot)
{
    return is_all(slot->data, SIZE, 0) && sr_slot_is_intact(slot) && is_furnished(sr_slot_pages(slot));
}

/* The call that was refused is named, with its code: the pool's own word where it is the heap. */
static int is_named(const char *call, int code)
{
    return strncmp(pool_error.call, call, strlen(call)) == 0
           && pool_error.code == (strcmp(call, "malloc") == 0 ? SR_UNSUPPORTED : code);
}

static int is_lock_limit(const char *call, int code, sr_backing backing)
{
    int is_secret = backing == SR_BACKING_SECRETMEM;
    sr_error error = {is_secret && strcmp(call, "mmap") == 0     ? "mmap(secretmem)"
                      : is_secret && strcmp(call, "mremap") == 0 ? "mremap(secretmem)"
                                                                 : call,
                      code};
    return sr_os_is_lock_limit(&error);
}

static int is_right(const taking *one, int which, int code, int for_good)
{
    sr_slot slot = {NULL, NULL}, stand_in[2];
    set_scene(one->backing, one->arenas);
    if (one->has_unused) {
        sr_slot smaller = taken(16, one->backing);
        sr_pool_give(&smaller);
    }
    if (one->stand_in != 0) { /* two, so that its arena is not unused while one of them is free */
        stand_in[0] = taken(one->stand_in, one->backing);
        stand_in[1] = taken(one->stand_in, one->backing);
        sr_pool_give(&stand_in[1]);
    }
    picture before = picture_now();
    refuse_nth(which, code, for_good);
    int result = take(&slot, SIZE, one->backing);
    const char *call = refused;
    refuse_nth(0, 0, 0);
    picture after = picture_now();
    int is_fine = call != NULL && are_marked_and_intact(slots, held, SIZE);
    if (is_fine && result == 0) {
        int is_standing_in = one->stand_in != 0 && slot.home == stand_in[0].home;
        int is_limit = is_lock_limit(call, code, one->backing);
        int is_smaller = is_limit && one->arenas > 1;
        int is_instead = is_limit && one->has_unused && sums_of(16).arenas == 0;
        is_fine = is_good_slot(&slot) && after.of_all.taken == before.of_all.taken + 1
                  && (is_unrequired(call) || is_standing_in || is_smaller || is_instead);
    } else if (is_fine) {
        is_fine = result == -1 && slot.home == NULL && one->stand_in == 0
                  && (for_good ? before.allocations == after.allocations && before.open_files == after.open_files
                               : is_named(call, code) && is_same(before, after));
        is_fine = is_fine && take(&slot, SIZE, one->backing) == 0 && is_good_slot(&slot);
    }
    if (!is_fine) {
        printf("      %s: call %d (%s) refused with errno %d%s, result %d, %s\n", one->name, which,
               call == NULL ? "none" : call, code, for_good ? ", and all after it" : "", result,
               result == -1 ? pool_error.call : "");
    }
    if (slot.home != NULL) {
        sr_pool_give(&slot);
    }
    if (one->stand_in != 0) {
        sr_pool_give(&stand_in[0]);
    }
    clear_scene();
    return is_fine;
}

static int calls_of_taking(const taking *one)
{
    sr_slot slot;
    set_scene(one->backing, one->arenas);
    refuse_nth(INT_MAX, 0, 0); /* only to count */
    int result = take(&slot, SIZE, one->backing), count = calls_seen;
    refuse_nth(0, 0, 0);
    if (result == 0) {
        sr_pool_give(&slot);
    }
    clear_scene();
    return result == 0 ? count : 0;
}

static void test_takings(void)
{
    for (size_t i = 0; i < sizeof takings / sizeof takings[0]; i++) {
        const taking *one = &takings[i];
        int wrong = 0, call_count;
        if (!has_backing(one->backing)) {
            skip(one->name, NO_SECRETMEM);
            continue;
        }
        call_count = calls_of_taking(one);
        CHECK("control: its calls are counted", call_count >= LEAST_CALLS);
        for (int choice = 0; choice < CODES * call_count; choice++) {
            wrong += !is_right(one, 1 + choice / CODES, codes[choice % CODES], 0);
            wrong += !is_right(one, 1 + choice / CODES, codes[choice % CODES], 1);
        }
        CHECK(one->name, wrong == 0);
    }
}

/* ---- giving back ---- */

/* Two arenas of which the last slot is given back, one after the other: the pages of one go, if the system takes
 * them. */
static int is_given_right(int code)
{
    set_scene(SR_BACKING_LOCKED, 2);
    size_t count = held;
    const unsigned char *data[2] = {slots[0].data, slots[count - 1].data};
    long locked_kb = status_number("VmLck");
    refuse_nth(1, code, 1);
    give_all(slots, count);
    int is_fine = refused != NULL && strcmp(refused, "munmap") == 0;
    refuse_nth(0, 0, 0);
    sums now = sums_of(SIZE);
    is_fine = is_fine && now.arenas == 2 && now.taken == 0 && status_number("VmLck") == locked_kb
              && is_all(data[0], SIZE, 0) && is_all(data[1], SIZE, 0);
    held = take_all_free(slots, SIZE, SR_BACKING_LOCKED);
    is_fine = is_fine && held == count && sums_of(SIZE).arenas == 2;
    for (size_t i = 0; i < held; i++) {
        is_fine = is_fine && (i % 50 != 0 ? is_all(slots[i].data, SIZE, 0) : is_good_slot(&slots[i]));
    }
    mark_all(slots, held, SIZE);
    is_fine = is_fine && are_marked_and_intact(slots, held, SIZE);
    give_all(slots, held);
    is_fine = is_fine && sums_of(SIZE).arenas == 1; /* this time one goes */
    held = 0;
    (void)sr_pool_trim();
    return is_fine;
}

static void test_giving(void)
{
    int wrong = 0;
    (void)is_given_right(ENOMEM); /* the heap has its size afterwards */
    picture before = picture_now();
    for (int i = 0; i < CODES; i++) {
        wrong += !is_given_right(codes[i]);
    }
    CHECK("pages that the system does not take back stay of use", wrong == 0);
    CHECK("and go in the end", is_same(before, picture_now()));
}

/* ---- trimming ---- */

static void test_trimming(void)
{
    enum { KINDS = 4 };
    static const size_t sizes[KINDS] = {16, 64, 256, 1024};
    size_t page = sr_os_page_size();
    int wrong = 0;
    picture before = picture_now();
    for (int choice = 0; choice < CODES * KINDS * 2; choice++) {
        int which = 1 + choice / 2 % KINDS, for_good = choice % 2;
        for (int i = 0; i < KINDS; i++) {
            sr_slot slot = taken(sizes[i], SR_BACKING_LOCKED);
            sr_pool_give(&slot);
        }
        refuse_nth(which, codes[choice / 2 / KINDS], for_good);
        size_t size = sr_pool_trim();
        refuse_nth(0, 0, 0);
        wrong += size != (size_t)(which - 1) * page || sums_of(0).pages_size != (KINDS + 1 - (size_t)which) * page;
        wrong += sr_pool_trim() != (KINDS + 1 - (size_t)which) * page;
    }
    CHECK("trimming counts what was given back, and is done again for the rest", wrong == 0);
    CHECK("of which nothing is left then", is_same(before, picture_now()));
}

int main(void)
{
    begin_pool();
    (void)picture_now();
    test_takings();
    test_giving();
    test_trimming();
    return check_result();
}
