/* Blocks that may vanish, and a file's: the layout, what the kernel says of the pages, how a loss is seen, what is in the
 * file, and that nothing is left open. */
#include "backing_check.h"

#include <pthread.h>

static const sr_backing all[] = {SR_BACKING_DROPPABLE, SR_BACKING_PARTIAL, SR_BACKING_FILE};

/* ---- layout ---- */

static void check_layout(size_t size, sr_backing backing)
{
    sr_block block;
    int files = count_open_files(), can_vanish = sr_can_vanish(backing);
    size_t behind = can_vanish ? SR_CANARY_SIZE : 0;
    CHECK("a block is made", closed(&block, size, backing));
    CHECK("it is closed", has_permissions(block.pages, sr_has_file(backing) ? "---s" : "---p"));
    CHECK("no descriptor is left open", count_open_files() == files);
    CHECK("no name is left", count_entries(directory) == 0);
    CHECK("it opens", sr_block_protect(&block, SR_READ_WRITE, &error) == 0);
    CHECK("one page for what can vanish", can_vanish ? block.pages_size == page
                                                     : block.pages_size >= size + SR_CANARY_SIZE
                                                           && block.pages_size < size + SR_CANARY_SIZE + page);
    CHECK("what vanishes lies behind the file's end", backing != SR_BACKING_PARTIAL
                                                          || block.data >= block.pages + SR_PARTIAL_HEAD + SR_CANARY_SIZE);
    CHECK("a guard on either side", has_permissions(block.pages - 1, "---p")
                                        && has_permissions(block.data + size + behind, "---p")
                                        && is_mapped(block.data + size + behind - 1));
    CHECK("which faults", faults(read_one, block.data + size + behind) && faults(write_one, block.pages - 1));
    size_t below_mark = (size_t)(block.data - block.pages) - SR_CANARY_SIZE;
    CHECK("zeros between sentinels", kept(&block, is_all(block.data, size, 0)) && is_all(block.pages, below_mark, 0)
                                         && sr_block_is_intact(&block));
    CHECK("no two of them alike",
          !can_vanish || kept(&block, memcmp(block.data - SR_CANARY_SIZE, block.data + size, SR_CANARY_SIZE) != 0));
    memset(block.data, 0xA5, size);
    CHECK("there is room for all of it", kept(&block, is_all(block.data, size, 0xA5)));
    unsigned char *below = block.reservation;
    CHECK("it goes, with its guards", gone(&block) && !is_mapped(below) && count_open_files() == files);
    CHECK("its file is burned", block.burned.call == NULL);
}

static void test_layouts(void)
{
    for (int i = 0; i < 3; i++) {
        sr_backing backing = all[i];
        if (!can_have(backing, "its layout")) {
            continue;
        }
        printf("      %s\n", name_of(backing));
        check_layout(1, backing);
        check_layout(sr_can_vanish(backing) ? sr_block_max_size(backing) : page - SR_CANARY_SIZE, backing);
        if (!sr_can_vanish(backing)) {
            check_layout(page - SR_CANARY_SIZE + 1, backing);
            check_layout(20 * page, backing); /* more than one write fills */
        }
    }
    CHECK("the most that can vanish", sr_block_max_size(SR_BACKING_DROPPABLE) == page - 32
                                          && sr_block_max_size(SR_BACKING_PARTIAL) == page - 32 - SR_PARTIAL_HEAD);
    CHECK("files are as large as other blocks", sr_block_max_size(SR_BACKING_FILE) == sr_block_max_size(SR_BACKING_LOCKED));
}

/* ---- what the kernel says ---- */

static void check_flags(sr_backing backing, const char *flags)
{
    sr_block block;
    mapping found;
    CHECK("a block", made(&block, 32, backing));
    *(volatile unsigned char *)block.pages = 0; /* in memory, whatever became of it since */
    CHECK("which is mapped", find_mapping(block.pages, &found));
    for (const char *flag = flags; *flag != 0; flag += 2) {
        char two[] = {flag[0], flag[1], 0};
        CHECK(two, has_flag(block.pages, two));
    }
    CHECK("it is resident, and one of its own", found.resident_kb > 0 && found.end - found.begin == block.pages_size);
    CHECK("it is not locked", !has_flag(block.pages, "lo"));
    CHECK("and says so", block.outcomes[SR_STEP_LOCK].call != NULL
                               && block.outcomes[SR_STEP_LOCK].code == SR_UNSUPPORTED);
    if (sr_has_file(backing)) {
        CHECK("its file has no name", strncmp(found.path, directory, strlen(directory)) == 0
                                          && strstr(found.path, " (deleted)") != NULL);
    } else {
        CHECK("it has no file", found.path[0] == 0);
    }
    sr_block_totals totals;
    sr_blocks_count(&totals);
    CHECK("it is counted for what it is", totals.pages_size[backing] == page && totals.unlocked_size == 0
                                                && totals.isolated == 1);
    CHECK("it goes", gone(&block));
}

static void test_flags(void)
{
    if (can_have(SR_BACKING_DROPPABLE, "its flags")) {
        check_flags(SR_BACKING_DROPPABLE, "dpwfdddcnh");
    }
    if (can_have(SR_BACKING_PARTIAL, "its flags")) {
        check_flags(SR_BACKING_PARTIAL, "shdddcnh");
    }
    check_flags(SR_BACKING_FILE, "shdddcnh");
}

static void test_locks(void)
{
    sr_block block;
    for (int i = 0; i < 3; i++) {
        if (!can_have(all[i], "its lock")) {
            continue;
        }
        sr_making making = {all[i], NO_LOCK, 0, directory};
        int result = sr_block_create_as(&block, 32, &making, &error);
        if (all[i] == SR_BACKING_DROPPABLE) {
            CHECK("droppable pages have no lock to require", result == -1 && error.code == SR_UNSUPPORTED
                                                                 && strcmp(error.call, "mlock") == 0);
        } else {
            CHECK("a file's page may be locked, if that is wanted", result == 0
                                                                            && (HAS_ASAN || has_flag(block.pages, "lo")));
            CHECK("it goes, and is burned", gone(&block) && block.burned.call == NULL);
        }
    }
}

/* ---- losing ---- */

/* The kernel does not take a page that another CPU has not filed yet: asked on each of them, a few times. */
static int drop(sr_block *block)
{
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before);
    for (int i = 0; i < 20 * CPU_SETSIZE && sr_block_condition(block) == SR_INTACT; i++) {
        CPU_ZERO(&one);
        CPU_SET((size_t)i % CPU_SETSIZE, &one);
        if (CPU_ISSET((size_t)i % CPU_SETSIZE, &before) && sched_setaffinity(0, sizeof one, &one) == 0) {
            __real_madvise(block->pages, block->pages_size, MADV_PAGEOUT);
        }
    }
    sched_setaffinity(0, sizeof before, &before);
    return sr_block_condition(block) == SR_LOST;
}

static int write_out(sr_block *block)
{
    return __real_msync(block->pages, block->pages_size, MS_SYNC) == 0 && sr_block_condition(block) == SR_LOST;
}

static int filled(sr_block *block)
{
    if (!renewed(block)) {
        return 0;
    }
    memset(block->data, 'A', block->size);
    return sr_block_condition(block) == SR_INTACT;
}

static int is_lost_alone(sr_block *block, int (*lose)(sr_block *), const sr_block *control)
{
    return lose(block) && sr_block_condition(control) == SR_INTACT && is_all(control->data, control->size, 'A');
}

static void check_loss(sr_backing backing, int (*lose)(sr_block *))
{
    sr_block block, control;
    int was_seen = 0;
    CHECK("two blocks", made(&block, 32, backing) && made(&control, 32, backing));
    for (int i = 0; i < 100 && !was_seen; i++) { /* where disks are busy the other one may be lost as well */
        was_seen = filled(&block) && filled(&control) && is_lost_alone(&block, lose, &control);
    }
    CHECK("its loss is seen, and one that nobody took is intact", was_seen && is_all(block.pages, page, 0));
    CHECK("a loss is no damage", sr_block_condition(&block) == SR_LOST && sr_block_is_intact(&block));
    memset(block.data, 'B', 32);
    CHECK("what is stored later stays lost", sr_block_condition(&block) == SR_LOST);
    unsigned renewals = block.renewals;
    CHECK("begun anew it is intact zeros, and counts", renewed(&block)
                                                           && kept(&block, is_all(block.data, 32, 0))
                                                           && block.renewals == renewals + 1);
    memset(block.data, 'C', 32);
    CHECK("closed it is intact too", sr_block_close(&block, &error) == 0
                                         && sr_block_protect(&block, SR_READ_ONLY, &error) == 0
                                         && kept(&block, is_all(block.data, 32, 'C')));
    CHECK("anew from there", renewed(&block) && block.protection == SR_READ_WRITE
                                 && kept(&block, is_all(block.data, 32, 0)));
    memset(block.data, 'D', 32);
    sr_block_lose(&block);
    CHECK("made lost on purpose", sr_block_condition(&block) == SR_LOST
                                      && is_all(block.data - SR_CANARY_SIZE, 32 + 2 * SR_CANARY_SIZE, 0));
    CHECK("wiped it begins anew, which counts", sr_block_wipe(&block, &error) == 0 && block.renewals == renewals + 3
                                                    && kept(&block, is_all(block.data, 32, 0)));
    CHECK("lost again it goes all the same", lose(&block) && gone(&block) && block.burned.call == NULL);
    CHECK("so does the control", gone(&control));
}

static void test_losses(void)
{
    if (can_have(SR_BACKING_DROPPABLE, "a loss")) {
        check_loss(SR_BACKING_DROPPABLE, drop);
    }
    if (can_have(SR_BACKING_PARTIAL, "a loss")) {
        check_loss(SR_BACKING_PARTIAL, write_out);
    }
    sr_block block;
    CHECK("a file's block", made(&block, 32, SR_BACKING_FILE));
    memset(block.data, 'A', 32);
    CHECK("loses nothing by being written", __real_msync(block.pages, block.pages_size, MS_SYNC) == 0
                                                && __real_madvise(block.pages, block.pages_size, MADV_PAGEOUT) == 0
                                                && sr_block_fetch(&block, &error) == 0
                                                && sr_block_condition(&block) == SR_INTACT && is_all(block.data, 32, 'A'));
    CHECK("and goes", gone(&block));
}

/* ---- sentinels ---- */

static sr_condition with_part_cleared(sr_block *block, unsigned char *mark, size_t from, size_t to)
{
    unsigned char before[SR_CANARY_SIZE];
    memcpy(before, mark, sizeof before);
    memset(mark + from, 0, to - from);
    sr_condition found = sr_block_condition(block);
    memcpy(mark, before, sizeof before);
    return found;
}

/* A value that is neither what was there nor zero. */
static sr_condition with_one_changed(sr_block *block, unsigned char *byte)
{
    unsigned char before = *byte;
    *byte = before == 1 ? 2 : 1;
    sr_condition found = sr_block_condition(block);
    *byte = before;
    return found;
}

static void damage_and_wipe(void *is_behind)
{
    sr_block block;
    if (made(&block, 32, no_droppable == NULL ? SR_BACKING_DROPPABLE : SR_BACKING_PARTIAL)) {
        unsigned char *byte = is_behind != NULL ? block.data + 32 : block.data - 1;
        *byte = *byte == 1 ? 2 : 1;
        sr_block_wipe(&block, &error);
    }
}

static void dirty_below_and_wipe(void *unused)
{
    (void)unused;
    sr_block block;
    if (made(&block, 32, SR_BACKING_FILE)) {
        *block.pages = 1;
        sr_block_wipe(&block, &error);
    }
}

static int dies_of(void (*body)(void *), void *argument)
{
    int status = status_of_child(body, argument);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* What a walk does to a sentinel that the system has cleared: it puts it back, whoever is looking. */
static volatile int is_walking;

static void *put_back(void *argument)
{
    unsigned char *mark = argument, expected[SR_CANARY_SIZE];
    sr_canary_of(mark, expected);
    while (is_walking) {
        sr_os_wipe(mark, SR_CANARY_SIZE);
        memcpy(mark, expected, SR_CANARY_SIZE);
        __asm__ __volatile__("" : : : "memory");
    }
    return NULL;
}

static void check_sentinels(sr_backing backing)
{
    sr_block block;
    pthread_t walker;
    CHECK("a block", made(&block, 32, backing));
    unsigned char *const marks[] = {block.data - SR_CANARY_SIZE, block.data + 32};
    for (int i = 0; i < 2; i++) {
        int lost = 0, damaged = 0;
        for (size_t k = 1; k < SR_CANARY_SIZE; k++) {
            lost += with_part_cleared(&block, marks[i], 0, k) != SR_DAMAGED;
            lost += with_part_cleared(&block, marks[i], k, SR_CANARY_SIZE) != SR_DAMAGED;
        }
        for (size_t k = 0; k < SR_CANARY_SIZE; k++) {
            damaged += with_one_changed(&block, marks[i] + k) == SR_DAMAGED;
        }
        CHECK("cleared in part it is not damaged", lost == 2 * (SR_CANARY_SIZE - 1));
        CHECK("cleared it is lost", with_part_cleared(&block, marks[i], 0, SR_CANARY_SIZE) == SR_LOST);
        CHECK("anything else in any byte is damage", damaged == SR_CANARY_SIZE && kept(&block, 1));
    }
    memset(marks[0], 0, SR_CANARY_SIZE);
    CHECK("damage behind counts more than a loss before", with_one_changed(&block, marks[1]) == SR_DAMAGED);
    is_walking = 1;
    pthread_create(&walker, NULL, put_back, marks[0]);
    int damaged = 0;
    for (int i = 0; i < 200000; i++) {
        damaged += sr_block_condition(&block) == SR_DAMAGED;
    }
    is_walking = 0;
    pthread_join(walker, NULL);
    CHECK("a sentinel that is put back at this moment is not damaged", damaged == 0);
    CHECK("it goes", gone(&block));
}

static void test_sentinels(void)
{
    sr_backing backing = no_droppable == NULL ? SR_BACKING_DROPPABLE : SR_BACKING_PARTIAL;
    if (can_have(backing, "its sentinels")) {
        check_sentinels(backing);
        CHECK("damage before ends the process", dies_of(damage_and_wipe, NULL));
        CHECK("damage behind does too", dies_of(damage_and_wipe, &page));
    }
    CHECK("and so does a byte in a file's zeros", dies_of(dirty_below_and_wipe, NULL));
}

int main(void)
{
    begin();
    test_layouts();
    test_flags();
    test_locks();
    test_losses();
    test_sentinels();
    return end();
}
