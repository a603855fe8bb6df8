/* What each refusal leaves of blocks that may vanish, and of a file's: no pages, no descriptor, no file, and an error that
 * names the call. */
#include "backing_check.h"

#include <limits.h>

static int is(const char *call, int64_t code)
{
    if (strcmp(error.call, call) != 0 || error.code != code) {
        printf("      %s, %lld\n", error.call, (long long)error.code);
        return 0;
    }
    return 1;
}

static int create(sr_block *block, sr_backing backing, const char *where)
{
    sr_making making = {backing, ALL_REQUIRED, NO_LOCK, where};
    return sr_block_create_as(block, 32, &making, &error);
}

/* ---- each call, once ---- */

/* Refused, these spare the block: advice that nobody insists on, and giving back what a partial page was tried with. */
static int may_be_refused(const char *call)
{
    return strcmp(call, "madvise") == 0 || strcmp(call, "munmap") == 0;
}

static void check_each_call_refused(sr_backing backing, const char *const *expected, int with_tmpfile)
{
    int files = count_open_files(), reached = 0, is_last = 0, clean = 1;
    unsigned seen = 0;
    long mapped = status_number("VmSize");
    no_tmpfile = with_tmpfile ? 0 : EOPNOTSUPP;
    for (int nth = 1; nth < 40 && !is_last; nth++) {
        sr_block block;
        refuse_nth(nth, EPERM, 0);
        int result = create(&block, backing, directory);
        const char *which = refused;
        refuse_nth(0, 0, 0);
        is_last = which == NULL;
        for (unsigned i = 0; which != NULL && expected[i] != NULL; i++) {
            seen |= (unsigned)(strcmp(which, expected[i]) == 0) << i;
        }
        if (which != NULL && strcmp(which, "munmap") == 0) {
            mapped += (long)(3 * page / 1024); /* what was tried, and its guards */
        }
        if (result == 0 || is_last) {
            clean &= CHECK("  without a refusal that counts it is made", result == 0
                                                                                && (is_last || may_be_refused(which)));
            clean &= sr_block_destroy(&block, &error) == 0;
            continue;
        }
        char text[80];
        snprintf(text, sizeof text, "  %s refused: that is the error", which);
        const char *named = strcmp(which, "openat") == 0 ? "open" : strcmp(which, "unlinkat") == 0 ? "unlink" : which;
        CHECK(text, strncmp(error.call, named, strlen(named)) == 0 && error.code == EPERM);
        clean &= block.reservation == NULL && count_open_files() == files;
        int left = count_entries(directory);
        if (strcmp(which, "unlinkat") == 0) { /* there is nothing else that could be done about it */
            char command[sizeof directory + 40];
            snprintf(command, sizeof command, "rm %s/.strongroom-????????????????", directory);
            clean &= left == 1 && system(command) == 0;
        } else {
            clean &= left == 0;
        }
    }
    for (unsigned i = 0; expected[i] != NULL; i++) {
        reached += CHECK(expected[i], (seen & 1u << i) != 0);
    }
    no_tmpfile = 0;
    CHECK("  no descriptor, no file and no block was left", clean && count_open_files() == files);
    CHECK("  and no pages", HAS_ASAN || status_number("VmSize") == mapped);
}

static void test_making(void)
{
    static const char *const droppable[] = {"mmap", "mremap", "madvise", "mprotect", NULL};
    static const char *const partial[] = {"mmap",    "open",  "openat",   "pwrite", "mremap",
                                          "madvise", "msync", "mprotect", NULL};
    static const char *const file[] = {"mmap", "open", "openat", "pwrite", "mremap", "madvise", "mprotect", NULL};
    static const char *const named[] = {"mmap",   "open",    "openat",   "unlinkat", "pwrite",
                                        "mremap", "madvise", "mprotect", NULL};
    if (can_have(SR_BACKING_DROPPABLE, "its refusals")) {
        check_each_call_refused(SR_BACKING_DROPPABLE, droppable, 1);
    }
    if (can_have(SR_BACKING_PARTIAL, "its refusals")) {
        check_each_call_refused(SR_BACKING_PARTIAL, partial, 1);
    }
    check_each_call_refused(SR_BACKING_FILE, file, 1);
    check_each_call_refused(SR_BACKING_FILE, named, 0);
}

/* A kernel without such pages says EINVAL. */
static void test_unsupported(void)
{
    sr_block block;
    refuse_nth(2, EINVAL, 0); /* after the reservation */
    CHECK("no droppable pages: that is the error", create(&block, SR_BACKING_DROPPABLE, NULL) == -1
                                                       && is("mmap(MAP_DROPPABLE)", SR_UNSUPPORTED));
    refuse_nth(0, 0, 0);
}

/* ---- filling ---- */

static int fill_refusing(sr_block *block, int code)
{
    refuse_call = "pwrite";
    refuse_nth(1, code, 0);
    int result = create(block, SR_BACKING_FILE, directory);
    refuse_call = NULL;
    refuse_nth(0, 0, 0);
    return result;
}

static void test_filling(void)
{
    sr_block block;
    CHECK("a full disk is an error now", fill_refusing(&block, ENOSPC) == -1 && is("pwrite(private file)", ENOSPC));
    CHECK("so is a broken one", fill_refusing(&block, EIO) == -1 && is("pwrite(private file)", EIO));
    CHECK("and one that takes nothing and says no more", fill_refusing(&block, 0) == -1
                                                              && is("pwrite(private file)", ENOSPC));
    CHECK("a signal is no error", fill_refusing(&block, EINTR) == 0 && gone(&block));
    pwrite_limit = 100;
    CHECK("a disk that takes little at a time is filled", made_with_witness(&block, 32, SR_BACKING_FILE));
    struct stat found;
    CHECK("  all of it", fstat(witness, &found) == 0 && found.st_size == (off_t)page);
    pwrite_limit = 0;
    close_witness();
    CHECK("  and goes", gone(&block));
}

/* ---- directories ---- */

/* As nobody: whom permissions bind. */
static void try_unwritable(void *where)
{
    sr_block block;
    if (geteuid() == 0) {
        CHECK("  root becomes nobody", setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    }
    CHECK("  a directory that may not be written", create(&block, SR_BACKING_FILE, where) == -1
                                                       && is("open(O_TMPFILE)", EACCES));
    no_tmpfile = EOPNOTSUPP;
    CHECK("  with names or without", create(&block, SR_BACKING_FILE, where) == -1 && is("open(private file)", EACCES));
}

static void test_directories(void)
{
    sr_block block;
    char inner[sizeof directory + 10];
    struct stat found;
    int files = count_open_files();
    snprintf(inner, sizeof inner, "%s/inner", directory);
    CHECK("a missing directory", create(&block, SR_BACKING_FILE, inner) == -1 && is("open(directory)", ENOENT));
    CHECK("no directory at all", create(&block, SR_BACKING_FILE, "/dev/null") == -1 && is("open(directory)", ENOTDIR));
    CHECK("one of our own", mkdir(inner, 0555) == 0 && chmod(directory, 0755) == 0);
    check_in_child("that may not be written", try_unwritable, inner);
    CHECK("which may now", chmod(inner, 0700) == 0 && chmod(directory, 0700) == 0);
    no_tmpfile = EOPNOTSUPP;
    CHECK("without O_TMPFILE there is a name, for a moment", create(&block, SR_BACKING_FILE, inner) == 0
                                                                 && count_entries(inner) == 0 && gone(&block));
    CHECK("with other eyes on it", made_with_witness(&block, 32, SR_BACKING_FILE) && fstat(witness, &found) == 0
                                       && found.st_nlink == 0 && (found.st_mode & 07777) == 0600
                                       && count_entries(directory) == 1);
    CHECK("it goes", gone(&block));
    close_witness();
    no_tmpfile = EROFS;
    CHECK("a file system that is read-only", create(&block, SR_BACKING_FILE, inner) == -1 && is("open(O_TMPFILE)", EROFS));
    no_tmpfile = 0;
    remove_while_open = inner;
    CHECK("a directory that goes away meanwhile", create(&block, SR_BACKING_FILE, inner) == -1
                                                      && strncmp(error.call, "open(", 5) == 0); /* ext4: EPERM */
    CHECK("no descriptor is left of any", count_open_files() == files && access(inner, F_OK) != 0);
    if (!is_in_memory("/dev/shm") || access("/dev/shm", W_OK) != 0) {
        skip("memory drops nothing", "no tmpfs at /dev/shm to try it on");
        return;
    }
    CHECK("memory drops nothing: no partial pages there", create(&block, SR_BACKING_PARTIAL, "/dev/shm") == -1
                                                              && is("msync(partial page)", SR_UNSUPPORTED)
                                                              && block.reservation == NULL && count_open_files() == files);
    CHECK("but files", create(&block, SR_BACKING_FILE, "/dev/shm") == 0 && gone(&block) && block.burned.call == NULL);
}

/* ---- the end ---- */

/* Destroy a block with an 'A' in it while the nth call of that name is refused: what sr_block_destroy says. */
static int destroy_refusing(sr_block *block, const char *call, int code)
{
    memset(block->data, 'A', block->size);
    refuse_call = call;
    refuse_nth(1, code, 0);
    int result = sr_block_destroy(block, &error);
    refuse_call = NULL;
    refuse_nth(0, 0, 0);
    return result;
}

static int burned(const sr_block *block, const char *call, int64_t code)
{
    return block->burned.call != NULL && strcmp(block->burned.call, call) == 0 && block->burned.code == code;
}

static unsigned char content[1 << 17];

static int file_is_zeros(size_t size)
{
    return pread(witness, content, size, 0) == (ssize_t)size && is_all(content, size, 0);
}

static void check_end(sr_backing backing)
{
    sr_block block;
    size_t size = backing == SR_BACKING_FILE ? page : 512;
    int files = count_open_files();
    printf("      %s\n", name_of(backing));
    CHECK("a block", made_with_witness(&block, 32, backing));
    CHECK("an error of the disk: said, and the memory is given back", destroy_refusing(&block, "msync", EIO) == 0
                                                                           && burned(&block, "msync", EIO)
                                                                           && !is_mapped(block.pages)
                                                                           && file_is_zeros(size));
    close_witness();
    CHECK("another", made_with_witness(&block, 32, backing));
    CHECK("space that cannot be given back early is no failure", destroy_refusing(&block, "MADV_REMOVE", EOPNOTSUPP) == 0
                                                                     && block.burned.call == NULL);
    CHECK("  the file is overwritten, sentinel and all", file_is_zeros(size));
    close_witness();
    CHECK("another", made_with_witness(&block, 32, backing));
    CHECK("nor is an error there", destroy_refusing(&block, "MADV_REMOVE", EIO) == 0 && block.burned.call == NULL
                                       && file_is_zeros(size));
    close_witness();
    CHECK("another", made_with_witness(&block, 32, backing));
    CHECK("memory that is not taken back is an error", destroy_refusing(&block, "munmap", ENOMEM) == -1
                                                           && is("munmap", ENOMEM) && is_mapped(block.pages));
    CHECK("  burned all the same", block.burned.call == NULL && pread(witness, content, size, 0) == (ssize_t)size
                                       && memmem(content, size, "AAAA", 4) == NULL);
    sr_blocks_wipe_at_once(SR_WALK_LIVES_ON, NULL);
    CHECK("  in reach of walks, and goes when it is tried again", gone(&block));
    close_witness();
    CHECK("another", made(&block, 32, backing));
    CHECK("pages that cannot be opened are an error", sr_block_close(&block, &error) == 0 && (refuse_nth(1, ENOMEM, 0), 1)
                                                          && sr_block_destroy(&block, &error) == -1
                                                          && is("mprotect", ENOMEM));
    refuse_nth(0, 0, 0);
    CHECK("  until they can", gone(&block) && count_open_files() == files);
}

/* Of three pages the file loses all but the first: a touch of the others is SIGBUS, as it is where a disk fails. */
static void test_unreadable(void)
{
    sr_block block;
    CHECK("three pages", made_with_witness(&block, 2 * page + 1, SR_BACKING_FILE));
    if (__real_madvise(block.pages, page, 22) != 0) {
        skip("what cannot be read is no fault", "the kernel cannot say (MADV_POPULATE_READ: Linux 5.14)");
        CHECK("they go", gone(&block));
        close_witness();
        return;
    }
    memset(block.pages, 'A', page); /* under the sentinel too: nobody looks any more */
    CHECK("control: their file has it", pread(witness, content, page, 0) == (ssize_t)page && is_all(content, page, 'A'));
    CHECK("two are cut off", __real_ftruncate(witness, (off_t)page) == 0);
    CHECK("which is an error and no fault", sr_block_fetch(&block, &error) == -1
                                                && is("madvise(MADV_POPULATE_WRITE)", EFAULT));
    CHECK("nor when it is wiped", sr_block_wipe(&block, &error) == 0
                                      && burned(&block, "madvise(MADV_POPULATE_WRITE)", EFAULT));
    CHECK("what can be reached is", file_is_zeros(page));
    memset(block.pages, 'A', page);
    CHECK("which is said", sr_blocks_wipe_files(sr_blocks_hold_files(), &error) == -1
                               && is("madvise(MADV_POPULATE_WRITE)", EFAULT));
    size_t mark = (size_t)(block.data - block.pages) - SR_CANARY_SIZE;
    CHECK("nor when all are", !file_is_zeros(page) && is_all(content, mark, 0)
                                  && is_all(content + mark + SR_CANARY_SIZE, page - mark - SR_CANARY_SIZE, 0));
    memset(block.pages, 'A', page);
    CHECK("nor when it is to go, which is said", gone(&block) && burned(&block, "madvise(MADV_POPULATE_WRITE)", EFAULT)
                                                     && file_is_zeros(page));
    close_witness();
    CHECK("three others", made_with_witness(&block, 2 * page + 1, SR_BACKING_FILE));
    memset(block.data, 'A', block.size);
    CHECK("two are cut off, and wiped, and come back", __real_ftruncate(witness, (off_t)page) == 0
                                                           && sr_block_wipe(&block, &error) == 0
                                                           && __real_ftruncate(witness, (off_t)(3 * page)) == 0);
    CHECK("which is no damage", gone(&block) && block.burned.call == NULL && file_is_zeros(3 * page));
    close_witness();
}

/* One page in the middle is as if its device had failed. Each walk passes it by, and soon. */
static void test_hole_amid_pages(void)
{
    sr_block block;
    CHECK("three pages", made(&block, 2 * page + 1, SR_BACKING_FILE));
    int empty = open(directory, O_TMPFILE | O_RDWR, 0600);
    if (empty < 0) {
        skip("a page out of reach amid others", "this file system has no O_TMPFILE");
    } else {
        memset(block.data, 'A', block.size);
        CHECK("the second out of reach", mmap(block.pages + page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                              empty, 0) == block.pages + page);
        refuse_call = "read";
        refuse_nth(INT_MAX, EIO, 0);
        sr_blocks_wipe_at_once(SR_WALK_LIVES_ON, NULL);
        int reads = calls_seen;
        refuse_call = NULL;
        refuse_nth(0, 0, 0);
        unsigned char *last = block.pages + 2 * page;
        CHECK("the others are wiped", is_all(last, page, 0) && is_all(block.data, (size_t)(block.pages + page - block.data), 0));
        CHECK("in a few reads", reads > 0 && reads < 1000);
        memset(last, 'A', page);
        CHECK("as when all are, and that one is missed", sr_blocks_wipe_files(sr_blocks_hold_files(), &error) == -1
                                                             && is("madvise(MADV_POPULATE_WRITE)", EFAULT)
                                                             && is_all(last, page, 0));
        close(empty);
    }
    CHECK("it goes", gone(&block));
}

static void test_renewing(void)
{
    sr_block block;
    if (!can_have(SR_BACKING_PARTIAL, "its renewal")) {
        return;
    }
    CHECK("a partial page", made(&block, 32, SR_BACKING_PARTIAL));
    memset(block.data, 'A', 32);
    refuse_nth(1, EIO, 0);
    CHECK("that cannot be written now does not begin anew", !renewed(&block) && is("msync", EIO));
    refuse_nth(0, 0, 0);
    CHECK("  nor count", block.renewals == 0 && kept(&block, is_all(block.data, 32, 'A')));
    CHECK("  and later it does", renewed(&block) && block.renewals == 1 && gone(&block));
}

int main(void)
{
    begin();
    test_making();
    test_unsupported();
    test_filling();
    test_directories();
    check_end(SR_BACKING_FILE);
    if (can_have(SR_BACKING_PARTIAL, "its end")) {
        check_end(SR_BACKING_PARTIAL);
    }
    test_unreadable();
    test_hole_amid_pages();
    test_renewing();
    return end();
}
