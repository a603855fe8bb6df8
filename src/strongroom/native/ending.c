/* Wiping when nothing may be waited for: a damaged canary, a signal. Async-signal-safe. */
#include "guarded.h"
#include "sr_os_signals.h"

/* Another thread may close the block in between, as often as it likes; it is a matter of microseconds. */
#define ATTEMPTS 1000

static void store(const sr_block *block, unsigned char *at, const unsigned char *content, size_t size)
{
    sr_error ignored; /* each of the others still deserves its turn */
    for (int i = 0; i < ATTEMPTS; i++) {
        if (sr_os_protect(block->pages, block->pages_size, SR_READ_WRITE, &ignored) != 0
            || sr_os_store_checked(at, content, size, &ignored) == 0) {
            break;
        }
    }
}

/* Nothing is checked: there may be more than one damaged block, and none of them changes what is to be done. The canary
 * is overwritten too, with what it should be: another thread may be comparing it at this moment. Not so the one behind what
 * can vanish: that is lost from here on. */
static void wipe(sr_block *block, int why)
{
    unsigned char canary[SR_CANARY_SIZE], *data = block->data, *mark = data - SR_CANARY_SIZE;
    if (block->wipe_slots != NULL) {
        block->wipe_slots(block, why);
        return;
    }
    sr_canary_of(mark, canary);
    store(block, data, NULL, (size_t)(block->pages + block->pages_size - data));
    store(block, mark, canary, SR_CANARY_SIZE);
    store(block, block->pages, NULL, (size_t)(mark - block->pages));
}

static void write_back(sr_block *block, int why)
{
    (void)why;
    sr_block_write_back(block);
}

void sr_blocks_wipe_at_once(int why, volatile int32_t *count)
{
    sr_blocks_walk(wipe, why, count);
    if (why != SR_WALK_LIVES_ON) { /* waits for disks, and so after everything is wiped */
        sr_blocks_walk(write_back, why, NULL);
    }
}

_Noreturn void sr_blocks_die(const char *message)
{
    sr_error ignored;
    (void)sr_os_forbid_dumps(&ignored);
    sr_blocks_wipe_at_once(SR_WALK_DAMAGED, NULL);
    sr_os_die(message);
}
