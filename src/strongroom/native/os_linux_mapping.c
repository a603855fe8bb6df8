/* Sections of memory on Linux: memfd_create, and for names files of the shared memory file system with locks on them.
 *
 * A name must end with its last user, as on Windows, and also when that user is killed. So each user holds a read lock
 * on the object, which the kernel gives up with the descriptor: whoever gets the write lock is alone with it. Locks of
 * open file descriptions (fcntl_locking(2), Linux 3.15), because their change from write to read is one step, and
 * because they belong to a descriptor and not to a process, whose other descriptors would drop them.
 *
 *     to make     open or create; the write lock: nobody uses it, empty it and size it, then keep a read lock.
 *                 The read lock only: it is in use. Neither: somebody is just doing one of these, try again.
 *     to open     as above, but what nobody uses is a dead process's and is removed
 *     to close    give up the read lock, then ask for the write lock: who gets it was the last, and removes the name.
 *                 The last of several to give up always asks when nobody else holds one.
 *
 * Only who holds the write lock removes a name. One who opened before that and locks afterwards sees that the object
 * has no name any more (st_nlink) and begins anew.
 */
#define _GNU_SOURCE
#include "os_posix.h"
#include "os_posix_section.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

int sr_posix_nameless(sr_error *error)
{
    int made = memfd_create("strongroom", MFD_CLOEXEC);
    return made < 0 ? failed(error, "memfd_create") : made;
}

size_t sr_posix_page_of_file(int file)
{
    struct statfs found;
    return fstatfs(file, &found) == 0 && found.f_type == HUGETLBFS_MAGIC ? (size_t)found.f_bsize : 1;
}

/* ftruncate(2) cuts off what another process has made longer since the size was looked at; fallocate(2) never does. It
 * takes room for one block on the disk. Where there is none, and on file systems without it, it is the other one. */
int sr_posix_lengthen(int file, uint64_t size, sr_error *error)
{
    int outcome;
    do {
        outcome = fallocate(file, 0, (off_t)size - 1, 1);
    } while (outcome != 0 && errno == EINTR);
    if (outcome == 0) {
        return 0;
    }
    return ftruncate(file, (off_t)size) != 0 ? failed(error, "ftruncate(file)") : 0;
}

/* `type` is F_RDLCK, F_WRLCK or F_UNLCK; EAGAIN if another process's lock is in the way. */
static int lock(int section, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(section, F_OFD_SETLK, &whole);
}

/* Only who begins or ends a name has the write lock, for as long as that takes: microseconds, unless it is stopped. */
#define WAIT_NANOSECONDS 10000000

static int has_name(int section)
{
    struct stat found;
    return fstat(section, &found) == 0 && found.st_nlink != 0;
}

/* With the write lock: the object as it is to be. ENOENT, and no name, where it had to exist. */
static int begin(int section, const char *name, uint64_t size, sr_error *error)
{
    if (size == 0) {
        shm_unlink(name);
        errno = ENOENT;
        return failed(error, "shm_open");
    }
    if (ftruncate(section, 0) != 0 || ftruncate(section, (off_t)size) != 0) {
        failed(error, "ftruncate(section)");
        shm_unlink(name);
        return -1;
    }
    return lock(section, F_RDLCK) != 0 ? failed(error, "fcntl(F_OFD_SETLK)") : 0;
}

/* With one of the locks, on an object that still has its name. */
static int take(int section, const char *name, uint64_t *size, int is_alone, sr_error *error)
{
    struct stat found;
    if (is_alone) {
        return begin(section, name, *size, error);
    }
    if (fstat(section, &found) != 0) {
        return failed(error, "fstat(section)");
    }
    *size = (uint64_t)found.st_size;
    return 0;
}

int sr_os_section_named(
    const char *name, sr_protection protection, uint64_t *size, intptr_t *section, int *existed, sr_error *error)
{
    (void)protection;
    for (;;) {
        int found = shm_open(name, O_RDWR | O_CLOEXEC | (*size != 0 ? O_CREAT : 0), S_IRUSR | S_IWUSR);
        if (found < 0) {
            return failed(error, "shm_open");
        }
        if (sr_posix_check_owner(found, error) != 0) {
            close(found);
            return -1;
        }
        int is_alone = lock(found, F_WRLCK) == 0;
        if (!is_alone && (errno != EAGAIN || lock(found, F_RDLCK) != 0)) {
            int is_busy = errno == EAGAIN;
            failed(error, "fcntl(F_OFD_SETLK)");
            close(found);
            if (is_busy) {
                (void)nanosleep(&(struct timespec){.tv_nsec = WAIT_NANOSECONDS}, NULL);
            }
            return is_busy ? 1 : -1;
        }
        if (!has_name(found)) {
            close(found);
            continue;
        }
        if (take(found, name, size, is_alone, error) != 0) {
            close(found);
            return -1;
        }
        *existed = !is_alone;
        *section = found;
        return 0;
    }
}

void sr_os_section_close(intptr_t section, const char *name, int is_maker)
{
    (void)is_maker;
    if (name != NULL) {
        lock((int)section, F_UNLCK);
        if (lock((int)section, F_WRLCK) == 0 && has_name((int)section)) {
            shm_unlink(name);
        }
    }
    close((int)section);
}
