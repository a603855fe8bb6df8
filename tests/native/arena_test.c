/* An arena's bookkeeping, on addresses that nothing is behind: what it hands out, in which order, and what it refuses.
 *
 *     arena_test [seed]
 */
#include "chance.h"
#include "named_checks.h"

#include "arena.h"

#include <time.h>

enum { BEYOND = 64, BEYOND_BYTE = 0xC3 }; /* bytes after the notes that nobody may write */

typedef struct ground {
    sr_arena arena;
    unsigned char *notes;
    size_t notes_size;
} ground;

static void begin(ground *one, uintptr_t base, uint32_t stride, uint32_t count)
{
    one->notes_size = sr_arena_notes_size(count);
    one->notes = malloc(one->notes_size + BEYOND);
    if (one->notes == NULL) {
        exit(2);
    }
    memset(one->notes, BEYOND_BYTE, one->notes_size + BEYOND); /* it may rely on no content of the notes */
    sr_arena_begin(&one->arena, base, stride, count, one->notes);
}

static int is_within_notes(const ground *one)
{
    return is_all(one->notes + one->notes_size, BEYOND, BEYOND_BYTE);
}

/* ---- one by one ---- */

static void test_order(void)
{
    enum { BASE = 0x10000, STRIDE = 48, COUNT = 5 };
    ground one;
    begin(&one, BASE, STRIDE, COUNT);
    sr_arena *arena = &one.arena;
    CHECK("every slot is free at first", arena->taken == 0 && sr_arena_size_at(arena, COUNT - 1) == 0);
    int is_rising = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        is_rising &= sr_arena_take(arena, i + 1) == BASE + i * STRIDE && sr_arena_size_at(arena, i) == i + 1;
    }
    CHECK("fresh slots are taken in the order of their addresses", is_rising && arena->taken == COUNT);
    CHECK("a full arena has none", sr_arena_take(arena, 1) == 0 && arena->taken == COUNT);
    CHECK("slots are given back", sr_arena_give(arena, BASE + 3 * STRIDE) == 0 && sr_arena_give(arena, BASE) == 0);
    CHECK("and are free then", sr_arena_size_at(arena, 3) == 0 && sr_arena_size_at(arena, 0) == 0 && arena->taken == 3);
    CHECK("what was given back first is taken first", sr_arena_take(arena, STRIDE) == BASE + 3 * STRIDE);
    CHECK("for the size it is taken with now", sr_arena_size_at(arena, 3) == STRIDE);
    CHECK("then the next", sr_arena_take(arena, 7) == BASE);
    CHECK("and no more", sr_arena_take(arena, 7) == 0);
    free(one.notes);

    begin(&one, BASE, STRIDE, COUNT);
    uintptr_t first = sr_arena_take(arena, 1);
    CHECK("a slot given back waits until all fresh ones were taken",
          sr_arena_give(arena, first) == 0 && sr_arena_take(arena, 1) == BASE + STRIDE);
    free(one.notes);
}

static void test_notes(void)
{
    ground one;
    CHECK("bookkeeping is four bytes a slot", sr_arena_notes_size(85) == 85 * 4);
    begin(&one, 0x10000, 48, 85);
    for (int round = 0; round < 3; round++) {
        while (sr_arena_take(&one.arena, 48) != 0) {
        }
        for (uint32_t i = 0; i < 85; i++) {
            (void)sr_arena_give(&one.arena, 0x10000 + i * 48);
        }
    }
    CHECK("and nothing beyond it is written", is_within_notes(&one));
    free(one.notes);
}

/* ---- what must change nothing ---- */

/* The address is refused, and the books stay as they are. */
static int is_refused(ground *one, uintptr_t address)
{
    static sr_arena before;
    static unsigned char notes[4 * SR_ARENA_MAX_SLOTS];
    before = one->arena;
    memcpy(notes, one->notes, one->notes_size);
    return sr_arena_give(&one->arena, address) == -1 && memcmp(&before, &one->arena, sizeof before) == 0
           && memcmp(notes, one->notes, one->notes_size) == 0;
}

static void check_refusals(const char *where, uintptr_t base)
{
    enum { STRIDE = 48, COUNT = 3 };
    ground one;
    printf("      an arena %s\n", where);
    begin(&one, base, STRIDE, COUNT);
    (void)sr_arena_take(&one.arena, 32);
    (void)sr_arena_take(&one.arena, 32);
    (void)sr_arena_give(&one.arena, base + STRIDE);
    int misaligned = 1, outside = 1;
    for (uintptr_t offset = 1; offset < STRIDE; offset++) {
        misaligned &= is_refused(&one, base + offset) && sr_arena_index(&one.arena, base + offset) == COUNT;
    }
    const uintptr_t end = base + COUNT * STRIDE;
    const uintptr_t elsewhere[] = {0, 1, base - 1, base - STRIDE, base - (uintptr_t)STRIDE * 65536, end, end + STRIDE,
                                   end - 1, UINTPTR_MAX, UINTPTR_MAX / 2, base ^ (UINTPTR_MAX / 2 + 1)};
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        outside &= is_refused(&one, elsewhere[i]) && sr_arena_index(&one.arena, elsewhere[i]) == COUNT;
    }
    CHECK("an address within a slot is refused", misaligned);
    CHECK("an address outside the arena is refused", outside);
    CHECK("a slot that was never taken is refused", is_refused(&one, base + 2 * STRIDE));
    CHECK("a slot that was given back is refused", is_refused(&one, base + STRIDE));
    CHECK("control: the one that is taken is not", sr_arena_give(&one.arena, base) == 0);
    CHECK("giving it back twice is refused", is_refused(&one, base));
    free(one.notes);
}

/* ---- fuzz, against a queue of free slots on a tape that is long enough ---- */

typedef struct model {
    uint32_t count;
    size_t next, end; /* free slots on the tape, the next to be taken first */
    uint16_t *tape, *sizes;
} model;

static uint32_t waiting(const model *one)
{
    return (uint32_t)(one->end - one->next);
}

static void begin_model(model *one, uint32_t count, size_t steps)
{
    one->count = count;
    one->next = 0;
    one->end = count;
    one->tape = malloc((count + steps) * sizeof *one->tape);
    one->sizes = calloc(count, sizeof *one->sizes);
    if (one->tape == NULL || one->sizes == NULL) {
        exit(2);
    }
    for (uint32_t i = 0; i < count; i++) {
        one->tape[i] = (uint16_t)i;
    }
}

static int is_like_model(const ground *one, const model *other)
{
    for (uint32_t i = 0; i < other->count; i++) {
        if (sr_arena_size_at(&one->arena, i) != other->sizes[i]) {
            return 0;
        }
    }
    return is_within_notes(one);
}

static int take_step(ground *one, model *other, uint64_t *chance)
{
    sr_arena *arena = &one->arena;
    uint32_t size = 1 + (uint32_t)below(chance, arena->stride);
    if (waiting(other) == 0) {
        return sr_arena_take(arena, size) == 0;
    }
    uint32_t index = other->tape[other->next++];
    other->sizes[index] = (uint16_t)size;
    return sr_arena_take(arena, size) == arena->base + (uintptr_t)index * arena->stride;
}

/* Where no slot begins: within one, close to the arena on both sides, anywhere. */
static uintptr_t wrong_address(const sr_arena *arena, uint64_t *chance)
{
    uintptr_t base = arena->base, stride = arena->stride, end = base + stride * arena->count;
    switch (below(chance, 4)) {
    case 0: return stride == 1 ? end : base + stride * below(chance, arena->count) + 1 + below(chance, stride - 1);
    case 1: return base - 1 - below(chance, 3 * stride);
    case 2: return end + below(chance, 3 * stride);
    default: return end + below(chance, (size_t)(base - end)); /* all of the rest, from the end round to the base */
    }
}

static int give_step(ground *one, model *other, uint64_t *chance)
{
    sr_arena *arena = &one->arena;
    if (below(chance, 8) == 0) {
        uintptr_t address = wrong_address(arena, chance);
        return sr_arena_index(arena, address) == other->count && sr_arena_give(arena, address) == -1;
    }
    uint32_t index = (uint32_t)below(chance, other->count);
    uintptr_t address = arena->base + (uintptr_t)index * arena->stride;
    if (sr_arena_index(arena, address) != index) {
        return 0;
    }
    if (other->sizes[index] == 0) {
        return sr_arena_give(arena, address) == -1;
    }
    other->sizes[index] = 0;
    other->tape[other->end++] = (uint16_t)index;
    return sr_arena_give(arena, address) == 0 && sr_arena_give(arena, address) == -1;
}

static void fuzz(uintptr_t base, uint32_t stride, uint32_t count, size_t steps, uint64_t *chance)
{
    ground one;
    model other;
    begin(&one, base, stride, count);
    begin_model(&other, count, steps);
    size_t step, fulls = 0, empties = 0, looks = 1 + count / 4, taking_of_8 = 8;
    for (step = 0; step < steps; step++) {
        if (fulls > 0 && below(chance, 16 * (size_t)count) == 0) {
            taking_of_8 = below(chance, 9); /* nothing else and neither among them: full and empty by turns */
        }
        int is_taking = below(chance, 8) < taking_of_8;
        int is_right = is_taking ? take_step(&one, &other, chance) : give_step(&one, &other, chance);
        if (!is_right || one.arena.taken != count - waiting(&other)
            || (step % looks == 0 && !is_like_model(&one, &other))) {
            break;
        }
        fulls += waiting(&other) == 0;
        empties += waiting(&other) == count;
    }
    printf("      %u slots of %u bytes, %lu steps: %lu times full, %lu empty\n", (unsigned)count, (unsigned)stride,
           (unsigned long)step, (unsigned long)fulls, (unsigned long)empties);
    CHECK("it does what a plain queue does", step == steps && is_like_model(&one, &other));
    CHECK("control: it was full meanwhile, and small ones empty", fulls > 0 && (empties > 0 || count > 100));
    free(one.notes);
    free(other.tape);
    free(other.sizes);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    uint64_t chance = (seed + 1) * 0x9E3779B97F4A7C15u;
    printf("seed %llu\n", (unsigned long long)seed);
    test_order();
    test_notes();
    check_refusals("far below", 0x10000);
    check_refusals("up to the last address", UINTPTR_MAX - 3 * 48);
    fuzz(0x10000, 48, 85, 300000, &chance);
    fuzz(UINTPTR_MAX - 48 * 85, 48, 85, 300000, &chance);
    fuzz(0x12345, 1040, 3, 100000, &chance);
    fuzz(1, 1, 1, 50000, &chance);
    fuzz(UINTPTR_MAX - 2 * 65535, 65535, 2, 50000, &chance);
    fuzz(0x10000, 32, 255, 100000, &chance);
    fuzz(0x10000, 7, SR_ARENA_MAX_SLOTS, 400000, &chance);
    return check_result();
}
