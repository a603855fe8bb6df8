#include "guarded.h"
#include "backing.h"
#include "generation.h"
#include "live.h"
#include "sr_os_signals.h"

#include <assert.h>
#include <string.h>

/* ---- making one ---- */

static void lay_out(sr_block *block, size_t size)
{
    size_t page = sr_os_page_size();
    assert(size != 0 && size <= sr_block_max_size(block->backing));
    block->pages_size = (size + SR_CANARY_SIZE + sr_block_trailing(block->backing) + page - 1) / page * page;
}

static int make(sr_block *block, size_t size, const sr_making *making, void (*wipe_slots)(const sr_block *, int),
                sr_error *error)
{
    memset(block, 0, sizeof *block);
    assert(sr_generation() != 0); /* sr_blocks_begin */
    block->backing = making->backing;
    lay_out(block, size);
    block->wipe_slots = wipe_slots;
    if (sr_block_furnish(block, making, error) == 0) {
        sr_block_place(block, size);
        if (wipe_slots != NULL || sr_block_close(block, error) == 0) {
            block->generation = sr_generation();
            sr_block_enlist(block);
            return 0;
        }
    }
    sr_error ignored; /* the first failure is the one to report; nothing secret was in these pages yet */
    if (block->reservation != NULL) {
        (void)sr_block_give_back(block, &ignored);
        block->reservation = NULL;
    }
    return -1;
}

int sr_block_create(sr_block *block, size_t size, sr_backing backing, unsigned required, sr_error *error)
{
    return make(block, size, &(sr_making){.backing = backing, .required = required}, NULL, error);
}

int sr_block_create_as(sr_block *block, size_t size, const sr_making *making, sr_error *error)
{
    return make(block, size, making, NULL, error);
}

int sr_block_create_shared(sr_block *block, size_t page_count, sr_backing backing, unsigned required,
                           void (*wipe_slots)(const sr_block *, int), sr_error *error)
{
    sr_making making = {.backing = backing, .required = required};
    return make(block, page_count * sr_os_page_size() - SR_CANARY_SIZE, &making, wipe_slots, error);
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
    size_t trailing = sr_block_trailing(block->backing);
    assert(size != 0 && size + SR_CANARY_SIZE + trailing <= block->pages_size);
    block->size = size;
    block->data = block->pages + block->pages_size - trailing - size;
    if (before != NULL) {
        sr_blocks_await_walk();
        sr_os_wipe(before - SR_CANARY_SIZE, SR_CANARY_SIZE);
    }
    sr_canary_write(block->data - SR_CANARY_SIZE, SR_CANARY_SIZE);
    if (trailing != 0) {
        sr_canary_write(block->data + size, trailing);
    }
}

/* Zeros below the canary: the first byte is one, and each is equal to the next. memcmp does that at the speed of
 * memory; a loop of our own is left to the compiler's mood. */
int sr_block_is_intact(const sr_block *block)
{
    const unsigned char *mark = block->data - SR_CANARY_SIZE;
    size_t below = (size_t)(mark - block->pages);
    if (block->has_no_canary) {
        return 1;
    }
    return sr_block_condition(block) != SR_DAMAGED
           && (below == 0 || (block->pages[0] == 0 && memcmp(block->pages, block->pages + 1, below - 1) == 0));
}

int sr_block_wipe(sr_block *block, sr_error *error)
{
    if (sr_block_protect(block, SR_READ_WRITE, error) != 0) {
        return -1;
    }
    block->burned = (sr_outcome){NULL, 0};
    if (sr_block_fetch(block, &block->burned) != 0) {
        sr_error ignored;
        (void)sr_block_wipe_checked(block, SR_NO_WALK, &ignored);
        (void)sr_os_store_checked(block->data - SR_CANARY_SIZE, NULL, SR_CANARY_SIZE, &ignored); /* for nobody's disk */
        block->has_no_canary = 1;
        return 0;
    }
    int is_damaged = !sr_block_is_intact(block);
    sr_os_wipe(block->pages, block->pages_size);
    if (is_damaged) {
        sr_blocks_die(SR_DAMAGED_CANARY);
    }
    sr_block_place(block, block->size);
    block->has_no_canary = block->is_void = 0;
    block->renewals += (unsigned)sr_can_vanish(block->backing);
    return 0;
}

static int end(sr_block *block, sr_error *error)
{
    if (sr_block_wipe(block, error) != 0) {
        return -1;
    }
    sr_block_burn(block);
    sr_block_delist(block);
    if (sr_block_give_back(block, error) != 0) {
        sr_block_restore(block);
        sr_block_enlist(block);
        return -1;
    }
    return 0;
}

/* Only the owner's thread closes and wipes a block, and who wipes all of them; these two must not meet. */
int sr_block_destroy(sr_block *block, sr_error *error)
{
    sr_block_begin_end(block);
    int result = end(block, error);
    sr_block_end_end(block);
    return result;
}

void sr_block_forget(sr_block *block)
{
    sr_block_begin_end(block);
    sr_block_delist(block);
    sr_block_end_end(block);
    block->reservation = NULL;
}
