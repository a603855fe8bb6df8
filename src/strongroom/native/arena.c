#include "arena.h"

#include <assert.h>
#include <string.h>

size_t sr_arena_notes_size(uint32_t count)
{
    return (size_t)count * 2 * sizeof(uint16_t);
}

void sr_arena_begin(sr_arena *arena, uintptr_t base, uint32_t stride, uint32_t count, void *notes)
{
    assert(count != 0 && count <= SR_ARENA_MAX_SLOTS && stride != 0 && stride <= UINT16_MAX);
    assert(base != 0 && base <= UINTPTR_MAX - (uintptr_t)stride * count);
    memset(arena, 0, sizeof *arena);
    arena->base = base;
    arena->stride = stride;
    arena->count = count;
    arena->ring = notes;
    arena->sizes = arena->ring + count;
    memset(arena->sizes, 0, count * sizeof *arena->sizes);
}

uintptr_t sr_arena_take(sr_arena *arena, uint32_t size)
{
    uint32_t index;
    assert(size != 0 && size <= arena->stride);
    if (arena->fresh < arena->count) {
        index = arena->fresh++;
    } else if (arena->free_again != 0) {
        index = arena->ring[arena->oldest];
        arena->oldest = arena->oldest + 1 == arena->count ? 0 : arena->oldest + 1;
        arena->free_again--;
    } else {
        return 0;
    }
    assert(arena->sizes[index] == 0);
    arena->sizes[index] = (uint16_t)size;
    arena->taken++;
    return arena->base + (uintptr_t)index * arena->stride;
}

int sr_arena_give(sr_arena *arena, uintptr_t address)
{
    uint32_t index = sr_arena_index(arena, address);
    if (index == arena->count || arena->sizes[index] == 0) {
        return -1;
    }
    uint32_t end = arena->oldest + arena->free_again; /* at most one turn of the ring ahead */
    arena->ring[end >= arena->count ? end - arena->count : end] = (uint16_t)index;
    arena->free_again++;
    arena->sizes[index] = 0;
    arena->taken--;
    return 0;
}

uint32_t sr_arena_size_at(const sr_arena *arena, uint32_t index)
{
    assert(index < arena->count);
    return arena->sizes[index];
}

uint32_t sr_arena_index(const sr_arena *arena, uintptr_t address)
{
    uintptr_t offset = address - arena->base; /* of an address below the base: huge */
    return offset / arena->stride < arena->count && offset % arena->stride == 0 ? (uint32_t)(offset / arena->stride)
                                                                                : arena->count;
}
