/* Files in memory: what the kernel says of one, that nobody can change it, who sees the wiping, and what each system call
 * that fails leaves: no descriptor, no mapping, no content. */
#define _GNU_SOURCE
#include "check.h"
#include "ending.h"
#include "file.h"
#include "generation.h"
#include "refusing.h"

#include <fcntl.h>
#include <sys/stat.h>

REFUSABLE(int, memfd_create, (const char *name, unsigned flags), (name, flags))
REFUSABLE(int, fchmod, (int file, mode_t mode), (file, mode))
REFUSABLE(int, fstat, (int file, struct stat *found), (file, found))
REFUSABLE(int, stat, (const char *path, struct stat *found), (path, found))

int __real_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...)
{
    va_list more;
    va_start(more, command);
    int value = va_arg(more, int);
    va_end(more);
    return is_refused("fcntl") ? -1 : __real_fcntl(file, command, value);
}

static size_t page;

static int read_all(const char *path, unsigned char *into, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, into, size);
    if (file >= 0) {
        close(file);
    }
    return (int)got;
}

static void test_what_it_is(void)
{
    sr_error error;
    sr_file file;
    char path[SR_PATH_ROOM];
    unsigned char content[100];
    CHECK("a file is made", sr_file_create(&file, 33, path, &error) == 0);
    memset(file.block.data, 'A', 33);
    CHECK("its path reads what the pages have, to the byte", read_all(path, content, sizeof content) == 33
                                                                 && is_all(content, 33, 'A'));
    CHECK("the pages are a shared mapping", has_permissions(file.block.pages, "rw-s"));
    CHECK("left out of dumps", has_flag(file.block.pages, "dd"));
    CHECK("not in children", has_flag(file.block.pages, "dc"));
    if (!HAS_ASAN) {
        CHECK("locked", has_flag(file.block.pages, "lo"));
    }
    CHECK("between guards", has_permissions(file.block.pages - 1, "---p")
                                && has_permissions(file.block.pages + file.block.pages_size, "---p"));
    int seals = __real_fcntl((int)file.opened.descriptor, F_GET_SEALS);
    CHECK("every seal but that on our own writing",
          (seals & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | 0x10))
              == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | 0x10));
    int other = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char *pages = file.block.pages;
    CHECK("it is destroyed", sr_file_destroy(&file, &error) == 0 && !is_mapped(pages));
    CHECK("another descriptor of it reads zeros", pread(other, content, 33, 0) == 33 && is_all(content, 33, 0));
    CHECK("the path is gone", read_all(path, content, 1) == -1 && errno == ENOENT);
    close(other);
}

static void test_walks(void)
{
    sr_error error;
    sr_file first, second;
    sr_block block;
    char path[2][SR_PATH_ROOM];
    unsigned char content[16];
    CHECK("two are made, and a block", sr_file_create(&first, 16, path[0], &error) == 0
                                            && sr_file_create(&second, page + 1, path[1], &error) == 0
                                            && sr_block_create(&block, 16, SR_BACKING_LOCKED, 0, &error) == 0
                                            && sr_block_protect(&block, SR_READ_WRITE, &error) == 0);
    memset(first.block.data, 'A', 16);
    memset(second.block.data, 'B', page + 1);
    memset(block.data, 'C', 16);
    sr_blocks_wipe_all();
    CHECK("the wiping of blocks is not that of files", is_all(first.block.data, 16, 'A') && is_all(block.data, 16, 0));
    memset(block.data, 'C', 16);
    sr_files_wipe_all();
    CHECK("that of files wipes all of them, and no block", is_all(first.block.data, 16, 0)
                                                                && is_all(second.block.data, page + 1, 0)
                                                                && is_all(block.data, 16, 'C'));
    CHECK("readers see it", read_all(path[0], content, 16) == 16 && is_all(content, 16, 0));
    memset(first.block.data, 'A', 16);
    sr_blocks_wipe_at_once(SR_WALK_LIVES_ON, NULL);
    CHECK("a walk before the end wipes both", is_all(first.block.data, 16, 0) && is_all(block.data, 16, 0));
    CHECK("all are destroyed", sr_file_destroy(&second, &error) == 0 && sr_block_destroy(&block, &error) == 0
                                    && sr_file_destroy(&first, &error) == 0);
}

static void look_from_child(void *argument)
{
    const sr_file *file = argument;
    sr_memory_file opened = file->opened;
    CHECK("  the child's generation is another one", file->block.generation != sr_generation());
    CHECK("  in a child the pages are a hole that nothing falls into", has_permissions(file->block.pages, "---p"));
    sr_os_file_close(&opened);
    CHECK("  its descriptor can be closed", opened.descriptor == -1
                                                && __real_fcntl((int)file->opened.descriptor, F_GETFD) == -1);
    int theirs = open("/dev/null", O_RDONLY);
    opened = file->opened;
    sr_os_file_close(&opened);
    CHECK("  but not what has its number since", theirs == file->opened.descriptor
                                                      && __real_fcntl(theirs, F_GETFD) != -1);
    sr_files_wipe_all();
}

static void test_forks(void)
{
    sr_error error;
    sr_file file;
    char path[SR_PATH_ROOM];
    unsigned char content[16];
    CHECK("a file is made", sr_file_create(&file, 16, path, &error) == 0);
    memset(file.block.data, 'A', 16);
    check_in_child("a child has neither pages nor a say", look_from_child, &file);
    CHECK("the parent's is as it was", read_all(path, content, 16) == 16 && is_all(content, 16, 'A'));
    CHECK("it is destroyed", sr_file_destroy(&file, &error) == 0);
}

static void test_each_call_refused(void)
{
    static const char *const expected[] = {"mmap", "memfd_create", "ftruncate", "fchmod", "fstat", "fcntl",
                                           "mremap", "madvise", "mlock", "stat"};
    int seen[sizeof expected / sizeof expected[0]] = {0};
    sr_error error;
    sr_file file;
    char path[SR_PATH_ROOM];
    int files = count_open_files(), made = 0, was_mapped = 0;
    for (int nth = 1; nth < 40; nth++) {
        memset(&file, 0, sizeof file);
        refuse_nth(nth, EPERM, 0);
        int result = sr_file_create(&file, page + 1, path, &error);
        const char *which = refused;
        refuse_nth(0, 0, 0);
        if (which == NULL) {
            CHECK("without a refusal it is made", result == 0 && sr_file_destroy(&file, &error) == 0);
            made = 1;
            break;
        }
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
            seen[i] |= strcmp(which, expected[i]) == 0;
        }
        if (result == 0) { /* advice that nobody insists on, or another try without it */
            CHECK("made all the same, and locked", strcmp(which, "madvise") == 0);
            CHECK("  and destroyed", sr_file_destroy(&file, &error) == 0);
        } else {
            char text[80];
            snprintf(text, sizeof text, "%s refused: that is the error", which);
            CHECK(text, strstr(error.call, which) != NULL || error.code == SR_UNSUPPORTED);
            CHECK("  no descriptor is left", count_open_files() == files);
            CHECK("  it holds nothing", file.block.reservation == NULL && file.opened.descriptor == -1);
            was_mapped |= file.block.pages != NULL && is_mapped(file.block.pages);
        }
    }
    CHECK("the last of them was made", made);
    CHECK("no refusal left pages", !was_mapped);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK(expected[i], seen[i] || (HAS_ASAN && strcmp(expected[i], "mlock") == 0));
    }
}

static void test_giving_back_refused(void)
{
    sr_error error;
    sr_file file;
    char path[SR_PATH_ROOM];
    unsigned char content[16];
    int files = count_open_files();
    CHECK("a file is made", sr_file_create(&file, 16, path, &error) == 0);
    memset(file.block.data, 'A', 16);
    int other = open(path, O_RDONLY | O_CLOEXEC);
    refuse_nth(2, ENOMEM, 1); /* after the fstat of what is closed */
    int result = sr_file_destroy(&file, &error);
    refuse_nth(0, 0, 0);
    CHECK("munmap refused: that is the error", result == -1 && strcmp(error.call, "munmap") == 0);
    CHECK("  wiped", pread(other, content, 16, 0) == 16 && is_all(content, 16, 0));
    close(other);
    memset(file.block.data, 'A', 16);
    sr_files_wipe_all();
    CHECK("  still in reach of walks", is_all(file.block.data, 16, 0));
    CHECK("  it can be tried again", sr_file_destroy(&file, &error) == 0 && count_open_files() == files);
}

int main(void)
{
    sr_error error;
    page = sr_os_page_size();
    CHECK("blocks begin", sr_blocks_begin(&error) == 0);
    test_what_it_is();
    test_walks();
    test_forks();
    test_each_call_refused();
    test_giving_back_refused();
    return check_result();
}
