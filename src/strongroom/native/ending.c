/* Wiping when nothing may be waited for: a damaged canary, a signal. Async-signal-safe. And beside other threads, what lies
 * in private files. */
#include "ending.h"
#include "live.h"
#include "sr_os_backing.h"
#include "sr_os_signals.h"

/* Another thread may close the block in between, as often as it likes; it is a matter of microseconds. */
#define ATTEMPTS 1000

/* A page of a file that no device gives back is not worth another attempt, and neither are the others' turns. */
static void store(const sr_block *block, unsigned char *at, const unsigned char *content, size_t size)
{
    unsigned char *first = block->pages + (size_t)(at - block->pages) / sr_os_page_size() * sr_os_page_size();
    sr_error ignored; /* each of the others still deserves its turn */
    for (int i = 0; i < ATTEMPTS; i++) {
        if (sr_os_protect(block->pages, block->pages_size, SR_READ_WRITE, &ignored) != 0
            || sr_os_store_checked(at, content, size, &ignored) == 0
            || (sr_has_file(block->backing) && sr_os_fetch(first, sr_os_page_size(), 1, &ignored) != 0)) {
            break;
        }
    }
}

/* A file's pages one by one, as each may be out of reach. */
static void fill(const sr_block *block, unsigned char *at, const unsigned char *content, size_t size, int why)
{
    size_t page = sr_os_page_size();
    if (!sr_has_file(block->backing)) {
        store(block, at, content, size);
        return;
    }
    for (size_t done = 0, step; done < size; done += step) {
        size_t offset = (size_t)(at + done - block->pages) % page, left = size - done;
        step = left < page - offset ? left : page - offset;
        if (why != SR_WALK_DAMAGED || sr_os_is_present(at + done - offset)) {
            store(block, at + done, content != NULL ? content + done : NULL, step);
        }
    }
}

/* Nothing is checked: there may be more than one damaged block, and none of them changes what is to be done. The canary
 * is overwritten too, with what it should be: another thread may be comparing it at this moment. Not so the one behind what
 * can vanish: that is lost from here on. */
void sr_block_wipe_checked(sr_block *block, int why)
{
    unsigned char canary[SR_CANARY_SIZE], *data = block->data, *mark = data - SR_CANARY_SIZE;
    sr_canary_of(mark, canary);
    fill(block, data, NULL, (size_t)(block->pages + block->pages_size - data), why);
    fill(block, mark, canary, SR_CANARY_SIZE, why);
    fill(block, block->pages, NULL, (size_t)(mark - block->pages), why);
}

static void wipe(sr_block *block, int why)
{
    if (block->wipe_slots != NULL) {
        block->wipe_slots(block, why);
    } else if (!sr_has_file(block->backing)) {
        sr_block_wipe_checked(block, why);
    }
}

static void wipe_file(sr_block *block, int why)
{
    if (sr_has_file(block->backing)) {
        sr_block_wipe_checked(block, why);
    }
}

static void write_back(sr_block *block, int why)
{
    (void)why;
    sr_block_write_back(block);
}

void sr_blocks_wipe_at_once(int why, volatile int32_t *count)
{
    sr_visit *const visits[] = {wipe, wipe_file, why == SR_WALK_LAST ? write_back : NULL, NULL};
    sr_blocks_walk(visits, why, count);
}

void sr_blocks_wipe_files(sr_block *newest)
{
    sr_blocks_visit_held(newest, wipe_file, SR_WALK_LIVES_ON);
    sr_blocks_visit_held(newest, write_back, SR_WALK_LIVES_ON);
    if (newest != NULL) {
        sr_os_add(&newest->visitors, -1);
    }
}

_Noreturn void sr_blocks_die(const char *message)
{
    sr_error ignored;
    (void)sr_os_forbid_dumps(&ignored);
    sr_blocks_wipe_at_once(SR_WALK_DAMAGED, NULL);
    sr_os_die(message);
}
