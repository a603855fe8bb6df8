/* Guarded blocks on Linux: the layout, the canary, wiping, forks, and what is given back. */
#define _GNU_SOURCE
#include "check.h"
#include "generation.h"
#include "ending.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { NOBODY = 65534, ALL_REQUIRED = (1 << SR_STEP_NO_DUMP) | (1 << SR_STEP_NOT_IN_CHILD) | (1 << SR_STEP_LOCK) };

static size_t page;
static sr_error error;

static int made(sr_block *block, size_t size, sr_backing backing)
{
    if (sr_block_create(block, size, backing, ALL_REQUIRED, &error) != 0) {
        printf("      %s: %lld\n", error.call, (long long)error.code);
        return 0;
    }
    return 1;
}

static int opened(sr_block *block)
{
    return sr_block_protect(block, SR_READ_WRITE, &error) == 0;
}

/* ---- layout ---- */

static void check_layout(size_t size, sr_backing backing)
{
    sr_block block;
    CHECK("a block is made", made(&block, size, backing));
    CHECK("it has whole pages with room for the canary", block.pages_size % page == 0
                                                             && block.pages_size >= size + SR_CANARY_SIZE);
    CHECK("and no page too many", block.pages_size < size + SR_CANARY_SIZE + page);
    CHECK("it is closed", has_permissions(block.pages, backing == SR_BACKING_SECRETMEM ? "---s" : "---p"));
    CHECK("it is left out of dumps", has_flag(block.pages, "dd"));
    CHECK("it is left out of children", has_flag(block.pages, "dc"));
    CHECK("it is locked", HAS_ASAN ? 1 : has_flag(block.pages, "lo"));
    CHECK("it opens", opened(&block));
    CHECK("it is zeros", is_all(block.data, size, 0));
    memset(block.data, 0xA5, size);
    CHECK("reading the byte after the last faults", faults(read_one, block.data + size));
    CHECK("writing the byte after the last faults", faults(write_one, block.data + size));
    CHECK("reading below the pages faults", faults(read_one, block.pages - 1));
    CHECK("its content is untouched by that", is_all(block.data, size, 0xA5));
    CHECK("its canary is too", sr_block_is_intact(&block));
    unsigned char *pages = block.pages, *below = block.reservation;
    CHECK("it is given back", sr_block_destroy(&block, &error) == 0 && block.reservation == NULL);
    CHECK("with its guards", !is_mapped(pages) && !is_mapped(below));
}

static void test_layouts(void)
{
    static const size_t around_a_page[] = {1, 15, 16, 17, 32};
    for (size_t i = 0; i < sizeof around_a_page / sizeof *around_a_page; i++) {
        check_layout(around_a_page[i], SR_BACKING_LOCKED);
        check_layout(page - around_a_page[i], SR_BACKING_SECRETMEM);
        check_layout(page + around_a_page[i], SR_BACKING_LOCKED);
    }
    check_layout(page, SR_BACKING_LOCKED);
    check_layout(page, SR_BACKING_SECRETMEM);
    check_layout(16 * page, SR_BACKING_LOCKED);
}

/* ---- the canary ---- */

typedef struct crime {
    sr_block block;      /* the one that is damaged */
    sr_block bystander;  /* another, which must be wiped as well */
    size_t distance;     /* bytes before the data */
    int through_destroy; /* else through sr_block_wipe */
} crime;

static void overwrite_and_end(void *argument)
{
    crime *scene = argument;
    if (!made(&scene->block, 32, SR_BACKING_LOCKED) || !made(&scene->bystander, 32, SR_BACKING_LOCKED)
        || !opened(&scene->block)) {
        return;
    }
    *(scene->block.data - scene->distance) ^= 1;
    if (scene->through_destroy) {
        sr_block_destroy(&scene->block, &error);
    } else {
        sr_block_wipe(&scene->block, &error);
    }
}

static void test_canary(void)
{
    static const size_t distances[] = {1, SR_CANARY_SIZE, SR_CANARY_SIZE + 1, 4000};
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        for (int through_destroy = 0; through_destroy < 2; through_destroy++) {
            crime scene = {.distance = distances[i], .through_destroy = through_destroy};
            int status = status_of_child(overwrite_and_end, &scene);
            CHECK("one byte changed before the data ends the process", WIFSIGNALED(status)
                                                                           && WTERMSIG(status) == SIGABRT);
        }
    }
}

/* That wiping comes before the end shows in a bystander's pages: they are replaced by a mapping that the parent
 * shares, which the child's death does not take away. */
static unsigned char *witness;

static void die_with_witness(void *argument)
{
    (void)argument;
    sr_block damaged, bystander;
    if (!made(&damaged, 32, SR_BACKING_LOCKED) || !made(&bystander, 32, SR_BACKING_LOCKED) || !opened(&damaged)
        || !opened(&bystander)) {
        return;
    }
    memcpy(witness, bystander.pages, page); /* its canary and zeros */
    if (mremap(witness, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED, bystander.pages) == MAP_FAILED) {
        return;
    }
    memset(bystander.data, 0x5A, 32);
    damaged.data[-1] ^= 1;
    sr_block_destroy(&damaged, &error);
}

static void test_wiped_before_death(void)
{
    witness = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(witness, 0x77, page);
    int status = status_of_child(die_with_witness, NULL);
    CHECK("a damaged neighbour ends the process", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK("after this block was wiped, but for its canary", is_all(witness, page - 32 - SR_CANARY_SIZE, 0)
                                                             && is_all(witness + page - 32, 32, 0));
    munmap(witness, page);
}

/* ---- wiping ---- */

static void test_wiping(void)
{
    sr_block closed, open;
    CHECK("two blocks", made(&closed, 100, SR_BACKING_LOCKED) && made(&open, 5000, SR_BACKING_SECRETMEM));
    CHECK("both open", opened(&closed) && opened(&open));
    memset(closed.data, 1, closed.size);
    memset(open.data, 2, open.size);
    CHECK("one closes", sr_block_protect(&closed, SR_NO_ACCESS, &error) == 0);
    sr_blocks_wipe_all();
    CHECK("the closed one stays closed", has_permissions(closed.pages, "---p") && opened(&closed));
    CHECK("the closed one is wiped", is_all(closed.data, closed.size, 0));
    CHECK("the open one is wiped", is_all(open.data, open.size, 0));
    CHECK("both keep their canaries", sr_block_is_intact(&closed) && sr_block_is_intact(&open));
    CHECK("both can be destroyed afterwards",
          sr_block_destroy(&closed, &error) == 0 && sr_block_destroy(&open, &error) == 0);
}

static void test_placing(void)
{
    sr_block block;
    CHECK("a room", made(&block, page - SR_CANARY_SIZE, SR_BACKING_LOCKED) && opened(&block));
    unsigned char *end = block.data + block.size;
    sr_os_wipe(block.data - SR_CANARY_SIZE, SR_CANARY_SIZE);
    sr_block_place(&block, 5);
    CHECK("placing moves the data to the end", block.data + 5 == end && block.size == 5);
    CHECK("with a canary before it", sr_block_is_intact(&block) && !is_all(block.data - SR_CANARY_SIZE, 16, 0));
    CHECK("the next byte still faults", faults(read_one, block.data + 5));
    CHECK("it can be destroyed", sr_block_destroy(&block, &error) == 0);
}

/* ---- refusals ---- */

static void refuse_under_limit(void *argument)
{
    (void)argument;
    struct rlimit limit = {2 * page, 2 * page};
    setrlimit(RLIMIT_MEMLOCK, &limit);
    if (geteuid() == 0) {
        CHECK("root becomes nobody", setresgid(NOBODY, NOBODY, NOBODY) == 0
                                         && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    }
    sr_block first, second, third, secret;
    CHECK("two pages fit", made(&first, 32, SR_BACKING_LOCKED) && made(&second, 32, SR_BACKING_LOCKED));
    long locked = status_number("VmLck"), mapped = status_number("VmSize");
    CHECK("a third does not", sr_block_create(&third, 32, SR_BACKING_LOCKED, ALL_REQUIRED, &error) == -1);
    CHECK("and says mlock", strcmp(error.call, "mlock") == 0 && sr_os_is_lock_limit(&error));
    CHECK("secret memory does not either",
          sr_block_create(&secret, 32, SR_BACKING_SECRETMEM, ALL_REQUIRED, &error) == -1);
    CHECK("and says its mmap", strcmp(error.call, "mmap(secretmem)") == 0 && error.code == EAGAIN);
    CHECK("nothing is left behind", status_number("VmLck") == locked && status_number("VmSize") == mapped);
    CHECK("an unrequired lock is not an error",
          sr_block_create(&third, 32, SR_BACKING_LOCKED, 1 << SR_STEP_NO_DUMP, &error) == 0);
    CHECK("but known", strcmp(third.outcomes[SR_STEP_LOCK].call, "mlock") == 0);
    CHECK("one goes", sr_block_destroy(&first, &error) == 0);
    CHECK("and the next fits", made(&first, 32, SR_BACKING_LOCKED));
}

static void test_absurd_sizes(void)
{
    sr_block block;
    int files = count_open_files();
    CHECK("the largest size is refused by the system",
          sr_block_create(&block, sr_block_max_size(SR_BACKING_LOCKED), SR_BACKING_LOCKED, 0, &error) == -1);
    CHECK("with its call", strcmp(error.call, "mmap") == 0 && error.code == ENOMEM);
    CHECK("no file stays open", count_open_files() == files);
}

/* ---- fork ---- */

static sr_block inherited[2];

static void look_in_child(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2; i++) {
        CHECK("the generation tells", inherited[i].generation != sr_generation());
        CHECK("an inaccessible page is in the hole", has_permissions(inherited[i].pages, "---p"));
        CHECK("which is not the parent's", !has_flag(inherited[i].pages, "dc"));
    }
    sr_block own;
    CHECK("the child makes its own", made(&own, 32, SR_BACKING_LOCKED) && opened(&own));
    memset(own.data, 3, own.size);
    sr_blocks_wipe_all();
    CHECK("and wipes only its own", is_all(own.data, own.size, 0));
    CHECK("and gives it back", sr_block_destroy(&own, &error) == 0);
}

static void look_after_raw_fork(void *argument)
{
    (void)argument;
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* fork without the C library's handlers */
    if (child == 0) {
        int is_told = inherited[0].generation != sr_generation();
        _exit(is_told && has_permissions(inherited[0].pages, "---p") ? 0 : 1);
    }
    int status = -1;
    waitpid((pid_t)child, &status, 0);
    CHECK("a child that no handler saw is told by the wiped page", WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_fork(void)
{
    CHECK("two blocks", made(&inherited[0], 32, SR_BACKING_LOCKED) && made(&inherited[1], 32, SR_BACKING_SECRETMEM));
    check_in_child("a child finds none of its parent's memory", look_in_child, NULL);
    look_after_raw_fork(NULL);
    CHECK("the parent's is untouched", inherited[0].generation == sr_generation() && opened(&inherited[0])
                                           && sr_block_is_intact(&inherited[0]));
    CHECK("and can be destroyed",
          sr_block_destroy(&inherited[0], &error) == 0 && sr_block_destroy(&inherited[1], &error) == 0);
}

/* A child forked while another thread makes secret memory: the mapping is shared, so a child that had it would
 * read what is written there afterwards. */
static volatile int is_making;

static void *make_secret_memory(void *unused)
{
    (void)unused;
    while (is_making) {
        sr_block block;
        sr_error own;
        if (sr_block_create(&block, 32, SR_BACKING_SECRETMEM, ALL_REQUIRED, &own) == 0) {
            sr_block_destroy(&block, &own);
        }
    }
    return NULL;
}

static int child_has_secret_memory(void)
{
    char maps[1 << 15];
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t size = 0, got;
    while ((got = read(file, maps + size, sizeof maps - 1 - (size_t)size)) > 0) {
        size += got;
    }
    maps[size] = 0;
    return strstr(maps, "/secretmem") != NULL;
}

static void test_fork_while_making(void)
{
    enum { FORKS = 300 };
    pthread_t maker;
    int seen = 0;
    is_making = 1;
    CHECK("a thread makes secret memory", pthread_create(&maker, NULL, make_secret_memory, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(child_has_secret_memory());
        }
        int status = -1;
        waitpid(child, &status, 0);
        seen += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    is_making = 0;
    pthread_join(maker, NULL);
    CHECK("no child forked meanwhile has any of it", seen == 0);
}

/* ---- many ---- */

static void test_many(void)
{
    enum { ROUNDS = 2000 };
    sr_block block;
    CHECK("a first", made(&block, 32, SR_BACKING_LOCKED) && sr_block_destroy(&block, &error) == 0);
    long locked = status_number("VmLck"), mapped = status_number("VmSize");
    int files = count_open_files(), good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        good += sr_block_create(&block, 32, i % 2 ? SR_BACKING_SECRETMEM : SR_BACKING_LOCKED, ALL_REQUIRED, &error) == 0
                && sr_block_destroy(&block, &error) == 0;
    }
    CHECK("thousands of blocks come and go", good == ROUNDS);
    CHECK("and leave nothing locked", status_number("VmLck") == locked);
    CHECK("nothing mapped", HAS_ASAN ? 1 : status_number("VmSize") == mapped);
    CHECK("and no file open", count_open_files() == files);
}

int main(void)
{
    page = sr_os_page_size();
    CHECK("a block can be made", sr_blocks_begin(&error) == 0 && sr_blocks_begin(&error) == 0);
    test_layouts();
    test_canary();
    test_wiped_before_death();
    test_wiping();
    test_placing();
#if HAS_ASAN
    skip("the lock limit", "AddressSanitizer's mlock does nothing");
    (void)refuse_under_limit;
#else
    check_in_child("a lock limit is an error and no more", refuse_under_limit, NULL);
#endif
    test_absurd_sizes();
    test_fork();
    test_fork_while_making();
    test_many();
    return check_result();
}
