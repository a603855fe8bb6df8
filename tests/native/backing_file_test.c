/* The file behind a block: what is in it while the block lives and after its end, what children have of it, and what a walk
 * writes back. */
#include "backing_check.h"
#include "live.h"
#include "sr_os_signals.h"

#include <pthread.h>

/* What the disk has, where the file system says that without its own memory. */
static int read_file(unsigned char *into, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", witness);
    int file = __real_open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (file < 0) {
        file = __real_open(path, O_RDONLY | O_CLOEXEC);
    }
    ssize_t got = file < 0 ? -1 : pread(file, into, size, 0);
    close(file);
    return (int)got;
}

static unsigned char *content; /* four pages, placed as O_DIRECT wants them */

/* ---- what is in it ---- */

static void test_what_a_file_has(void)
{
    sr_block block;
    struct stat found;
    CHECK("a block, and a look at its file", made_with_witness(&block, 2 * page, SR_BACKING_FILE));
    CHECK("which has no name and no other owner", fstat(witness, &found) == 0 && found.st_nlink == 0
                                                      && (found.st_mode & 07777) == 0600 && found.st_uid == geteuid()
                                                      && found.st_size == (off_t)(3 * page));
    CHECK("and has its space", found.st_blocks > 0);
    memset(block.data, 'A', 2 * page);
    CHECK("control: what the block has is in the file", read_file(content, 3 * page) == (int)(3 * page)
                                                            && memcmp(content, block.pages, 3 * page) == 0);
    CHECK("it goes", gone(&block) && block.burned.call == NULL);
    CHECK("the file has zeros, sentinel and all", read_file(content, 3 * page) == (int)(3 * page)
                                                      && is_all(content, 3 * page, 0));
    if (fallocate(witness, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(4 * page), (off_t)page) == 0) {
        CHECK("and its space is given back", fstat(witness, &found) == 0 && found.st_blocks == 0);
    } else {
        skip("its space is given back", "this file system cannot punch holes");
    }
    close_witness();
}

static void test_what_a_partial_page_has(void)
{
    sr_block block;
    struct stat found;
    if (!can_have(SR_BACKING_PARTIAL, "its file")) {
        return;
    }
    size_t size = sr_block_max_size(SR_BACKING_PARTIAL);
    CHECK("a partial page, and a look at its file", made_with_witness(&block, size, SR_BACKING_PARTIAL));
    CHECK("which is 512 bytes", fstat(witness, &found) == 0 && found.st_size == 512 && found.st_nlink == 0
                                    && (found.st_mode & 07777) == 0600);
    memset(block.data, 'A', size);
    CHECK("that are zeros, and all there is", read_file(content, page) == 512 && is_all(content, 512, 0));
    CHECK("looking has written it", sr_block_condition(&block) == SR_LOST);
    block.pages[0] = 'H'; /* nothing of ours lies there */
    CHECK("control: the first bytes do get there", read_file(content, page) == 512 && content[0] == 'H');
    block.pages[0] = 0;
    CHECK("it begins anew", renewed(&block));
    memset(block.data, 'A', size);
    /* A file that grows shows what lay behind its end: in memory now, in what was written then. */
    CHECK("written, and then made longer", __real_msync(block.pages, page, MS_SYNC) == 0
                                               && __real_ftruncate(witness, (off_t)page) == 0);
    CHECK("nothing of the rest is there", read_file(content, page) == (int)page && is_all(content, page, 0));
    CHECK("it goes", gone(&block) && block.burned.call == NULL);
    close_witness();
}

/* ---- children ---- */

static int is_of_ours(const char *path)
{
    return strncmp(path, directory, strlen(directory)) == 0;
}

/* Mappings and descriptors of files in the directory. */
static int child_sees(void)
{
    char line[512], path[256], target[256];
    int seen = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        const char *at = strchr(line, '/');
        seen += at != NULL && is_of_ours(at);
    }
    if (maps != NULL) {
        fclose(maps);
    }
    for (int file = 0; file < 64; file++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        seen += is_of_ours(target) && strcmp(target, directory) != 0;
    }
    return seen;
}

static int status_of(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static sr_block inherited[2];

static void look_in_child(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        CHECK("  its pages are a hole that nothing falls into", inherited[i].reservation == NULL
                                                                    || (has_permissions(inherited[i].pages, "---p")
                                                                        && !has_flag(inherited[i].pages, "dc")));
    }
    CHECK("  nothing of the file is there", child_sees() == 0);
    CHECK("  the generation tells", inherited[0].generation != sr_generation());
    sr_block own;
    CHECK("  a child makes its own", made(&own, 32, SR_BACKING_FILE));
    sr_blocks_wipe_files(sr_blocks_hold_files(), &error);
    CHECK("  wipes it and gives it back", gone(&own));
}

static void test_children(void)
{
    sr_block dropped;
    CHECK("a file's block", made(&inherited[0], 32, SR_BACKING_FILE));
    if (can_have(SR_BACKING_PARTIAL, "its children")) {
        CHECK("a partial page", made(&inherited[1], 32, SR_BACKING_PARTIAL));
    }
    int has_dropped = can_have(SR_BACKING_DROPPABLE, "its children") && made(&dropped, 32, SR_BACKING_DROPPABLE);
    memset(inherited[0].data, 'A', 32);
    check_in_child("a child has none of it", look_in_child, NULL);
    CHECK("the parent's is as it was", is_all(inherited[0].data, 32, 'A') && child_sees() > 0);
    if (has_dropped) {
        unsigned char *pages = dropped.pages;
        CHECK("droppable pages are not there either", faults(read_one, pages) && is_mapped(pages) && gone(&dropped));
    }
    CHECK("it goes", gone(&inherited[0]) && (inherited[1].reservation == NULL || gone(&inherited[1])));
}

/* ---- a fork while a file is made ---- */

static volatile int is_filling, has_forked, raw_child_saw;

/* Without the C library's handlers a child comes at once, and has the descriptor. */
static void linger(int file)
{
    (void)file;
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        _exit(child_sees());
    }
    raw_child_saw = status_of((pid_t)child);
    is_filling = 1;
    for (int i = 0; i < 5000 && !has_forked; i++) {
        usleep(1000);
    }
    is_filling = 0;
}

static void *make_one(void *argument)
{
    sr_error own;
    sr_making making = {SR_BACKING_FILE, ALL_REQUIRED, NO_LOCK, directory};
    return sr_block_create_as(argument, 32, &making, &own) == 0 ? argument : NULL;
}

static void test_fork_amid_making(void)
{
    sr_block block, other;
    pthread_t maker;
    void *result = NULL;
    when_filling = linger;
    pthread_create(&maker, NULL, make_one, &block);
    while (!is_filling) {
        sched_yield();
    }
    int is_made = sr_block_create(&other, 32, SR_BACKING_LOCKED, 0, &error) == 0;
    CHECK("other blocks need not wait for the disk", is_made && is_filling);
    pid_t child = fork();
    if (child == 0) {
        _exit(child_sees());
    }
    CHECK("nor do forks", is_filling);
    has_forked = 1;
    CHECK("a child forked meanwhile has no descriptor and no pages", status_of(child) == 0);
    pthread_join(maker, &result);
    when_filling = NULL;
    CHECK("control: one that no handler saw has", raw_child_saw == 1);
    CHECK("they go", result != NULL && gone(&block) && gone(&other));
}

/* ---- walks ---- */

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
    for (int i = 0; i < 1000 && !is_all(other.data, 32, 0); i++) {
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
    content = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    seen = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_what_a_file_has();
    test_what_a_partial_page_has();
    test_children();
    test_fork_amid_making();
    test_younger_ones();
    test_end_amid_wiping();
    test_wiping_amid_an_end();
    test_forgetting_amid_wiping();
    check_in_child("a walk because of damage", damaged_walk, NULL); /* after which nobody makes or ends anything */
    test_walk_that_lives_on();
    test_what_is_written_back();
    return end();
}
