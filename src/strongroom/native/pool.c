#include "pool_shard.h"
#include "ending.h"
#include "generation.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WRITTEN_WHILE_FREE \
    "strongroom: memory of a secret that was given back was written to (use after destroy). " \
    "Every secret has been wiped; ending the process.\n"

static int is_zero(const unsigned char *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void take_from(sr_pooled *one, size_t size, sr_slot *slot)
{
    size_t stride = one->arena.stride;
    sr_row_of(one)->unused -= one->arena.taken == 0;
    unsigned char *start = (unsigned char *)sr_arena_take(&one->arena, (uint32_t)size);
    assert(start != NULL);
    sr_blocks_await_walk(); /* one that read how much of the slot was in use before would wipe what is canary from now on */
    if (!is_zero(start, stride)) {
        sr_blocks_die(WRITTEN_WHILE_FREE);
    }
    sr_canary_write(start, stride - size);
    slot->home = one;
    slot->data = start + stride - size;
    if (sr_is_full(one)) {
        sr_row_move_last(one);
    }
}

static uint32_t index_of(const sr_slot *slot)
{
    uintptr_t offset = (uintptr_t)slot->data - slot->home->arena.base;
    return (uint32_t)(offset / slot->home->arena.stride);
}

static int is_intact(const sr_arena *arena, uint32_t index)
{
    const unsigned char *start = (unsigned char *)(arena->base + (uintptr_t)index * arena->stride);
    if (!sr_canary_is_intact(start, arena->stride - sr_arena_size_at(arena, index))) {
        return 0;
    }
    if (index + 1 == arena->count) { /* the guard page follows */
        return 1;
    }
    uint32_t next_size = sr_arena_size_at(arena, index + 1);
    const unsigned char *next = start + arena->stride;
    return next_size != 0 ? sr_canary_is_intact(next, arena->stride - next_size) : is_zero(next, SR_CANARY_SIZE);
}

/* ---- arenas come and go, outside the mutexes ---- */

static unsigned kind_for(size_t size)
{
    unsigned kind = 0;
    while (size > sr_slot_fits[kind]) {
        kind++;
    }
    return kind;
}

/* What a walk calls, which takes no mutex: other threads may take and give slots meanwhile. What they check, canaries and
 * the zeros of free slots, is left as it is, or they would find damage where there is none. Where there is damage that does
 * not matter any more: then all goes. */
static void wipe_slots(const sr_block *block, int why)
{
    const sr_pooled *one = (const sr_pooled *)((const char *)block - offsetof(sr_pooled, block));
    if (why == SR_WALK_DAMAGED) {
        sr_os_wipe(block->data, block->size);
        return;
    }
    uint32_t count = one->arena.count;
    atomic_thread_fence(memory_order_acquire); /* make() sets it last of all */
    for (uint32_t index = 0; index < count; index++) {
        uint32_t size = sr_arena_size_at(&one->arena, index);
        sr_os_wipe((void *)(one->arena.base + (uintptr_t)(index + 1) * one->arena.stride - size), size);
    }
}

static sr_pooled *make(unsigned kind, size_t page_count, sr_backing backing, unsigned required, sr_error *error)
{
    uint32_t stride = sr_slot_fits[kind] + SR_CANARY_SIZE;
    uint32_t count = (uint32_t)((page_count * sr_os_page_size() - SR_CANARY_SIZE) / stride);
    sr_pooled *one = malloc(sizeof *one + sr_arena_notes_size(count));
    if (one == NULL) {
        error->call = "malloc";
        error->code = SR_UNSUPPORTED;
        return NULL;
    }
    memset(one, 0, sizeof *one); /* a walk may meet it from the next line on: with no slots yet */
    if (sr_block_create_shared(&one->block, page_count, backing, required, wipe_slots, error) != 0) {
        free(one);
        return NULL;
    }
    uintptr_t end = (uintptr_t)one->block.data + one->block.size;
    sr_arena arena;
    sr_arena_begin(&arena, end - (uintptr_t)stride * count, stride, count, one->notes);
    arena.count = 0;
    one->arena = arena;
    atomic_thread_fence(memory_order_release);
    one->arena.count = count;
    one->kind = kind;
    for (int step = 0; step < SR_STEP_COUNT; step++) {
        one->refused |= one->block.outcomes[step].call != NULL ? 1u << step : 0;
    }
    return one;
}

/* Where the system refuses to take the pages back they stay for the next secret: wiped, locked, of use. */
static int end(sr_pooled *one)
{
    sr_error ignored;
    if (sr_block_destroy(&one->block, &ignored) == 0) {
        free(one);
        return 0;
    }
    sr_shard_enter(one->shard);
    sr_row_add(one);
    sr_shard_leave(one->shard);
    return -1;
}

static sr_pooled *take_out_unused(unsigned which)
{
    sr_pooled *found = sr_shard_unused(sr_shard_enter(which));
    if (found != NULL) {
        sr_row_remove(found);
    }
    sr_shard_leave(which);
    return found;
}

size_t sr_pool_trim(void)
{
    size_t size = 0;
    for (unsigned which = 0; which < SR_POOL_SHARDS; which++) {
        for (sr_pooled *one = take_out_unused(which); one != NULL; one = take_out_unused(which)) {
            size_t pages_size = one->block.pages_size;
            if (end(one) != 0) {
                break;
            }
            size += pages_size;
        }
    }
    return size;
}

/* A new arena as large as those of its kind together; at the lock limit by halves, down to a page. */
static int grow(unsigned which, unsigned kind, size_t size, sr_backing backing, unsigned required, sr_slot *slot,
                sr_error *error)
{
    size_t most = SR_ARENA_MAX_SIZE / sr_os_page_size();
    size_t page_count = sr_shard_enter(which)->rows[backing][kind].page_count;
    sr_shard_leave(which);
    page_count = page_count > most ? most : page_count;
    page_count += page_count == 0;
    sr_pooled *one = make(kind, page_count, backing, required, error);
    while (one == NULL && page_count > 1 && sr_os_is_lock_limit(error)) {
        page_count /= 2;
        one = make(kind, page_count, backing, required, error);
    }
    if (one == NULL) {
        return -1;
    }
    one->shard = which;
    sr_shard_enter(which);
    sr_row_add(one);
    take_from(one, size, slot);
    sr_shard_leave(which);
    return 0;
}

static int take_free(unsigned which, unsigned kind, size_t size, sr_backing backing, unsigned required, unsigned proven,
                     sr_slot *slot)
{
    sr_pooled *one = sr_row_find(&sr_shard_enter(which)->rows[backing][kind], required, proven);
    if (one != NULL) {
        take_from(one, size, slot);
    }
    sr_shard_leave(which);
    return one != NULL;
}

/* ---- for everybody ---- */

static unsigned shard_of_thread(void)
{
    return sr_os_thread_turn() % SR_POOL_SHARDS;
}

int sr_pool_take_ready(size_t size, sr_backing backing, unsigned required, unsigned proven, sr_slot *slot)
{
    slot->home = NULL;
    return take_free(shard_of_thread(), kind_for(size), size, backing, required, proven, slot);
}

int sr_pool_take_free(size_t size, sr_backing backing, unsigned required, sr_slot *slot)
{
    unsigned mine = shard_of_thread();
    for (unsigned kind = kind_for(size); kind < SR_SLOT_KINDS; kind++) {
        for (unsigned i = 0; i < SR_POOL_SHARDS; i++) {
            if (take_free((mine + i) % SR_POOL_SHARDS, kind, size, backing, required, 0, slot)) {
                return 1;
            }
        }
    }
    slot->home = NULL;
    return 0;
}

int sr_pool_take(size_t size, sr_backing backing, unsigned required, sr_slot *slot, sr_error *error)
{
    unsigned mine = shard_of_thread(), kind = kind_for(size);
    assert(size != 0 && size <= SR_SLOT_MAX_SIZE && sr_generation() != 0);
    slot->home = NULL;
    if (take_free(mine, kind, size, backing, required, 0, slot)
        || grow(mine, kind, size, backing, required, slot, error) == 0) {
        return 0;
    }
    if (sr_pool_take_free(size, backing, required, slot)) {
        return 0;
    }
    int is_worth_trying = sr_os_is_lock_limit(error) && sr_pool_trim() != 0;
    return is_worth_trying ? grow(mine, kind, size, backing, required, slot, error) : -1;
}

void sr_pool_give(sr_slot *slot)
{
    sr_pooled *one = slot->home, *unused = NULL;
    uint32_t index = index_of(slot);
    size_t stride = one->arena.stride;
    unsigned char *start = (unsigned char *)(one->arena.base + index * stride);
    sr_shard_enter(one->shard);
    int is_good = is_intact(&one->arena, index);
    sr_os_wipe(start, stride);
    if (!is_good) {
        sr_blocks_die(SR_DAMAGED_CANARY);
    }
    if (sr_is_full(one)) {
        sr_row_move_forward(one);
    }
    int result = sr_arena_give(&one->arena, (uintptr_t)start);
    assert(result == 0);
    (void)result;
    if (one->arena.taken == 0) {
        sr_row_of(one)->unused++;
        unused = sr_row_take_out(one);
    }
    sr_shard_leave(one->shard);
    slot->home = NULL;
    slot->data = NULL;
    if (unused != NULL) {
        (void)end(unused);
    }
}

int sr_slot_is_intact(const sr_slot *slot)
{
    sr_shard_enter(slot->home->shard);
    int result = is_intact(&slot->home->arena, index_of(slot));
    sr_shard_leave(slot->home->shard);
    return result;
}

const sr_block *sr_slot_pages(const sr_slot *slot)
{
    return &slot->home->block;
}

static void wipe_taken(const sr_pooled *one)
{
    for (uint32_t index = 0; index < one->arena.fresh; index++) {
        uint32_t size = sr_arena_size_at(&one->arena, index);
        if (size != 0) {
            int is_good = is_intact(&one->arena, index);
            sr_os_wipe((void *)(one->arena.base + (uintptr_t)(index + 1) * one->arena.stride - size), size);
            if (!is_good) {
                sr_blocks_die(SR_DAMAGED_CANARY);
            }
        }
    }
}

void sr_pool_wipe_all(void)
{
    for (unsigned which = 0; which < SR_POOL_SHARDS; which++) {
        const sr_shard *shard = sr_shard_enter(which);
        for (sr_pooled *one = sr_shard_next(shard, NULL); one != NULL; one = sr_shard_next(shard, one)) {
            wipe_taken(one);
        }
        sr_shard_leave(which);
    }
}
