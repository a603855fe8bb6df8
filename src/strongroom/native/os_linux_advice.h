/* Advice to Linux that it may be short of something for just now. For os_linux*.c alone. */
#ifndef OS_LINUX_ADVICE_H
#define OS_LINUX_ADVICE_H

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* "Try again" is heeded this often: who waits for the region or the block would wait for good. */
enum { MOST_TRIES = 100 };

/* madvise(2), with its own result and errno: EAGAIN only where none of the tries was of use. */
static inline int advised(void *address, size_t size, int advice)
{
    int result, tries = 0;
    do {
        result = madvise(address, size, advice);
    } while (result != 0 && errno == EAGAIN && ++tries < MOST_TRIES);
    return result;
}

#endif
