/* Wiping when nothing may be waited for: a damaged canary, a signal. Async-signal-safe. And beside other threads, what lies
 * in private files. */
#include "ending.h"
#include "live.h"
#include "sr_os_backing.h"
#include "sr_os_signals.h"

#include <string.h>

/* Another thread may close the block in between, as often as it likes; it is a matter of microseconds. */
#define ATTEMPTS 1000

/* In a walk through a pipe, which no sandbox minds; else by what the system has for it, and without a descriptor. */
static int put(unsigned char *at, const unsigned char *content, size_t size, int why, sr_error *error)
{
    static const unsigned char zeros[4096];
    if (why != SR_NO_WALK) {
        return sr_os_store_checked(at, content, size, error);
    }
    for (size_t done = 0, step; done < size; done += step) {
        step = content != NULL || size - done < sizeof zeros ? size - done : sizeof zeros;
        if (sr_os_copy(at + done, content != NULL ? content : zeros, step, error) != 0) {
            return -1;
        }
    }
    return 0;
}

/* A page of a file that no device gives back is not worth another attempt, and neither are the others' turns. */
static int store(const sr_block *block, unsigned char *at, const unsigned char *content, size_t size, int why,
                 sr_error *error)
{
    unsigned char *first = block->pages + (size_t)(at - block->pages) / sr_os_page_size() * sr_os_page_size();
    for (int i = 0; i < ATTEMPTS; i++) {
        if (put(at, content, size, why, error) == 0) {
            return 0;
        }
        if (sr_os_protect(block->pages, block->pages_size, SR_READ_WRITE, error) != 0
            || (sr_has_file(block->backing) && sr_os_fetch(first, sr_os_page_size(), 1, error) != 0)) {
            return -1;
        }
    }
    return -1;
}

/* A file's pages one by one, as each may be out of reach; the first error is the one to report. */
static int fill(const sr_block *block, unsigned char *at, const unsigned char *content, size_t size, int why, sr_error *error)
{
    size_t page = sr_has_file(block->backing) ? sr_os_page_size() : SIZE_MAX;
    int result = 0;
    for (size_t done = 0, step; done < size; done += step) {
        size_t offset = (size_t)(at + done - block->pages) % page, left = size - done;
        sr_error refused;
        step = left < page - offset ? left : page - offset;
        if (store(block, at + done, content != NULL ? content + done : NULL, step, why, &refused) != 0 && result == 0) {
            *error = refused;
            result = -1;
        }
    }
    return result;
}

/* Nothing is checked: there may be more than one damaged block, and none of them changes what is to be done. The canary
 * is overwritten too, with what it should be: another thread may be comparing it at this moment. Not so the one behind what
 * can vanish: that is lost from here on. */
int sr_block_wipe_checked(sr_block *block, int why, sr_error *error)
{
    unsigned char canary[SR_CANARY_SIZE], *data = block->data, *mark = data - SR_CANARY_SIZE;
    sr_error second;
    int result;
    sr_canary_of(mark, canary);
    if (sr_os_protect(block->pages, block->pages_size, SR_READ_WRITE, error) != 0) {
        return -1;
    }
    result = fill(block, data, NULL, (size_t)(block->pages + block->pages_size - data), why, error);
    result |= fill(block, mark, canary, SR_CANARY_SIZE, why, result == 0 ? error : &second);
    result |= fill(block, block->pages, NULL, (size_t)(mark - block->pages), why, result == 0 ? error : &second);
    return result;
}

/* Whether pages of a file can be overwritten without their disk. One that is as the disk has it is not only fetched but asked
 * for, before anything is stored: a file system that is frozen, or writes it out at this moment, keeps whoever does that. A
 * partial page whose contents are there was not written out since. */
static int needs_no_disk(const sr_block *block)
{
    unsigned char expected[SR_CANARY_SIZE], found[SR_CANARY_SIZE], *mark = block->data - SR_CANARY_SIZE;
    sr_error ignored;
    if (block->backing != SR_BACKING_PARTIAL || !sr_os_is_present(block->pages)
        || sr_os_protect(block->pages, block->pages_size, SR_READ_WRITE, &ignored) != 0
        || sr_os_store_checked(found, mark, SR_CANARY_SIZE, &ignored) != 0) {
        return 0;
    }
    sr_canary_of(mark, expected);
    return memcmp(found, expected, SR_CANARY_SIZE) == 0;
}

/* ---- in a walk: each of the others still deserves its turn, whatever becomes of one ---- */

static void wipe(sr_block *block, int why)
{
    sr_error ignored;
    if (block->wipe_slots != NULL) {
        block->wipe_slots(block, why);
    } else if (!sr_has_file(block->backing)) {
        (void)sr_block_wipe_checked(block, why, &ignored);
    }
}

static void wipe_file(sr_block *block, int why)
{
    sr_error ignored;
    if (sr_has_file(block->backing) && (why != SR_WALK_DAMAGED || needs_no_disk(block))) {
        (void)sr_block_wipe_checked(block, why, &ignored);
    }
}

/* Have what the pages of a private file hold now written there; does nothing to others. */
static int write_out(const sr_block *block, sr_error *error)
{
    return sr_has_file(block->backing) ? sr_os_private_flush(block->file, block->pages, block->pages_size, error) : 0;
}

static void write_back(sr_block *block, int why)
{
    sr_error ignored;
    (void)why;
    (void)write_out(block, &ignored);
}

void sr_blocks_wipe_at_once(int why, volatile int32_t *count)
{
    sr_visit *const visits[] = {wipe, wipe_file, why == SR_WALK_LAST ? write_back : NULL, NULL};
    sr_blocks_walk(visits, why, count);
}

/* ---- one after the other, beside other threads; a partial page's file never had anything ---- */

static int wipe_held(sr_block *block, sr_error *error)
{
    int result = sr_block_wipe_checked(block, SR_NO_WALK, error);
    return block->backing == SR_BACKING_FILE ? result : 0;
}

static int write_back_held(sr_block *block, sr_error *error)
{
    int result = write_out(block, error);
    return block->backing == SR_BACKING_FILE ? result : 0;
}

int sr_blocks_wipe_files(sr_block *newest, sr_error *error)
{
    sr_error second;
    int result = sr_blocks_visit_held(newest, wipe_held, error);
    result |= sr_blocks_visit_held(newest, write_back_held, result == 0 ? error : &second);
    sr_blocks_let_go(newest);
    sr_blocks_await_ends();
    return result;
}

_Noreturn void sr_blocks_die(const char *message)
{
    sr_error ignored;
    (void)sr_os_forbid_dumps(&ignored);
    sr_blocks_wipe_at_once(SR_WALK_DAMAGED, NULL);
    sr_os_die(message);
}
