/* Stores of secret memory: memfd_secret(2), Linux 5.14.
 *
 * The descriptor is closed at once: an open one could be taken by another process with pidfd_getfd(2). Windows are made
 * from the mapping itself: mremap(2) of a shared mapping with an old size of 0 makes a second one of the same pages, and
 * gives it the flags of the first: locked, not dumped, not in a child (measured on 6.18). Each is charged to
 * RLIMIT_MEMLOCK as the store is.
 */
#define _GNU_SOURCE
#include "os_posix.h"
#include "os_posix_physical.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture that has it */
#endif

int sr_posix_secret_make(sr_physical *store, sr_error *error)
{
    size_t size = store->page_count * sr_os_page_size();
    long fd = syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0) {
        return failed(error, "memfd_secret");
    }
    int outcome = 0;
    void *got = MAP_FAILED;
    if (ftruncate((int)fd, (off_t)size) != 0) {
        outcome = failed(error, "ftruncate(secretmem)");
    } else if ((got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0)) == MAP_FAILED) {
        outcome = failed(error, "mmap(secretmem)");
    }
    close((int)fd);
    if (outcome == 0 && sr_os_advise_not_in_child(got, size, error) != 0) {
        munmap(got, size);
        outcome = -1;
    }
    if (outcome == 0) {
        store->address = got; /* the kernel leaves secret memory out of dumps itself */
    }
    return outcome;
}

int sr_posix_secret_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error)
{
    size_t page = sr_os_page_size();
    char *from = store->address + first * page;
    if (mremap(from, 0, count * page, MREMAP_MAYMOVE | MREMAP_FIXED, address) != MAP_FAILED) {
        return 0;
    }
    (void)failed(error, "mremap(secretmem)");
    return sr_posix_unreplaced(address, count * page);
}
