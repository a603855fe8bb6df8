#include "pool_shard.h"
#include "generation.h"

#include <stdlib.h>
#include <string.h>

/* Closer together would waste less of each slot and leave more pages half used, which under a small lock limit counts
 * more. */
const uint32_t sr_slot_fits[SR_SLOT_KINDS] = {16, 32, 64, 128, 256, 512, SR_SLOT_MAX_SIZE};

/* Steps without which pages are the worse choice, even for those who do not require them. */
#define WANTED (1u << SR_STEP_LOCK | 1u << SR_STEP_NO_DUMP | 1u << SR_STEP_NOT_IN_CHILD)

#define ROWS (SR_POOL_BACKINGS * SR_SLOT_KINDS)

static sr_shard shards[SR_POOL_SHARDS];

/* In a child the arenas are the parent's: their pages are gone, and no object that was inherited asks for them. */
static void forget(sr_shard *shard)
{
    sr_pooled *next;
    for (sr_pooled *one = sr_shard_next(shard, NULL); one != NULL; one = next) {
        next = sr_shard_next(shard, one);
        free(one);
    }
    memset(shard->rows, 0, sizeof shard->rows);
}

sr_shard *sr_shard_enter(unsigned which)
{
    sr_os_enter((sr_mutex)(SR_MUTEX_POOL + which));
    sr_shard *shard = &shards[which];
    uint64_t generation = sr_generation();
    if (shard->generation != generation) {
        forget(shard);
        shard->generation = generation;
    }
    return shard;
}

void sr_shard_leave(unsigned which)
{
    sr_os_leave((sr_mutex)(SR_MUTEX_POOL + which));
}

sr_row *sr_row_of(const sr_pooled *one)
{
    return &shards[one->shard].rows[one->block.backing][one->kind];
}

int sr_is_full(const sr_pooled *one)
{
    return one->arena.taken == one->arena.count;
}

static void link_first(sr_row *row, sr_pooled *one)
{
    one->previous = NULL;
    one->next = row->first;
    *(row->first != NULL ? &row->first->previous : &row->last) = one;
    row->first = one;
}

static void link_last(sr_row *row, sr_pooled *one)
{
    one->next = NULL;
    one->previous = row->last;
    *(row->last != NULL ? &row->last->next : &row->first) = one;
    row->last = one;
}

static void unlink_from(sr_row *row, sr_pooled *one)
{
    *(one->previous != NULL ? &one->previous->next : &row->first) = one->next;
    *(one->next != NULL ? &one->next->previous : &row->last) = one->previous;
}

sr_pooled *sr_row_find(const sr_row *row, unsigned required, unsigned proven)
{
    sr_pooled *second_best = NULL;
    for (sr_pooled *one = row->first; one != NULL && !sr_is_full(one); one = one->next) {
        if ((one->refused & required) != 0 || (proven & ~one->block.borne_out) != 0) {
            continue;
        }
        if ((one->refused & WANTED) == 0) {
            return one;
        }
        if (second_best == NULL) {
            second_best = one;
        }
    }
    return second_best;
}

void sr_row_add(sr_pooled *one)
{
    sr_row *row = sr_row_of(one);
    link_first(row, one);
    row->page_count += one->block.pages_size / sr_os_page_size();
    row->unused++;
}

void sr_row_remove(sr_pooled *one)
{
    sr_row *row = sr_row_of(one);
    unlink_from(row, one);
    row->page_count -= one->block.pages_size / sr_os_page_size();
    row->unused--;
}

/* First of all, and the slot given back a moment ago would be the next one taken. */
void sr_row_move_forward(sr_pooled *one)
{
    sr_row *row = sr_row_of(one);
    unlink_from(row, one);
    sr_pooled *first = row->first;
    if (first == NULL || sr_is_full(first)) {
        link_first(row, one);
    } else {
        one->previous = first;
        one->next = first->next;
        *(one->next != NULL ? &one->next->previous : &row->last) = one;
        first->next = one;
    }
}

void sr_row_move_last(sr_pooled *one)
{
    unlink_from(sr_row_of(one), one);
    link_last(sr_row_of(one), one);
}

sr_pooled *sr_row_take_out(sr_pooled *one)
{
    sr_row *row = sr_row_of(one);
    sr_pooled *worst = one;
    int is_all = row->first == row->last; /* nothing of the row is in use */
    if (row->unused == 1 && !(is_all && one->block.pages_size > sr_os_page_size())) {
        return NULL;
    }
    for (sr_pooled *other = row->first; other != NULL && !sr_is_full(other); other = other->next) {
        int lacks = (other->refused & WANTED) != 0, worst_lacks = (worst->refused & WANTED) != 0;
        if (other->arena.taken == 0
            && (lacks != worst_lacks ? lacks : other->block.pages_size > worst->block.pages_size)) {
            worst = other;
        }
    }
    sr_row_remove(worst);
    return worst;
}

sr_pooled *sr_shard_next(const sr_shard *shard, const sr_pooled *one)
{
    const sr_row *rows = &shard->rows[0][0];
    if (one != NULL && one->next != NULL) {
        return one->next;
    }
    for (size_t i = one == NULL ? 0 : (size_t)one->block.backing * SR_SLOT_KINDS + one->kind + 1; i < ROWS; i++) {
        if (rows[i].first != NULL) {
            return rows[i].first;
        }
    }
    return NULL;
}

sr_pooled *sr_shard_unused(const sr_shard *shard)
{
    sr_pooled *one = sr_shard_next(shard, NULL);
    while (one != NULL && one->arena.taken != 0) {
        one = sr_shard_next(shard, one);
    }
    return one;
}

void sr_pool_distrust(const sr_slot *slot, unsigned steps)
{
    sr_shard_enter(slot->home->shard);
    slot->home->refused |= steps;
    sr_shard_leave(slot->home->shard);
}

size_t sr_pool_list(sr_pool_row *rows, size_t most)
{
    size_t found = 0;
    for (unsigned which = 0; which < SR_POOL_SHARDS; which++) {
        const sr_shard *shard = sr_shard_enter(which);
        for (sr_pooled *one = sr_shard_next(shard, NULL); one != NULL; one = sr_shard_next(shard, one), found++) {
            if (found < most) {
                sr_pool_row told = {one->block.backing, sr_slot_fits[one->kind], one->block.pages_size,
                                    one->arena.count, one->arena.taken};
                rows[found] = told;
            }
        }
        sr_shard_leave(which);
    }
    return found;
}
