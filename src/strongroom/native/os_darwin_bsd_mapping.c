/* Sections of memory on macOS and the BSDs: POSIX shared memory, which takes no locks there.
 *
 * Nobody can tell who else uses a name, so it ends when the process that made it gives it up; those who have the
 * section keep it. If that process is killed the name stays until the next start of the system, or until somebody
 * removes it. Compiled on every change; not yet run on any of these systems.
 */
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "os_posix_section.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often an object that its maker has not sized yet is looked at again, a millisecond apart; then it is broken. */
#define SIZING_PATIENCE 1000

int sr_posix_nameless(sr_error *error)
{
    static const char digits[] = "0123456789abcdef";
    char name[] = "/sr-0123456789abcdef"; /* macOS: 31 characters at most */
    unsigned char random[8];
    if (sr_os_random(random, sizeof random, error) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        name[4 + 2 * i] = digits[random[i] >> 4];
        name[5 + 2 * i] = digits[random[i] & 15];
    }
    int made = shm_open(name, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    if (made < 0) {
        return failed(error, "shm_open");
    }
    shm_unlink(name);
    fcntl(made, F_SETFD, FD_CLOEXEC);
    return made;
}

size_t sr_posix_page_of_file(int file)
{
    (void)file;
    return 1; /* nothing like hugetlbfs there */
}

int sr_posix_lengthen(int file, uint64_t size, sr_error *error)
{
    return ftruncate(file, (off_t)size) != 0 ? failed(error, "ftruncate(file)") : 0;
}

static int make(const char *name, uint64_t size, sr_error *error)
{
    int made = shm_open(name, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    if (made < 0) {
        return failed(error, "shm_open");
    }
    if (ftruncate(made, (off_t)size) != 0) {
        failed(error, "ftruncate(section)");
        shm_unlink(name);
        close(made);
        return -1;
    }
    return made;
}

static int find(const char *name, uint64_t *size, sr_error *error)
{
    struct stat status;
    int found = shm_open(name, O_RDWR, 0);
    if (found < 0) {
        return failed(error, "shm_open");
    }
    if (sr_posix_check_owner(found, error) != 0) {
        close(found);
        return -1;
    }
    for (int i = 0; i < SIZING_PATIENCE; i++) {
        if (fstat(found, &status) == 0 && status.st_size != 0) {
            *size = (uint64_t)status.st_size;
            return found;
        }
        usleep(1000);
    }
    errno = ENOENT;
    failed(error, "shm_open");
    close(found);
    return -1;
}

int sr_os_section_named(
    const char *name, sr_protection protection, uint64_t *size, intptr_t *section, int *existed, sr_error *error)
{
    (void)protection;
    int got = -1;
    *existed = 0;
    if (*size != 0) {
        got = make(name, *size, error);
        if (got < 0 && error->code != EEXIST) {
            return -1;
        }
    }
    if (got < 0) {
        got = find(name, size, error);
        *existed = 1;
    }
    if (got < 0) {
        return -1;
    }
    fcntl(got, F_SETFD, FD_CLOEXEC);
    *section = got;
    return 0;
}

void sr_os_section_close(intptr_t section, const char *name, int is_maker)
{
    if (name != NULL && is_maker) {
        shm_unlink(name);
    }
    close((int)section);
}
