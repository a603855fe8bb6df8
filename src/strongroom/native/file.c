#include "file.h"
#include "generation.h"
#include "live.h"

#include <assert.h>
#include <string.h>

#define REQUIRED (1u << SR_STEP_LOCK | 1u << SR_STEP_NO_DUMP | 1u << SR_STEP_NOT_IN_CHILD)

/* In walks too. There is no canary to mind, and nobody ever closes the pages. */
static void wipe(const sr_block *block, int why)
{
    (void)why;
    sr_os_wipe(block->pages, block->pages_size);
}

/* It is a shared mapping: a child forked before it is marked would see whatever is written here later. A fork waits for
 * the mutex. */
static int furnish(sr_file *file, sr_error *error)
{
    sr_block *block = &file->block;
    sr_os_enter(SR_MUTEX_BLOCKS);
    int result = sr_os_file_create(block->pages, block->pages_size, block->size, &file->opened, error);
    if (result == 0) {
        sr_block_take_step(block, SR_STEP_NOT_IN_CHILD);
    }
    sr_os_leave(SR_MUTEX_BLOCKS);
    for (int i = 0; i < SR_STEP_COUNT && result == 0; i++) {
        if (i != SR_STEP_NOT_IN_CHILD) {
            sr_block_take_step(block, (sr_step)i);
        }
        if (block->outcomes[i].call != NULL && (REQUIRED & 1u << i) != 0) {
            *error = block->outcomes[i];
            result = -1;
        }
    }
    return result;
}

int sr_file_create(sr_file *file, size_t size, char path[SR_PATH_ROOM], sr_error *error)
{
    size_t page = sr_os_page_size();
    sr_block *block = &file->block;
    void *reservation = NULL;
    assert(size != 0 && size <= sr_block_max_size(SR_BACKING_LOCKED));
    memset(file, 0, sizeof *file);
    file->opened.descriptor = -1;
    block->size = size;
    block->pages_size = (size + page - 1) / page * page;
    block->reserved_size = block->pages_size + 2 * page;
    block->backing = SR_BACKING_LOCKED;
    block->protection = SR_READ_WRITE;
    block->wipe_slots = wipe;
    if (sr_os_reserve(block->reserved_size, SR_PLACE_ANYWHERE, &reservation, error) != 0) {
        return -1;
    }
    block->reservation = reservation;
    block->pages = block->data = block->reservation + page;
    if (furnish(file, error) == 0 && sr_os_file_path(&file->opened, path, SR_PATH_ROOM, error) == 0) {
        block->generation = sr_generation();
        sr_block_enlist(block);
        return 0;
    }
    sr_error ignored; /* the first failure is the one to report; nothing secret was in it yet */
    sr_os_file_close(&file->opened);
    (void)sr_os_release(block->reservation, block->reserved_size, &ignored);
    block->reservation = NULL;
    return -1;
}

int sr_file_destroy(sr_file *file, sr_error *error)
{
    sr_block *block = &file->block;
    wipe(block, SR_WALK_LIVES_ON);
    sr_block_delist(block);
    sr_os_file_close(&file->opened);
    if (sr_os_release(block->reservation, block->reserved_size, error) != 0) {
        sr_block_enlist(block);
        return -1;
    }
    block->reservation = NULL;
    return 0;
}

static void wipe_if_file(sr_block *block, int why)
{
    if (block->wipe_slots == wipe) {
        wipe(block, why);
    }
}

void sr_files_wipe_all(void)
{
    sr_visit *const visits[] = {wipe_if_file, NULL};
    sr_blocks_walk(visits, SR_WALK_LIVES_ON, NULL);
}
