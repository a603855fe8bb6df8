/* The file behind a block: what is in it while the block lives and after its end, and what children have of it. */
#include "backing_check.h"

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
    char line[MOST_PATH], path[256], target[MOST_PATH];
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
    for (int i = 0; i < PATIENT_STEPS && !has_forked; i++) {
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

int main(void)
{
    begin();
    content = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    test_what_a_file_has();
    test_what_a_partial_page_has();
    test_children();
    test_fork_amid_making();
    return end();
}
