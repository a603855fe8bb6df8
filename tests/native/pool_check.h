/* What the tests of the pool share: slots taken and filled, arenas looked at, and a process under a lock limit. */
#ifndef SR_POOL_CHECK_H
#define SR_POOL_CHECK_H

#include "check.h"
#include "ending.h"
#include "generation.h"
#include "pool.h"

/* ThreadSanitizer, too, replaces mlock by nothing. */
#if defined(__SANITIZE_THREAD__)
#define HAS_NO_LOCKS 1
#else
#define HAS_NO_LOCKS HAS_ASAN
#endif

enum {
    NOBODY = 65534,
    ALL_REQUIRED = (1 << SR_STEP_NO_DUMP) | (1 << SR_STEP_NOT_IN_CHILD) | (1 << SR_STEP_LOCK),
    NO_LOCK_REQUIRED = ALL_REQUIRED & ~(1 << SR_STEP_LOCK),
    MOST_SLOTS = 4096,
    MOST_ROWS = 256
};

/* The sanitizers' heaps have mutexes that fork() does not look after: a child of a process with several threads may
 * wait for one for ever. */
#define HAS_HEAP_IN_CHILD (!HAS_NO_LOCKS)

/* AddressSanitizer and valgrind have memory of their own in this process, which comes and goes. */
UNUSED static long mapped_kb(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    int is_under_valgrind = preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
    return HAS_ASAN || is_under_valgrind ? 0 : status_number("VmSize");
}

static sr_error pool_error;

UNUSED static void begin_pool(void)
{
    if (sr_blocks_begin(&pool_error) != 0) {
        printf("FAIL  %s: %lld\n", pool_error.call, (long long)pool_error.code);
        exit(1);
    }
}

/* ---- backings ---- */

#define NO_SECRETMEM "this kernel has none (memfd_secret: Linux 5.14; boot with secretmem.enable=1 before 6.5)"

UNUSED static int has_backing(sr_backing backing)
{
    static int is_known, has_secretmem;
    if (!is_known) {
        sr_block block;
        has_secretmem = sr_block_create(&block, 1, SR_BACKING_SECRETMEM, 0, &pool_error) == 0
                        && sr_block_destroy(&block, &pool_error) == 0;
        is_known = 1;
    }
    return backing != SR_BACKING_SECRETMEM || has_secretmem;
}

UNUSED static const char *name_of(sr_backing backing)
{
    return backing == SR_BACKING_SECRETMEM ? "secret memory" : "locked memory";
}

/* ---- slots ---- */

UNUSED static int take(sr_slot *slot, size_t size, sr_backing backing)
{
    return sr_pool_take(size, backing, ALL_REQUIRED, slot, &pool_error);
}

/* A slot that the test cannot do without. */
UNUSED static sr_slot taken(size_t size, sr_backing backing)
{
    sr_slot slot;
    if (take(&slot, size, backing) != 0) {
        printf("FAIL  a slot of %zu bytes: %s: %lld\n", size, pool_error.call, (long long)pool_error.code);
        exit(1);
    }
    return slot;
}

/* From arenas that are there already; its home is NULL if they have none. */
UNUSED static sr_slot taken_from_free(size_t size, sr_backing backing)
{
    sr_slot slot;
    (void)sr_pool_take_ready(size, backing, ALL_REQUIRED, 0, &slot);
    return slot;
}

/* Every free slot there is for this size; how many. */
UNUSED static size_t take_all_free(sr_slot *slots, size_t size, sr_backing backing)
{
    size_t count = 0;
    while (count < MOST_SLOTS && (slots[count] = taken_from_free(size, backing)).home != NULL) {
        count++;
    }
    return count;
}

UNUSED static void give_all(sr_slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sr_pool_give(&slots[i]);
    }
}

/* Another content for each. */
UNUSED static unsigned char mark_of(size_t number)
{
    return (unsigned char)(1 + number % 255);
}

UNUSED static void mark_all(sr_slot *slots, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        memset(slots[i].data, mark_of(i), size);
    }
}

UNUSED static int are_marked_and_intact(const sr_slot *slots, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_all(slots[i].data, size, mark_of(i)) || !sr_slot_is_intact(&slots[i])) {
            return 0;
        }
    }
    return 1;
}

UNUSED static unsigned char *pages_end(const sr_slot *slot)
{
    return sr_slot_pages(slot)->pages + sr_slot_pages(slot)->pages_size;
}

/* ---- arenas ---- */

typedef struct sums {
    size_t arenas, slots, taken, pages_size;
} sums;

/* Of all arenas, or of those whose slots are of one size. */
UNUSED static sums sums_of(size_t slot_size)
{
    sr_pool_row rows[MOST_ROWS];
    sums all = {0, 0, 0, 0};
    size_t count = sr_pool_list(rows, MOST_ROWS);
    for (size_t i = 0; i < count && i < MOST_ROWS; i++) {
        if (slot_size == 0 || rows[i].slot_size == slot_size) {
            all.arenas++;
            all.slots += rows[i].count;
            all.taken += rows[i].taken;
            all.pages_size += rows[i].pages_size;
        }
    }
    return all;
}

/* Whether the kernel keeps these pages as a secret needs it: what AddressSanitizer replaces is left out. */
UNUSED static int is_furnished(const sr_block *pages)
{
    const char *permissions = pages->backing == SR_BACKING_SECRETMEM ? "rw-s" : "rw-p";
    unsigned char *last = pages->pages + pages->pages_size - 1;
    return has_permissions(pages->pages, permissions) && has_permissions(last, permissions)
           && has_flag(pages->pages, "dd") && has_flag(pages->pages, "dc")
           && (HAS_NO_LOCKS || (has_flag(pages->pages, "lo") && has_flag(last, "lo")));
}

/* ---- a lock limit, which counts only for those without CAP_IPC_LOCK ---- */

UNUSED static int become_nobody_under(rlim_t soft_size, rlim_t hard_size)
{
    struct rlimit limit = {soft_size, hard_size};
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0
           && (geteuid() != 0 || (setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0));
}

#endif
