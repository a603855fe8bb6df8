/* Sections and views as every Unix has them: a descriptor, and mmap of it.
 *
 * A section that is smaller than its file is no smaller here: the layer above keeps its size. A file that somebody
 * truncates takes the pages of its views with it, and touching one is a fault (SIGBUS); sr_os_copy answers instead.
 */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "os_posix_section.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int sr_posix_check_owner(int section, sr_error *error)
{
    struct stat found;
    if (fstat(section, &found) != 0) {
        return failed(error, "fstat(section)");
    }
    if (found.st_uid != geteuid() || (found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        errno = EACCES;
        return failed(error, "shm_open");
    }
    return 0;
}

static int is_private(sr_protection protection)
{
    return protection == SR_WRITE_COPY || protection == SR_EXECUTE_WRITE_COPY;
}

static int is_shared_writing(sr_protection protection)
{
    return protection == SR_READ_WRITE || protection == SR_EXECUTE_READ_WRITE;
}

static int native_protection(sr_protection protection)
{
    switch ((int)protection) {
    case SR_READ_ONLY: return PROT_READ;
    case SR_READ_WRITE:
    case SR_WRITE_COPY: return PROT_READ | PROT_WRITE;
    case SR_EXECUTE:
    case SR_EXECUTE_READ: return PROT_READ | PROT_EXEC;
    case SR_EXECUTE_READ_WRITE:
    case SR_EXECUTE_WRITE_COPY: return PROT_READ | PROT_WRITE | PROT_EXEC;
    }
    assert(!"a protection that no view has");
    return PROT_NONE;
}

/* Whether views of a file can be like that, and how large it is. They are made with a descriptor that can be read; only
 * those that write through need one that can be written. With `*size` 0 it becomes the file's. */
static int check_file(int file, sr_protection protection, uint64_t *size, uint64_t *length, sr_error *error)
{
    struct stat found;
    int how = fcntl(file, F_GETFL);
    if (how < 0 || fstat(file, &found) != 0) {
        return failed(error, "fstat(file)");
    }
    int is_readable = (how & O_ACCMODE) != O_WRONLY;
    int is_writable = (how & O_ACCMODE) == O_RDWR;
    if (!is_readable || (is_shared_writing(protection) && !is_writable)) {
        errno = EACCES;
        return failed(error, "mmap(file)");
    }
    if (!S_ISREG(found.st_mode)) {
        errno = ENODEV;
        return failed(error, "mmap(file)");
    }
    *length = (uint64_t)found.st_size;
    if (*size == 0) {
        *size = *length;
    }
    if (*size > *length && !is_shared_writing(protection)) {
        errno = EFBIG;
        return failed(error, "mmap(file)");
    }
    return 0;
}

int sr_os_section_create(intptr_t file, sr_protection protection, uint64_t *size, intptr_t *section, sr_error *error)
{
    int made;
    if (file >= 0) {
        made = fcntl((int)file, F_DUPFD_CLOEXEC, 0);
        if (made < 0) {
            return failed(error, "fcntl(F_DUPFD_CLOEXEC)");
        }
        uint64_t length;
        if (check_file(made, protection, size, &length, error) != 0
            || (*size > length && sr_posix_lengthen(made, *size, error) != 0)) { /* last: what has grown is not refused */
            close(made);
            return -1;
        }
    } else {
        made = sr_posix_nameless(error);
        if (made < 0) {
            return -1;
        }
        if (ftruncate(made, (off_t)*size) != 0) {
            failed(error, "ftruncate(section)");
            close(made);
            return -1;
        }
    }
    *section = made;
    return 0;
}

static int map_pages(int file, uint64_t offset, uint64_t size, sr_protection protection, void **address, sr_error *error)
{
    if (size % sr_posix_page_of_file(file) != 0) {
        errno = EINVAL;
        return failed(error, "mmap(section)");
    }
    int flags = is_private(protection) ? MAP_PRIVATE : MAP_SHARED;
    void *got = mmap(NULL, (size_t)size, native_protection(protection), flags, file, (off_t)offset);
    if (got == MAP_FAILED) {
        return failed(error, "mmap(section)");
    }
    *address = got;
    return 0;
}

/* The range of a view, within what there is. */
static int fit(uint64_t offset, uint64_t length, size_t *size, sr_error *error)
{
    uint64_t wanted = *size != 0 ? *size : length - offset;
    if (offset >= length || wanted > length - offset || wanted > SIZE_MAX / 2) {
        errno = EOVERFLOW;
        return failed(error, "mmap(section)");
    }
    *size = (size_t)wanted;
    return 0;
}

int sr_os_map_view(
    intptr_t section, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error)
{
    struct stat found;
    if (fstat((int)section, &found) != 0) {
        return failed(error, "fstat(section)");
    }
    if (fit(offset, (uint64_t)found.st_size, size, error) != 0) {
        return -1;
    }
    return map_pages((int)section, offset, *size, protection, address, error);
}

/* Pages may be mapped before a file has them. So a file grows last, and nobody has to make it shorter again because the
 * mapping was refused: another process might have begun to use it meanwhile. */
int sr_os_map_file(
    intptr_t file, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error)
{
    uint64_t end = *size != 0 ? offset + *size : 0, length;
    if (check_file((int)file, protection, &end, &length, error) != 0 || fit(offset, end, size, error) != 0
        || map_pages((int)file, offset, *size, protection, address, error) != 0) {
        return -1;
    }
    if (end > length && sr_posix_lengthen((int)file, end, error) != 0) {
        munmap(*address, *size);
        return -1;
    }
    return 0;
}

int sr_os_unmap_view(void *address, size_t size, sr_error *error)
{
    return munmap(address, size) != 0 ? failed(error, "munmap") : 0;
}

int sr_os_flush_view(void *address, size_t size, sr_error *error)
{
    return msync(address, size, MS_SYNC) != 0 ? failed(error, "msync") : 0;
}

/* ---- no Unix encrypts a process's memory for it ---- */

int sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *error)
{
    (void)address;
    (void)size;
    (void)flags;
    return lacking(error, "CryptProtectMemory");
}

int sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *error)
{
    (void)address;
    (void)size;
    (void)flags;
    return lacking(error, "CryptUnprotectMemory");
}
