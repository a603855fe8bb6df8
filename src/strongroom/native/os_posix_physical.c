/* Stores that stay mapped and locked, and the windows of every store, on the Unixes.
 *
 * A window of a locked store costs no lock budget: its pages are locked through the store's own mapping. Its descriptor
 * stays open, for windows are made from it; so each use makes sure that it still is what it was, for whoever closes all
 * descriptors of a process (daemons do) closes this one too, and its number becomes another file's. On macOS and the
 * BSDs compiled on every change, not yet run.
 */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "os_posix_physical.h"
#include "os_posix_section.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0 if the descriptor is still the store's. */
static int check_file(const sr_physical *store, sr_error *error)
{
    struct stat found;
    if (fstat((int)store->file, &found) != 0) {
        return failed(error, "fstat(store)");
    }
    int is_it = (uint64_t)found.st_dev == store->device && (uint64_t)found.st_ino == store->number;
    return is_it ? 0 : refused(error, "fstat(store)", EBADF);
}

static void close_file(sr_physical *store)
{
    sr_error ignored;
    if (store->file >= 0 && check_file(store, &ignored) == 0) {
        close((int)store->file);
    }
    store->file = -1;
}

/* Neither dumped nor inherited: an error, but for what this system cannot do at all. */
static int keep_in(void *address, size_t size, sr_error *error)
{
    if (sr_os_advise_not_in_child(address, size, error) != 0 && error->code != SR_UNSUPPORTED) {
        return -1;
    }
    return sr_os_advise_no_dump(address, size, error) != 0 && error->code != SR_UNSUPPORTED ? -1 : 0;
}

static int make_locked(sr_physical *store, sr_error *error)
{
    struct stat found;
    size_t size = store->page_count * sr_os_page_size();
    int file = sr_posix_nameless(error);
    if (file < 0) {
        return -1;
    }
    int outcome = 0;
    void *got = MAP_FAILED;
    if (ftruncate(file, (off_t)size) != 0) {
        outcome = failed(error, "ftruncate(store)");
    } else if (fstat(file, &found) != 0) {
        outcome = failed(error, "fstat(store)");
    } else if ((got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED) {
        outcome = failed(error, "mmap(store)");
    } else if (keep_in(got, size, error) != 0 || sr_os_lock(got, size, error) != 0) {
        outcome = -1;
    }
    if (outcome != 0) {
        if (got != MAP_FAILED) {
            munmap(got, size); /* with what a failed lock has locked */
        }
        close(file);
        return -1;
    }
    sr_error ignored; /* large pages of shared memory are off, or asked for by whoever mounts it */
    (void)sr_os_advise_no_huge(got, size, &ignored);
    store->address = got;
    store->file = file;
    store->device = (uint64_t)found.st_dev;
    store->number = (uint64_t)found.st_ino;
    return 0;
}

int sr_os_store_make(sr_physical *store, sr_error *error)
{
    store->address = NULL;
    store->file = -1;
    switch (store->kind) {
    case SR_STORE_SECRETMEM: return sr_posix_secret_make(store, error);
    case SR_STORE_LOCKED: return make_locked(store, error);
    default: return lacking(error, "AllocateUserPhysicalPages");
    }
}

/* The kernel itself overwrites secret memory with zeros when it takes it back. */
int sr_os_store_end(sr_physical *store, sr_error *error)
{
    size_t size = store->page_count * sr_os_page_size();
    if (store->kind == SR_STORE_LOCKED) {
        sr_os_wipe(store->address, size);
    }
    if (munmap(store->address, size) != 0) {
        return failed(error, "munmap");
    }
    close_file(store);
    store->address = NULL;
    return 0;
}

void sr_os_store_forget(sr_physical *store)
{
    if (store->address == NULL) {
        return;
    }
    sr_os_fill_hole(store->address, store->page_count * sr_os_page_size());
    close_file(store); /* a child could map it */
}

int sr_posix_unreplaced(void *address, size_t size)
{
    if (msync(address, size, MS_ASYNC) == 0 || errno != ENOMEM) { /* which does nothing, and tells of holes */
        return -1;
    }
    sr_os_fill_hole(address, size);
    return 1;
}

int sr_os_window_reserve(size_t size, void **address, sr_error *error)
{
    return sr_os_reserve(size, SR_PLACE_ANYWHERE, address, error);
}

int sr_os_store_is_exclusive(void)
{
    return 0;
}

int sr_os_store_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error)
{
    size_t page = sr_os_page_size(), size = count * page;
    sr_error ignored;
    if (store->kind == SR_STORE_SECRETMEM) {
        return sr_posix_secret_show(store, first, count, address, error);
    }
    if (check_file(store, error) != 0) {
        return -1;
    }
    off_t from = (off_t)(first * page);
    if (mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)store->file, from) == MAP_FAILED) {
        (void)failed(error, "mmap(store)");
        return sr_posix_unreplaced(address, size);
    }
    if (keep_in(address, size, error) != 0) {
        (void)sr_os_store_hide(address, size, &ignored);
        return 1;
    }
    return 0;
}

int sr_os_store_hide(void *address, size_t size, sr_error *error)
{
    if (sr_os_decommit(address, size, error) == 0) {
        return 0;
    }
    return sr_posix_unreplaced(address, size) > 0 ? 0 : -1;
}
