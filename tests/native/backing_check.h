/* What the tests of blocks that may vanish, and of a file's, share: a directory on a disk, blocks, and a look at the calls
 * that the native sources make (refusing.h; test_native_c.py). */
#ifndef SR_BACKING_CHECK_H
#define SR_BACKING_CHECK_H

#define _GNU_SOURCE
#include "backing.h"
#include "check.h"
#include "ending.h"
#include "generation.h"
#include "refusing.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define NO_LOCK (1u << SR_STEP_LOCK)

enum { NOBODY = 65534, ALL_REQUIRED = (1 << SR_STEP_NO_DUMP) | (1 << SR_STEP_NOT_IN_CHILD) };

enum { PATIENT_STEPS = 60000 }; /* of a millisecond: until another thread was let run, on whatever machine */

static size_t page;
static sr_error error;
static char directory[512];      /* on a disk where there is one; ours, and empty between the checks */
static int has_disk;             /* else the directory is in memory */
static const char *no_partial;   /* why there are no partial pages here, or NULL */
static const char *no_droppable; /* the same of droppable ones */

/* ---- the calls ---- */

REFUSABLE(int, unlinkat, (int parent, const char *name, int flags), (parent, name, flags))

static void (*when_filling)(int file);  /* called before each pwrite of the native sources */
static void (*when_syncing)(const void *address, size_t size);
static int no_tmpfile;                  /* errno of an openat with O_TMPFILE, 0 for none */
static size_t pwrite_limit;             /* bytes that one pwrite takes at most, 0 for all */
static int witness = -1;                /* another descriptor of the file that was made last, if wanted */
static int wants_witness;
static const char *remove_while_open;   /* a directory that goes away before the next openat, or NULL */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    return is_refused("open") ? -1 : __real_open(path, flags);
}

int __real_openat(int parent, const char *path, int flags, ...);
int __wrap_openat(int parent, const char *path, int flags, ...);
int __wrap_openat(int parent, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (is_refused("openat")) {
        return -1;
    }
    if (no_tmpfile != 0 && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = no_tmpfile;
        return -1;
    }
    if (remove_while_open != NULL) {
        rmdir(remove_while_open);
        remove_while_open = NULL;
    }
    int file = __real_openat(parent, path, flags, mode);
    if (wants_witness && file >= 0) {
        close(witness); /* of a file that was only tried */
        witness = fcntl(file, F_DUPFD_CLOEXEC, 0);
    }
    return file;
}

ssize_t __real_pwrite(int file, const void *from, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void *from, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void *from, size_t size, off_t offset)
{
    if (is_refused("pwrite")) {
        return refuse_code == 0 ? 0 : -1;
    }
    if (when_filling != NULL) {
        when_filling(file);
    }
    return __real_pwrite(file, from, pwrite_limit != 0 && size > pwrite_limit ? pwrite_limit : size, offset);
}

int __real_msync(void *address, size_t size, int flags);
int __wrap_msync(void *address, size_t size, int flags);
int __wrap_msync(void *address, size_t size, int flags)
{
    if (is_refused("msync")) {
        return -1;
    }
    if (when_syncing != NULL) {
        when_syncing(address, size);
    }
    return __real_msync(address, size, flags);
}

/* ---- blocks ---- */

UNUSED static const char *name_of(sr_backing backing)
{
    static const char *const names[] = {"locked", "secretmem", "droppable", "partial", "file"};
    return names[backing];
}

/* One that is not locked, closed as it comes. */
UNUSED static int closed(sr_block *block, size_t size, sr_backing backing)
{
    sr_making making = {backing, ALL_REQUIRED, NO_LOCK, directory};
    if (sr_block_create_as(block, size, &making, &error) != 0) {
        printf("      %s: %s, %lld\n", name_of(backing), error.call, (long long)error.code);
        return 0;
    }
    return 1;
}

UNUSED static int made(sr_block *block, size_t size, sr_backing backing)
{
    return closed(block, size, backing) && sr_block_protect(block, SR_READ_WRITE, &error) == 0;
}

/* The same, and another descriptor of its file, which nobody but a test has. */
UNUSED static int made_with_witness(sr_block *block, size_t size, sr_backing backing)
{
    wants_witness = 1;
    int result = made(block, size, backing);
    wants_witness = 0;
    return result && witness >= 0;
}

UNUSED static void close_witness(void)
{
    close(witness);
    witness = -1;
}

/* What can vanish may do so at any moment, and does so soon where disks or memory are busy: then it is lost, and else as it
 * should be. */
UNUSED static int kept(const sr_block *block, int as_it_should_be)
{
    sr_condition found = sr_block_condition(block);
    return found == SR_LOST ? sr_can_vanish(block->backing) : found == SR_INTACT && as_it_should_be;
}

/* Begun anew, as whoever uses one does it. */
UNUSED static int renewed(sr_block *block)
{
    if (sr_block_flush(block, &error) != 0 || sr_block_protect(block, SR_READ_WRITE, &error) != 0
        || sr_block_fetch(block, &error) != 0) {
        return 0;
    }
    sr_block_renew(block);
    return 1;
}

UNUSED static int gone(sr_block *block)
{
    return sr_block_destroy(block, &error) == 0 && block->reservation == NULL && !is_mapped(block->pages);
}

/* Whether this backing can be had here; says so if not. */
UNUSED static int can_have(sr_backing backing, const char *behaviour)
{
    const char *reason = backing == SR_BACKING_DROPPABLE ? no_droppable : backing == SR_BACKING_PARTIAL ? no_partial : NULL;
    if (reason != NULL) {
        skip(behaviour, reason);
    }
    return reason == NULL;
}

/* ---- the directory ---- */

UNUSED static int is_in_memory(const char *path)
{
    struct statfs found;
    return statfs(path, &found) == 0 && (found.f_type == TMPFS_MAGIC || found.f_type == RAMFS_MAGIC);
}

UNUSED static int count_entries(const char *path)
{
    int count = -2; /* . and .. */
    DIR *opened = opendir(path);
    while (opened != NULL && readdir(opened) != NULL) {
        count++;
    }
    if (opened != NULL) {
        closedir(opened);
    }
    return count;
}

static int take_directory(const char *parent)
{
    int length = snprintf(directory, sizeof directory, "%s/strongroom-XXXXXX", parent != NULL ? parent : "");
    return parent != NULL && length < (int)sizeof directory && mkdtemp(directory) != NULL;
}

UNUSED static void begin(void)
{
    const char *const parents[] = {getenv("TMPDIR"), "/tmp", "/var/tmp"};
    sr_block block;
    page = sr_os_page_size();
    for (int i = 0; i < 6 && directory[0] == 0; i++) { /* disks first */
        const char *parent = parents[i % 3];
        if ((i < 3 && (parent == NULL || is_in_memory(parent))) || !take_directory(parent)) {
            directory[0] = 0;
        }
    }
    has_disk = !is_in_memory(directory);
    CHECK("blocks begin, in a directory of their own", directory[0] != 0 && sr_blocks_begin(&error) == 0);
    if (sr_block_create_as(&block, 1, &(sr_making){SR_BACKING_DROPPABLE, 0, NO_LOCK, NULL}, &error) == 0) {
        CHECK("a first droppable block", gone(&block));
    } else {
        CHECK("without droppable pages that is the error", strcmp(error.call, "mmap(MAP_DROPPABLE)") == 0);
        no_droppable = "needs Linux 6.11, and no tool under it that knows less";
    }
    if (sr_block_create_as(&block, 1, &(sr_making){SR_BACKING_PARTIAL, 0, NO_LOCK, directory}, &error) == 0) {
        CHECK("a first partial block", has_disk && gone(&block));
    } else {
        CHECK("without partial pages that is the error", strcmp(error.call, "msync(partial page)") == 0
                                                             && error.code == SR_UNSUPPORTED);
        no_partial = "the file system of TMPDIR, /tmp and /var/tmp keeps the rest of a page: set TMPDIR to a disk's";
    }
}

UNUSED static int end(void)
{
    CHECK("the directory is empty at the end", count_entries(directory) == 0 && rmdir(directory) == 0);
    return check_result();
}

#endif
