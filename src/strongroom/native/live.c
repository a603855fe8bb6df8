/* The list of live blocks, and what is done to all of them. */
#include "ending.h"
#include "generation.h"
#include "live.h"
#include "sr_os_backing.h"
#include "sr_os_signals.h"
#include "store.h"

#include <string.h>

static sr_block *volatile live; /* guarded by SR_MUTEX_BLOCKS; read without it by sr_blocks_walk */
static volatile int32_t walks;  /* how many of those are under way: nothing joins or leaves the list meanwhile */
static volatile int are_expected; /* spares those who take slots a barrier each */
static uint64_t owner;          /* the process whose blocks these are */
static int phase = 1;               /* 1 or 2: who waits for ends lets those begin in the other one; SR_MUTEX_BLOCKS */
static volatile int32_t enders[3];  /* by phase: how many are destroying what has a private file */

void sr_block_enlist(sr_block *block)
{
    sr_os_enter(SR_MUTEX_BLOCKS);
    block->previous = NULL;
    block->next = live;
    if (live != NULL) {
        live->previous = block;
    }
    sr_os_await_zero(&walks); /* and its barrier: who sees the block in the list sees what it links to */
    live = block;
    sr_os_leave(SR_MUTEX_BLOCKS);
}

void sr_block_delist(sr_block *block)
{
    sr_os_enter(SR_MUTEX_BLOCKS);
    if (block->previous != NULL) {
        block->previous->next = block->next;
    } else {
        live = block->next;
    }
    if (block->next != NULL) {
        block->next->previous = block->previous;
    }
    sr_os_await_zero(&walks); /* one may have come as far as this block, which is about to go */
    sr_os_leave(SR_MUTEX_BLOCKS);
}

/* In a child the pages are holes, into which some later mmap would fall, to be read through an inherited
 * pointer: put inaccessible pages there. Where the system could not leave the pages out, take their content. */
static void forget_all_in_child(void)
{
    for (const sr_block *block = live; block != NULL; block = block->next) {
        sr_error ignored;
        if (block->outcomes[SR_STEP_NOT_IN_CHILD].call == NULL) {
            sr_os_fill_hole(block->pages, block->pages_size);
        } else {
            (void)sr_os_decommit(block->pages, block->pages_size, &ignored);
        }
    }
    sr_os_private_forget();
    sr_stores_forget();
    live = NULL;
    walks = enders[1] = enders[2] = 0; /* those were threads of the parent's */
    owner = sr_os_process_id();
}

int sr_blocks_begin(sr_error *error)
{
    static int has_begun;
    if (!has_begun) {
        if (sr_generation_begin(forget_all_in_child, error) != 0 || sr_canary_begin(error) != 0) {
            return -1;
        }
        owner = sr_os_process_id();
        has_begun = 1;
    }
    return 0;
}

int sr_blocks_are_ours(void)
{
    return sr_os_process_id() == owner;
}

void sr_blocks_expect_walks(void)
{
    are_expected = 1;
}

void sr_blocks_await_walk(void)
{
    if (are_expected) {
        sr_os_await_zero(&walks);
    }
}

void sr_blocks_count(sr_block_totals *totals)
{
    memset(totals, 0, sizeof *totals);
    (void)sr_generation();
    sr_os_enter(SR_MUTEX_BLOCKS);
    for (const sr_block *block = live; block != NULL; block = block->next) {
        totals->isolated += block->wipe_slots == NULL;
        totals->pages_size[block->backing] += block->pages_size;
        if (block->backing == SR_BACKING_LOCKED && block->outcomes[SR_STEP_LOCK].call != NULL) {
            totals->unlocked_size += block->pages_size;
        }
    }
    sr_os_leave(SR_MUTEX_BLOCKS);
}

void sr_blocks_wipe_all(void)
{
    (void)sr_generation(); /* in a child that no handler saw the list is still the parent's: drop it first */
    sr_os_enter(SR_MUTEX_BLOCKS);
    for (sr_block *block = live; block != NULL; block = block->next) {
        if (block->wipe_slots == NULL && !sr_has_file(block->backing)) { /* else others do it */
            sr_error ignored; /* each of the others still deserves its turn */
            sr_protection before = block->protection;
            (void)sr_block_wipe(block, &ignored);
            (void)sr_block_protect(block, before, &ignored);
        }
    }
    sr_os_leave(SR_MUTEX_BLOCKS);
}

/* ---- what a disk is waited for: one after the other is held, and the list is not ---- */

static sr_block *hold_from(sr_block *block)
{
    while (block != NULL && (!sr_has_file(block->backing) || block->ending)) { /* who ends it wipes it */
        block = block->next;
    }
    if (block != NULL) {
        sr_os_add(&block->visitors, 1);
    }
    return block;
}

sr_block *sr_blocks_hold_files(void)
{
    (void)sr_generation();
    sr_os_enter(SR_MUTEX_BLOCKS);
    sr_block *newest = hold_from(live);
    sr_os_leave(SR_MUTEX_BLOCKS);
    return newest;
}

void sr_blocks_let_go(sr_block *block)
{
    if (block != NULL) {
        sr_os_add(&block->visitors, -1);
    }
}

int sr_blocks_visit_held(sr_block *newest, int (*visit)(sr_block *block, sr_error *error), sr_error *error)
{
    int result = 0;
    for (sr_block *block = newest; block != NULL;) {
        sr_error refused;
        if (visit(block, &refused) != 0 && result == 0) {
            *error = refused;
            result = -1;
        }
        sr_os_enter(SR_MUTEX_BLOCKS);
        sr_block *next = hold_from(block->next);
        sr_blocks_let_go(block != newest ? block : NULL);
        sr_os_leave(SR_MUTEX_BLOCKS);
        block = next;
    }
    return result;
}

void sr_block_begin_end(sr_block *block)
{
    if (sr_has_file(block->backing)) {
        sr_os_enter(SR_MUTEX_BLOCKS);
        block->ending = phase;
        sr_os_add(&enders[phase], 1);
        sr_os_leave(SR_MUTEX_BLOCKS);
        sr_os_await_zero(&block->visitors);
    }
}

void sr_block_end_end(sr_block *block)
{
    if (sr_has_file(block->backing)) {
        sr_os_enter(SR_MUTEX_BLOCKS);
        sr_os_add(&enders[block->ending], -1);
        block->ending = 0;
        sr_os_leave(SR_MUTEX_BLOCKS);
    }
}

void sr_blocks_await_ends(void)
{
    sr_os_enter(SR_MUTEX_BLOCKS);
    int begun = phase;
    phase = 3 - phase;
    sr_os_leave(SR_MUTEX_BLOCKS);
    sr_os_await_zero(&enders[begun]);
}

/* Without the mutex: its holder may be the thread whose memory went wrong, or the one that a signal interrupted. So who
 * changes the list waits for the walks, and they wait for nobody. */
void sr_blocks_walk(sr_visit *const *visits, int why, volatile int32_t *count)
{
    (void)sr_generation(); /* in a child that no handler saw: drops the parent's list */
    if (!sr_blocks_are_ours()) { /* only shares our memory: vfork */
        return;
    }
    sr_os_add(&walks, 1);
    if (count != NULL) { /* now: whoever reads the new number, and then waits for walks, is younger than this one */
        sr_os_add(count, 1);
    }
    for (; *visits != NULL; visits++) {
        for (sr_block *block = live; block != NULL; block = block->next) {
            (*visits)(block, why);
        }
    }
    if (why == SR_WALK_LIVES_ON) { /* else nobody makes anything new, which nobody would wipe */
        sr_os_add(&walks, -1);
    }
}
