/* Pages that Linux may drop, and what it does for a file's pages. */
#define _GNU_SOURCE
#include "os_linux_advice.h"
#include "os_posix.h"
#include "sr_os_backing.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* Linux 6.11; a kind of mapping beside MAP_SHARED and MAP_PRIVATE: include/uapi/linux/mman.h */
#endif

/* Older kernels know no such kind of mapping: EINVAL. Mapped where there is room and then moved, as secret memory is. */
int sr_os_droppable(void *address, size_t size, sr_error *error)
{
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) {
        return refused(error, "mmap(MAP_DROPPABLE)", errno == EINVAL ? SR_UNSUPPORTED : errno);
    }
    if (mremap(got, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) == MAP_FAILED) {
        int code = errno;
        munmap(got, size);
        sr_os_fill_hole(address, size);
        return refused(error, "mremap(MAP_DROPPABLE)", code);
    }
    return 0;
}

int sr_os_filesystem(const char *directory, sr_filesystem *found, sr_error *error)
{
    (void)directory;
    (void)found;
    return lacking(error, "statfs(directory)");
}

/* madvise(2): frees the file's blocks too, where its file system can punch holes. */
int sr_os_punch(void *address, size_t size, sr_error *error)
{
    if (madvise(address, size, MADV_REMOVE) == 0) {
        return 0;
    }
    return refused(error, "madvise(MADV_REMOVE)", errno == EOPNOTSUPP || errno == EINVAL ? SR_UNSUPPORTED : errno);
}

/* madvise(2): EFAULT for what would be SIGBUS. EINVAL: the kernel does not know it. */
int sr_os_fetch(void *address, size_t size, int is_written, sr_error *error)
{
    int result = advised(address, size, is_written ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    if (result == 0 || errno == EINVAL) {
        return 0;
    }
    return failed(error, is_written ? "madvise(MADV_POPULATE_WRITE)" : "madvise(MADV_POPULATE_READ)");
}

/* mincore(2): of a file's page, whether it is in the page cache; the file is ours, so it says the truth (Linux 5.2). */
int sr_os_is_present(void *page)
{
    unsigned char found = 1;
    return mincore(page, 1, &found) != 0 || (found & 1) != 0;
}
