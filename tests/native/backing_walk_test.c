/* Walks over blocks that have files behind them: what they write back, and blocks that are made, end or are forgotten
 * meanwhile. */
#include "backing_check.h"

#include <pthread.h>

/* ---- others come and go meanwhile ---- */

/* Whoever makes one while others are being wiped has nothing of that. */
static void test_younger_ones(void)
{
    sr_block older, younger;
    CHECK("a block", made(&older, 32, SR_BACKING_FILE));
    memset(older.data, 'A', 32);
    sr_block *newest = sr_blocks_hold_files();
    CHECK("one that is made after all were to be wiped", newest == &older && made(&younger, 32, SR_BACKING_FILE));
    memset(younger.data, 'A', 32);
    sr_blocks_wipe_files(newest, &error);
    CHECK("is not", is_all(older.data, 32, 0) && is_all(younger.data, 32, 'A'));
    CHECK("nobody holds them any more", older.visitors == 0 && younger.visitors == 0 && gone(&younger) && gone(&older));
    CHECK("of none there is nothing to wipe", sr_blocks_hold_files() == NULL);
    sr_blocks_wipe_files(NULL, &error);
}

static sr_block *visited;
static volatile int is_syncing, is_gone, was_there;

static void await_the_other(const void *address, size_t size)
{
    (void)size;
    if (address == visited->pages && !is_syncing) {
        is_syncing = 1;
        usleep(30000); /* it is waiting by now */
        was_there = !is_gone;
    }
}

static void *end_visited(void *unused)
{
    while (!is_syncing) {
        sched_yield();
    }
    is_gone = gone(visited);
    return unused;
}

static void test_end_amid_wiping(void)
{
    sr_block block, other;
    pthread_t ender;
    CHECK("two blocks", made(&block, 32, SR_BACKING_FILE) && made(&other, 32, SR_BACKING_FILE));
    visited = &block;
    pthread_create(&ender, NULL, end_visited, NULL);
    when_syncing = await_the_other;
    sr_blocks_wipe_files(sr_blocks_hold_files(), &error);
    pthread_join(ender, NULL);
    when_syncing = NULL;
    CHECK("one that is being written back does not go before it was", was_there && is_gone && gone(&other));
}

static volatile int is_burning, may_burn, is_wiped;

static void burn_slowly(const void *address, size_t size)
{
    (void)size;
    if (address == visited->pages) {
        is_burning = 1;
        while (!may_burn) {
            usleep(1000);
        }
    }
}

static void *end_slowly(void *unused)
{
    is_gone = gone(visited);
    return unused;
}

static void *wipe_files(void *result)
{
    sr_error own;
    *(int *)result = sr_blocks_wipe_files(sr_blocks_hold_files(), &own);
    is_wiped = 1;
    return NULL;
}

/* Whoever asks for all to be wiped finds that done, also of what another thread was destroying; of what is destroyed later
 * nobody waits for anything. */
static void test_wiping_amid_an_end(void)
{
    sr_block block, other;
    pthread_t ender, wiper;
    int result = -1;
    CHECK("two blocks", made(&block, 32, SR_BACKING_FILE) && made(&other, 32, SR_BACKING_FILE));
    memset(other.data, 'A', 32);
    visited = &block;
    is_gone = 0;
    when_syncing = burn_slowly;
    pthread_create(&ender, NULL, end_slowly, NULL);
    while (!is_burning) {
        sched_yield();
    }
    pthread_create(&wiper, NULL, wipe_files, &result);
    for (int i = 0; i < PATIENT_STEPS && !is_all(other.data, 32, 0); i++) {
        usleep(1000);
    }
    usleep(20000);
    CHECK("the one that is not ending is wiped meanwhile", is_all(other.data, 32, 0));
    CHECK("who wiped them waits for the one that is", !is_wiped && !is_gone);
    CHECK("a later end waits for neither", gone(&other));
    may_burn = 1;
    pthread_join(wiper, NULL);
    CHECK("until it is over", is_wiped && result == 0);
    pthread_join(ender, NULL);
    CHECK("and it is gone", is_gone);
    when_syncing = NULL;
}

static void *forget_visited(void *unused)
{
    while (!is_syncing) {
        sched_yield();
    }
    sr_block_forget(visited);
    is_gone = 1;
    return unused;
}

/* Its description is its owner's, and goes as soon as this returns. */
static void test_forgetting_amid_wiping(void)
{
    sr_block block;
    pthread_t ender;
    CHECK("a block", made(&block, 32, SR_BACKING_FILE));
    sr_block copy = block;
    visited = &block;
    is_syncing = is_gone = was_there = 0;
    pthread_create(&ender, NULL, forget_visited, NULL);
    when_syncing = await_the_other;
    sr_blocks_wipe_files(sr_blocks_hold_files(), &error);
    pthread_join(ender, NULL);
    when_syncing = NULL;
    CHECK("one that is being written back is not forgotten before it was", was_there && is_gone);
    CHECK("nobody finds it any more", sr_blocks_hold_files() == NULL
                                          && sr_os_release(copy.reservation, copy.reserved_size, &error) == 0);
}

/* ---- what is written back ---- */

static sr_block blocks[3];
static int block_count;

typedef struct sight {
    int syncs, dirty; /* how often something was written back, and with anything left in whichever block */
} sight;

static sight *seen; /* children write here too */

static void look(const void *address, size_t size)
{
    (void)address;
    (void)size;
    seen->syncs++;
    for (int i = 0; i < block_count; i++) { /* what is closed is only closed after it was wiped */
        seen->dirty += blocks[i].protection == SR_READ_WRITE && !is_all(blocks[i].data, blocks[i].size, 0);
    }
}

static void make_blocks(void)
{
    static const sr_backing kinds[] = {SR_BACKING_FILE, SR_BACKING_PARTIAL, SR_BACKING_DROPPABLE};
    block_count = 0;
    for (int i = 0; i < 3; i++) {
        const char *reason = kinds[i] == SR_BACKING_DROPPABLE ? no_droppable : i == 1 ? no_partial : NULL;
        if (reason == NULL && CHECK("  a block", made(&blocks[block_count], i == 0 ? page : 32, kinds[i]))) {
            memset(blocks[block_count].data, 'A', blocks[block_count].size);
            block_count++;
        }
    }
    *seen = (sight){0, 0};
    when_syncing = look;
}

static int syncs_wanted(void)
{
    return no_partial == NULL ? 2 : 1;
}

static int are_wiped(void)
{
    int wiped = 1;
    for (int i = 0; i < block_count; i++) {
        wiped &= sr_block_protect(&blocks[i], SR_READ_WRITE, &error) == 0 && is_all(blocks[i].data, blocks[i].size, 0);
    }
    return wiped;
}

static void end_blocks(void)
{
    when_syncing = NULL;
    for (int i = 0; i < block_count; i++) {
        CHECK("  which goes", gone(&blocks[i]));
    }
}

/* To store is to wait, wherever the disk has what is there. A partial page that has its contents is not on its disk. */
static void damaged_walk(void *unused)
{
    (void)unused;
    make_blocks();
    sr_blocks_wipe_at_once(SR_WALK_DAMAGED, NULL);
    CHECK("because of damage no file is touched", is_all(blocks[0].data, blocks[0].size, 'A') && seen->syncs == 0);
    for (int i = 1; i < block_count; i++) {
        CHECK("  what can vanish is wiped", is_all(blocks[i].data, blocks[i].size, 0));
    }
}

static void test_walk_that_lives_on(void)
{
    make_blocks();
    CHECK("one is closed", sr_block_close(&blocks[0], &error) == 0);
    sr_blocks_wipe_at_once(SR_WALK_LIVES_ON, NULL);
    CHECK("a walk that the process survives waits for no disk", seen->syncs == 0);
    CHECK("it leaves what it should open", sr_os_protect(blocks[0].pages, blocks[0].pages_size, SR_READ_WRITE, &error) == 0);
    blocks[0].protection = SR_READ_WRITE;
    CHECK("and wipes all", are_wiped());
    CHECK("a file's block is intact, what can vanish is lost", sr_block_condition(&blocks[0]) == SR_INTACT);
    for (int i = 1; i < block_count; i++) {
        CHECK("  lost", sr_block_condition(&blocks[i]) == SR_LOST && sr_block_is_intact(&blocks[i]));
    }
    end_blocks();
}

static void wipe_all(void *unused)
{
    (void)unused;
    make_blocks();
    sr_blocks_wipe_all();
    CHECK("all but what has a file is wiped at once", seen->syncs == 0 && blocks[0].data[0] == 'A');
    sr_blocks_wipe_files(sr_blocks_hold_files(), &error);
    CHECK("wiped", are_wiped());
    end_blocks();
}

static void walk_before_the_end(void *unused)
{
    (void)unused;
    make_blocks();
    sr_blocks_wipe_at_once(SR_WALK_LAST, NULL);
    CHECK("wiped", are_wiped());
}

static void damage(void *unused)
{
    (void)unused;
    make_blocks();
    blocks[0].data[-1] ^= 1;
    sr_block_wipe(&blocks[0], &error);
}

static void test_what_is_written_back(void)
{
    wipe_all(NULL);
    CHECK("wiping all writes back what files have, after it wiped all", seen->syncs == syncs_wanted() && seen->dirty == 0);
    check_in_child("a walk before the end", walk_before_the_end, NULL);
    CHECK("does so too", seen->syncs == syncs_wanted() && seen->dirty == 0);
    int status = status_of_child(damage, NULL);
    CHECK("damage ends the process", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK("and no disk is waited for", seen->syncs == 0);
    make_blocks();
    __real_msync(blocks[0].pages, page, MS_SYNC);
    look(NULL, 0);
    CHECK("control: what is not wiped would be noticed", seen->dirty >= 1);
    end_blocks();
}

int main(void)
{
    begin();
    seen = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_younger_ones();
    test_end_amid_wiping();
    test_wiping_amid_an_end();
    test_forgetting_amid_wiping();
    check_in_child("a walk because of damage", damaged_walk, NULL); /* after which nobody makes or ends anything */
    test_walk_that_lives_on();
    test_what_is_written_back();
    return end();
}
