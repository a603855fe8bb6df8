/* A file that only this process has, on every Unix: open(2) with O_TMPFILE (Linux 3.11), else a name that is gone at once.
 *
 * The descriptor is closed before anybody hears of the file: another process could take an open one (pidfd_getfd(2)). A child
 * that inherited it closes it. What writes the pages back needs none: msync(2), and munmap(2) at the end.
 */
#define _GNU_SOURCE /* O_TMPFILE, mremap */
#include "os_posix.h"
#include "sr_os_backing.h"
#include "sr_os_mapping.h"
#include "sr_os_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OWNER_ONLY (S_IRUSR | S_IWUSR)
#define NAME_ROOM 40

/* A file that had a name, for as long as it takes to remove it. */
static int make_named(int directory, int *made, sr_error *error)
{
    uint64_t number;
    char name[NAME_ROOM];
    if (sr_os_random(&number, sizeof number, error) != 0) {
        return -1;
    }
    snprintf(name, sizeof name, ".strongroom-%016llx", (unsigned long long)number);
    *made = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, OWNER_ONLY);
    if (*made < 0) {
        return failed(error, "open(private file)");
    }
    if (unlinkat(directory, name, 0) != 0) {
        int code = errno;
        close(*made);
        return refused(error, "unlink(private file)", code); /* empty, and it says so by its name */
    }
    return 0;
}

static int make(const char *path, int *made, sr_error *error)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;
    if (directory < 0) {
        return failed(error, "open(directory)");
    }
#ifdef O_TMPFILE
    *made = openat(directory, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, OWNER_ONLY);
    if (*made >= 0) {
        close(directory);
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) {
        int code = errno;
        close(directory);
        return refused(error, "open(O_TMPFILE)", code);
    }
#endif
    result = make_named(directory, made, error);
    close(directory);
    return result;
}

/* Nothing is written of what cannot fit: others on that disk need what is left, for however short a time. File systems that
 * do not say how large they are (some servers' are not) say 0 blocks. */
static int has_room(int file, size_t size)
{
    struct statvfs told;
    return fstatvfs(file, &told) != 0 || told.f_blocks == 0 || told.f_frsize == 0 || size / told.f_frsize <= told.f_bfree;
}

/* Written and not only reserved: not every file system can reserve, and a store into a hole of a full one is a fault. */
static int fill(int file, size_t size, sr_error *error)
{
    static unsigned char zeros[65536]; /* never written; const, it would lie in the program's file */
    size_t done = 0;
    if (!has_room(file, size)) {
        return refused(error, "fstatvfs(private file)", ENOSPC);
    }
    while (done < size) {
        size_t count = size - done < sizeof zeros ? size - done : sizeof zeros;
        ssize_t written = pwrite(file, zeros, count, (off_t)done);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return refused(error, "pwrite(private file)", written < 0 ? errno : ENOSPC);
        }
        done += (size_t)written;
    }
    return 0;
}

/* Where the system can move pages they are mapped where there is room first: a failed MAP_FIXED may leave a hole. */
static int show(int file, void *address, size_t size, sr_error *error)
{
#ifdef MREMAP_FIXED
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (got == MAP_FAILED) {
        return failed(error, "mmap(private file)");
    }
    if (mremap(got, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) == MAP_FAILED) {
        int code = errno;
        munmap(got, size);
        sr_os_fill_hole(address, size);
        return refused(error, "mremap(private file)", code);
    }
#else
    if (mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) {
        int code = errno;
        sr_os_fill_hole(address, size);
        return refused(error, "mmap(private file)", code);
    }
#endif
    return 0;
}

/* The files that are being made now, which a child would inherit. Guarded by SR_MUTEX_FILES. */
typedef struct making {
    struct making *next;
    int file;
    struct stat found; /* by which it is known from what may have its number later */
} making;
static making *makings;

static int begin_file(making *one, const char *directory, sr_error *error)
{
    sr_os_enter(SR_MUTEX_FILES);
    int result = make(directory, &one->file, error);
    if (result == 0 && fstat(one->file, &one->found) != 0) {
        result = failed(error, "fstat(private file)");
        close(one->file);
    }
    if (result == 0) {
        one->next = makings;
        makings = one;
    }
    sr_os_leave(SR_MUTEX_FILES);
    return result;
}

/* The last page is mapped whole, whatever of it the file has. Not to be inherited from the first moment on; where the
 * system refuses that, whoever asked for the pages is told when they do so again. */
static int end_file(making *one, void *address, size_t size, int is_wanted, sr_error *error)
{
    sr_error ignored;
    making **place = &makings;
    sr_os_enter(SR_MUTEX_FILES);
    int result = is_wanted ? show(one->file, address, size, error) : -1;
    if (result == 0) {
        (void)sr_os_advise_not_in_child(address, size, &ignored);
    }
    while (*place != one) {
        place = &(*place)->next;
    }
    *place = one->next;
    close(one->file);
    sr_os_leave(SR_MUTEX_FILES);
    return result;
}

/* Their descriptions lie on the stacks of threads that are not here: the memory is. A child that no handler saw may have
 * closed them, and opened others, before it comes here. */
void sr_os_private_forget(void)
{
    for (; makings != NULL; makings = makings->next) {
        struct stat found;
        if (fstat(makings->file, &found) == 0 && found.st_dev == makings->found.st_dev
            && found.st_ino == makings->found.st_ino) {
            close(makings->file);
        }
    }
}

int sr_os_private_pages(const char *directory, size_t size, size_t tail, sr_private_pages *made, sr_error *error)
{
    size_t page = sr_os_page_size(), reserved_size = size + 2 * page;
    void *reservation = NULL;
    making one;
    sr_error ignored; /* the first failure is the one to report */
    if (sr_os_reserve(reserved_size, SR_PLACE_ANYWHERE, &reservation, error) != 0) {
        return -1;
    }
    *made = (sr_private_pages){reservation, reserved_size, (unsigned char *)reservation + page, -1};
    if (begin_file(&one, directory, error) != 0
        || end_file(&one, made->pages, size, fill(one.file, size - tail, error) == 0, error) != 0) {
        (void)sr_os_release(reservation, reserved_size, &ignored);
        return -1;
    }
    return 0;
}

int sr_os_private_flush(intptr_t file, void *address, size_t size, sr_error *error)
{
    (void)file;
    return sr_os_flush_view(address, size, error);
}

int sr_os_private_release(intptr_t file, void *reservation, size_t reserved_size, sr_error *error)
{
    (void)file;
    return sr_os_release(reservation, reserved_size, error);
}

int sr_os_drops_tails(const char *directory, size_t tail, sr_error *error)
{
    size_t page = sr_os_page_size();
    sr_private_pages trial;
    sr_error ignored;
    if (sr_os_private_pages(directory, page, tail, &trial, error) != 0) {
        return -1;
    }
    volatile unsigned char *last = trial.pages + page - 1;
    int result = sr_os_fetch(trial.pages, page, 1, error);
    if (result == 0) {
        *last = 1;
        result = sr_os_flush_view(trial.pages, page, error);
    }
    if (result == 0 && *last != 0) {
        result = lacking(error, "msync(partial page)");
    }
    (void)sr_os_release(trial.reservation, trial.reserved_size, &ignored);
    return result;
}
