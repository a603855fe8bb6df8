#include "guarded.h"
#include "generation.h"
#include "live.h"

#include <assert.h>
#include <string.h>

/* ---- making one ---- */

size_t sr_block_max_size(void)
{
    return SIZE_MAX / 2 - 4 * sr_os_page_size();
}

static void lay_out(sr_block *block, size_t size)
{
    size_t page = sr_os_page_size();
    assert(size != 0 && size <= sr_block_max_size());
    block->pages_size = (size + SR_CANARY_SIZE + page - 1) / page * page;
    block->reserved_size = block->pages_size + 2 * page;
}

static int ask(const sr_block *block, sr_step step, sr_error *error)
{
    void *address = block->pages;
    size_t size = block->pages_size;
    switch (step) {
    case SR_STEP_NO_DUMP: return sr_os_advise_no_dump(address, size, error);
    case SR_STEP_NOT_IN_CHILD: return sr_os_advise_not_in_child(address, size, error);
    case SR_STEP_NO_HUGE: return sr_os_advise_no_huge(address, size, error);
    case SR_STEP_NO_MERGE: return sr_os_advise_no_merge(address, size, error);
    case SR_STEP_LOCK: return sr_os_lock(address, size, error);
    case SR_STEP_COUNT: break;
    }
    assert(!"a step outside the enumeration");
    return -1;
}

void sr_block_take_step(sr_block *block, sr_step step)
{
    sr_outcome refused;
    if (ask(block, step, &refused) != 0) {
        block->outcomes[step] = refused;
    }
}

/* Secret memory is locked, never dumped, never merged and never collapsed by what it is: asking again only fails
 * (mlock: ENOMEM). It is inherited by children unless told otherwise, and it is a shared mapping: a child forked
 * before it is marked would see whatever is written here later. A fork waits for the mutex, so there is no such
 * child. */
static int furnish_secretmem(sr_block *block, sr_error *error)
{
    sr_os_enter(SR_MUTEX_BLOCKS);
    int result = sr_os_secretmem(block->pages, block->pages_size, error);
    if (result == 0) {
        sr_block_take_step(block, SR_STEP_NOT_IN_CHILD);
    }
    sr_os_leave(SR_MUTEX_BLOCKS);
    return result;
}

static int furnish(sr_block *block, unsigned required, sr_error *error)
{
    if (block->backing == SR_BACKING_SECRETMEM) {
        if (furnish_secretmem(block, error) != 0) {
            return -1;
        }
    } else if (sr_os_commit(block->pages, block->pages_size, SR_READ_WRITE, error) != 0) {
        return -1;
    }
    block->protection = SR_READ_WRITE;
    for (int i = 0; i < SR_STEP_COUNT; i++) {
        sr_step step = (sr_step)i;
        if (block->backing != SR_BACKING_SECRETMEM) {
            sr_block_take_step(block, step);
        }
        if (block->outcomes[i].call != NULL && (required & (1u << i)) != 0) {
            *error = block->outcomes[i];
            return -1;
        }
    }
    /* Touch every page: private pages are shared with the zero page (or with a parent) until first written,
     * and a lock need not break that sharing on every system. */
    for (size_t i = 0; i < block->pages_size; i += sr_os_page_size()) {
        ((volatile unsigned char *)block->pages)[i] = 0;
    }
    return 0;
}

static int make(sr_block *block, size_t size, sr_backing backing, unsigned required,
                void (*wipe_slots)(const sr_block *, int), sr_error *error)
{
    memset(block, 0, sizeof *block);
    assert(sr_generation() != 0); /* sr_blocks_begin */
    lay_out(block, size);
    block->backing = backing;
    block->wipe_slots = wipe_slots;
    void *reservation = NULL;
    if (sr_os_reserve(block->reserved_size, SR_PLACE_ANYWHERE, &reservation, error) != 0) {
        return -1;
    }
    block->reservation = reservation;
    block->pages = block->reservation + sr_os_page_size();
    if (furnish(block, required, error) == 0) {
        sr_block_place(block, size);
        if (wipe_slots != NULL || sr_block_close(block, error) == 0) {
            block->generation = sr_generation();
            sr_block_enlist(block);
            return 0;
        }
    }
    sr_error ignored; /* the first failure is the one to report; nothing secret was in these pages yet */
    (void)sr_os_release(block->reservation, block->reserved_size, &ignored);
    block->reservation = NULL;
    return -1;
}

int sr_block_create(sr_block *block, size_t size, sr_backing backing, unsigned required, sr_error *error)
{
    return make(block, size, backing, required, NULL, error);
}

int sr_block_create_shared(sr_block *block, size_t page_count, sr_backing backing, unsigned required,
                           void (*wipe_slots)(const sr_block *, int), sr_error *error)
{
    return make(block, page_count * sr_os_page_size() - SR_CANARY_SIZE, backing, required, wipe_slots, error);
}

/* ---- using one ---- */

int sr_block_close(sr_block *block, sr_error *error)
{
    return sr_block_protect(block, sr_os_resting_protection(), error);
}

/* In this order: a walk writes the canary where block->data says, and zeros below it. One that read the old place is over
 * before that is cleared, one that comes later knows the new one. */
void sr_block_place(sr_block *block, size_t size)
{
    unsigned char *before = block->data;
    assert(size != 0 && size + SR_CANARY_SIZE <= block->pages_size);
    block->size = size;
    block->data = block->pages + block->pages_size - size;
    if (before != NULL) {
        sr_blocks_await_walk();
        sr_os_wipe(before - SR_CANARY_SIZE, SR_CANARY_SIZE);
    }
    sr_canary_write(block->data - SR_CANARY_SIZE, SR_CANARY_SIZE);
}

/* Zeros below the canary: the first byte is one, and each is equal to the next. memcmp does that at the speed of
 * memory; a loop of our own is left to the compiler's mood. */
int sr_block_is_intact(const sr_block *block)
{
    const unsigned char *mark = block->data - SR_CANARY_SIZE;
    size_t below = (size_t)(mark - block->pages);
    return sr_canary_is_intact(mark, SR_CANARY_SIZE)
           && (below == 0 || (block->pages[0] == 0 && memcmp(block->pages, block->pages + 1, below - 1) == 0));
}

int sr_block_wipe(sr_block *block, sr_error *error)
{
    if (sr_block_protect(block, SR_READ_WRITE, error) != 0) {
        return -1;
    }
    int is_damaged = !sr_block_is_intact(block);
    sr_os_wipe(block->pages, block->pages_size);
    if (is_damaged) {
        sr_blocks_die(SR_DAMAGED_CANARY);
    }
    sr_block_place(block, block->size);
    return 0;
}

int sr_block_destroy(sr_block *block, sr_error *error)
{
    if (sr_block_wipe(block, error) != 0) {
        return -1;
    }
    sr_block_delist(block);
    if (sr_os_release(block->reservation, block->reserved_size, error) != 0) {
        sr_block_enlist(block);
        return -1;
    }
    block->reservation = NULL;
    return 0;
}

void sr_block_forget(sr_block *block)
{
    sr_block_delist(block);
    block->reservation = NULL;
}
