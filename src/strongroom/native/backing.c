#include "backing.h"
#include "live.h"
#include "sr_os_backing.h"
#include "sr_os_signals.h"

#include <assert.h>

int sr_has_file(sr_backing backing)
{
    return backing == SR_BACKING_PARTIAL || backing == SR_BACKING_FILE;
}

int sr_can_vanish(sr_backing backing)
{
    return backing == SR_BACKING_DROPPABLE || backing == SR_BACKING_PARTIAL;
}

size_t sr_block_trailing(sr_backing backing)
{
    return sr_can_vanish(backing) ? SR_CANARY_SIZE : 0;
}

/* The system drops pages one by one, and each that is to be missed needs its sentinels: there is one. */
size_t sr_block_max_size(sr_backing backing)
{
    if (!sr_can_vanish(backing)) {
        return SIZE_MAX / 2 - 4 * sr_os_page_size();
    }
    return sr_os_page_size() - 2 * SR_CANARY_SIZE - (backing == SR_BACKING_PARTIAL ? SR_PARTIAL_HEAD : 0);
}

/* ---- making the pages ---- */

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

/* Of a partial page's file, which has its head, the rest of the page is behind its end. */
static size_t tail_of(const sr_block *block)
{
    return block->backing == SR_BACKING_PARTIAL ? block->pages_size - SR_PARTIAL_HEAD : 0;
}

static int obtain_file(sr_block *block, const char *directory, sr_error *error)
{
    sr_private_pages made;
    if (tail_of(block) != 0 && sr_os_drops_tails(directory, tail_of(block), error) != 0) {
        return -1;
    }
    if (sr_os_private_pages(directory, block->pages_size, tail_of(block), &made, error) != 0) {
        return -1;
    }
    block->reservation = made.reservation;
    block->reserved_size = made.reserved_size;
    block->pages = made.pages;
    block->file = made.file;
    return 0;
}

static int obtain(sr_block *block, const sr_making *making, sr_error *error)
{
    size_t page = sr_os_page_size(), reserved_size = block->pages_size + 2 * page;
    void *reservation = NULL;
    if (sr_has_file(block->backing)) {
        return obtain_file(block, making->directory, error);
    }
    if (sr_os_reserve(reserved_size, SR_PLACE_ANYWHERE, &reservation, error) != 0) {
        return -1;
    }
    block->reservation = reservation;
    block->reserved_size = reserved_size;
    block->pages = block->reservation + page;
    switch (block->backing) {
    case SR_BACKING_SECRETMEM: return sr_os_secretmem(block->pages, block->pages_size, error);
    case SR_BACKING_DROPPABLE: return sr_os_droppable(block->pages, block->pages_size, error);
    default: return sr_os_commit(block->pages, block->pages_size, SR_READ_WRITE, error);
    }
}

int sr_block_give_back(sr_block *block, sr_error *error)
{
    int result = sr_has_file(block->backing)
        ? sr_os_private_release(block->file, block->reservation, block->reserved_size, error)
        : sr_os_release(block->reservation, block->reserved_size, error);
    if (result == 0) {
        block->reservation = NULL;
    }
    return result;
}

/* Shared mappings are inherited by children unless told otherwise: a child forked before that would see whatever is
 * written here later. A fork waits for the mutex, so there is no such child. A file's pages come with that done
 * (sr_os_private_pages), for nobody should wait for their disk; to do it again says how it went. */
static int obtain_apart_from_forks(sr_block *block, const sr_making *making, sr_error *error)
{
    int is_apart = sr_has_file(block->backing);
    if (!is_apart) {
        sr_os_enter(SR_MUTEX_BLOCKS);
    }
    int result = obtain(block, making, error);
    if (result == 0) {
        sr_block_take_step(block, SR_STEP_NOT_IN_CHILD);
    }
    if (!is_apart) {
        sr_os_leave(SR_MUTEX_BLOCKS);
    }
    return result;
}

/* Secret memory is locked, never dumped, never merged and never collapsed by what it is: asking again only fails
 * (mlock: ENOMEM). Droppable pages answer yes to a lock, and have none. */
static unsigned steps_of(sr_backing backing)
{
    unsigned all = (1u << SR_STEP_COUNT) - 1;
    switch (backing) {
    case SR_BACKING_SECRETMEM: return 1u << SR_STEP_NOT_IN_CHILD;
    case SR_BACKING_DROPPABLE: return all & ~(1u << SR_STEP_LOCK);
    default: return all;
    }
}

int sr_block_furnish(sr_block *block, const sr_making *making, sr_error *error)
{
    int is_shared = block->backing == SR_BACKING_SECRETMEM || sr_has_file(block->backing);
    unsigned steps = steps_of(block->backing);
    if ((is_shared ? obtain_apart_from_forks : obtain)(block, making, error) != 0) {
        return -1;
    }
    block->protection = SR_READ_WRITE;
    for (int i = 0; i < SR_STEP_COUNT; i++) {
        unsigned bit = 1u << i;
        if (is_shared && i == SR_STEP_NOT_IN_CHILD) {
            /* taken already */
        } else if ((making->untried & bit) != 0) {
            block->outcomes[i] = (sr_outcome){"not asked for", SR_UNSUPPORTED};
        } else if ((steps & bit) != 0) {
            sr_block_take_step(block, (sr_step)i);
        } else if (block->backing == SR_BACKING_DROPPABLE) {
            block->outcomes[i] = (sr_outcome){"mlock", SR_UNSUPPORTED};
        }
        if (block->outcomes[i].call != NULL && (making->required & bit) != 0) {
            *error = block->outcomes[i];
            return -1;
        }
    }
    if (sr_block_fetch(block, error) != 0) {
        return -1;
    }
    /* Touch every page: private pages are shared with the zero page (or with a parent) until first written,
     * and a lock need not break that sharing on every system. */
    for (size_t i = 0; i < block->pages_size; i += sr_os_page_size()) {
        ((volatile unsigned char *)block->pages)[i] = 0;
    }
    return 0;
}

/* ---- what becomes of the contents ---- */

/* Whether a sentinel that was not intact may be what the system leaves of it: zeros, or as far as it has come with them at
 * this moment. Intact by now is dropped all the same: a walk (ending.c) has put it back in between. */
static int is_dropped(const unsigned char *mark)
{
    unsigned char expected[SR_CANARY_SIZE];
    sr_canary_of(mark, expected);
    for (size_t i = 0; i < SR_CANARY_SIZE; i++) {
        unsigned char found = ((const volatile unsigned char *)mark)[i];
        if (found != expected[i] && found != 0) {
            return 0;
        }
    }
    return 1;
}

/* The barrier: what was read of the contents before was read before the sentinels are, whatever the compiler and the CPU
 * would rather do. */
sr_condition sr_block_condition(const sr_block *block)
{
    const unsigned char *before = block->data - SR_CANARY_SIZE, *behind = block->data + block->size;
    int32_t barrier = 0, has_vanished = 0;
    sr_error ignored;
    if (!sr_can_vanish(block->backing)) {
        if (sr_canary_is_intact(before, SR_CANARY_SIZE)) {
            return SR_INTACT;
        }
        /* a page that its device would not take comes back as zeros */
        return block->backing == SR_BACKING_FILE && is_dropped(before) ? SR_LOST : SR_DAMAGED;
    }
    if (block->is_void || sr_block_fetch_marks(block, &ignored) != 0) {
        return SR_LOST; /* what a partial page held is gone as soon as the page itself is */
    }
    sr_os_add(&barrier, 0);
    for (int i = 0; i < 2; i++) {
        const unsigned char *mark = i == 0 ? before : behind;
        if (!sr_canary_is_intact(mark, SR_CANARY_SIZE)) {
            if (!is_dropped(mark)) {
                return SR_DAMAGED;
            }
            has_vanished = 1;
        }
    }
    return has_vanished ? SR_LOST : SR_INTACT;
}

void sr_block_lose(sr_block *block)
{
    sr_error ignored;
    assert(sr_can_vanish(block->backing) && block->protection == SR_READ_WRITE);
    block->is_void = 1;
    if (sr_block_fetch(block, &ignored) != 0) { /* a store would be a fault */
        return;
    }
    sr_os_wipe(block->data - SR_CANARY_SIZE, SR_CANARY_SIZE);
    sr_os_wipe(block->data, block->size + SR_CANARY_SIZE);
}

int sr_block_flush(const sr_block *block, sr_error *error)
{
    return block->backing == SR_BACKING_PARTIAL
        ? sr_os_private_flush(block->file, block->pages, block->pages_size, error)
        : 0;
}

void sr_block_renew(sr_block *block)
{
    assert(sr_can_vanish(block->backing) && block->protection == SR_READ_WRITE);
    block->renewals++;
    block->is_void = 0;
    sr_os_wipe(block->data, block->size);
    sr_block_place(block, block->size);
}

int sr_block_fetch(sr_block *block, sr_error *error)
{
    int is_written = block->protection == SR_READ_WRITE;
    return sr_has_file(block->backing) ? sr_os_fetch(block->pages, block->pages_size, is_written, error) : 0;
}

int sr_block_fetch_marks(const sr_block *block, sr_error *error)
{
    size_t page = sr_os_page_size(), size = ((size_t)(block->data - block->pages) + page - 1) / page * page;
    return sr_has_file(block->backing) ? sr_os_fetch(block->pages, size, 0, error) : 0;
}

/* ---- how they end ---- */

/* The canary is for nobody's disk either. Locked pages have no say in MADV_REMOVE: EINVAL. That the space cannot be given
 * back early is no failure: it goes with the pages, and what lay there was overwritten. */
void sr_block_burn(sr_block *block)
{
    sr_error refused, ignored;
    if (!sr_has_file(block->backing)) {
        return;
    }
    if (block->burned.call == NULL) { /* else not all of them can be touched */
        block->has_no_canary = 1;
        sr_os_wipe(block->data - SR_CANARY_SIZE, SR_CANARY_SIZE + block->size + sr_block_trailing(block->backing));
    }
    if (block->outcomes[SR_STEP_LOCK].call == NULL) {
        (void)sr_os_unlock(block->pages, block->pages_size, &ignored);
    }
    if (sr_os_private_flush(block->file, block->pages, block->pages_size, &refused) != 0 && block->burned.call == NULL) {
        block->burned = refused;
    }
    (void)sr_os_punch(block->pages, block->pages_size, &ignored);
}

/* Where the file system is full by now there is no room for it, and a plain store would be a fault. */
void sr_block_restore(sr_block *block)
{
    unsigned char canary[SR_CANARY_SIZE], *mark = block->data - SR_CANARY_SIZE;
    sr_error ignored;
    if (sr_has_file(block->backing)) {
        sr_canary_of(mark, canary);
        (void)sr_os_store_checked(mark, canary, sizeof canary, &ignored);
    }
}
