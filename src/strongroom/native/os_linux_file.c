/* Files in memory on Linux: memfd_create(2) with seals, fcntl(2), reached through proc_pid_fd(5).
 *
 * F_SEAL_FUTURE_WRITE (Linux 5.1) forbids write(2), new writable mappings and holes, and lets the one writable mapping be
 * that was there before: ours, through which the content comes and is wiped. F_SEAL_WRITE would forbid that one too. The
 * seals are set before there is any content, and F_SEAL_SEAL makes them final.
 */
#define _GNU_SOURCE
#include "os_posix.h"
#include "sr_os_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; include/uapi/linux/memfd.h */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* include/uapi/linux/fcntl.h */
#endif
#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Not executable where the kernel knows that; with vm.memfd_noexec=2 it makes no others. */
static int make(void)
{
    int made = memfd_create("strongroom-file", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    return made < 0 && errno == EINVAL ? memfd_create("strongroom-file", MFD_CLOEXEC | MFD_ALLOW_SEALING) : made;
}

/* Mapped where there is room and then moved, as secret memory is: a failed MAP_FIXED may leave a hole. */
int sr_os_file_create(void *address, size_t pages_size, size_t size, sr_memory_file *file, sr_error *error)
{
    int made = make();
    if (made < 0) {
        return failed(error, "memfd_create");
    }
    struct stat found;
    const char *call = NULL;
    void *got = MAP_FAILED;
    if (ftruncate(made, (off_t)size) != 0) {
        call = "ftruncate(memfd)";
    } else if (fchmod(made, S_IRUSR) != 0) {
        call = "fchmod(memfd)";
    } else if (fstat(made, &found) != 0) {
        call = "fstat(memfd)";
    } else if ((got = mmap(NULL, pages_size, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0)) == MAP_FAILED) {
        call = "mmap(memfd)";
    } else if (fcntl(made, F_ADD_SEALS, SEALS) != 0) {
        call = "fcntl(F_ADD_SEALS)";
    } else if (mremap(got, pages_size, pages_size, MREMAP_MAYMOVE | MREMAP_FIXED, address) == MAP_FAILED) {
        call = "mremap(memfd)";
    }
    if (call == NULL) {
        file->descriptor = made;
        file->device = (uint64_t)found.st_dev;
        file->number = (uint64_t)found.st_ino;
        return 0;
    }
    int code = errno;
    close(made);
    if (got != MAP_FAILED) {
        munmap(got, pages_size);
        sr_os_fill_hole(address, pages_size); /* a failed move may already have unmapped its target */
    }
    return refused(error, call, code);
}

static int is_it(const sr_memory_file *file, const struct stat *found)
{
    return (uint64_t)found->st_dev == file->device && (uint64_t)found->st_ino == file->number;
}

/* Of this process and not by its number: that is another process's where /proc belongs to another pid namespace. */
int sr_os_file_path(const sr_memory_file *file, char *path, size_t room, sr_error *error)
{
    struct stat found;
    snprintf(path, room, "/proc/self/fd/%d", (int)file->descriptor);
    if (stat(path, &found) != 0 || !is_it(file, &found)) {
        return lacking(error, "open(/proc/self/fd)");
    }
    return 0;
}

void sr_os_file_close(sr_memory_file *file)
{
    struct stat found;
    if (file->descriptor >= 0 && fstat((int)file->descriptor, &found) == 0 && is_it(file, &found)) {
        close((int)file->descriptor);
    }
    file->descriptor = -1;
}
