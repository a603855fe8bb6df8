/* What macOS and the BSDs share: random bytes, copying by pipe, and what none of them has.
 *
 * getentropy is the kernel's own output. Not arc4random_buf(3), which Apple's page recommends for speed: it answers from a generator whose state lies
 * in this process's ordinary memory, where a copy of it tells every key drawn from it later. What is drawn here
 * is keys, prefixes and canaries: rare and short, so one system call for each 256 bytes does not matter.
 */
#define _DARWIN_C_SOURCE
#include "os_pipe.h"
#include "os_posix.h"
#include "sr_os.h"
#include "sr_os_backing.h"

#include <errno.h>
#include <unistd.h>
#if __has_include(<sys/random.h>)
#include <sys/random.h> /* macOS 10.12 */
#endif

/* More is refused (EIO): getentropy(2) of macOS and OpenBSD, POSIX.1-2024. */
#define ENTROPY_MAX_SIZE 256

int sr_os_random(void *buffer, size_t size, sr_error *error)
{
    unsigned char *next = buffer;
    while (size != 0) {
        size_t part = size < ENTROPY_MAX_SIZE ? size : ENTROPY_MAX_SIZE;
        if (getentropy(next, part) != 0) {
            return failed(error, "getentropy");
        }
        next += part;
        size -= part;
    }
    return 0;
}

int sr_os_copy(void *to, const void *from, size_t size, sr_error *error)
{
    return sr_pipe_copy(to, from, size, error);
}

/* macOS has superpages for Intel only, FreeBSD promotes by itself: none is a pool that can be asked. */
size_t sr_os_large_page_size(void)
{
    return 0;
}

int sr_os_reserve_large(size_t size, sr_protection protection, void **address, sr_error *error)
{
    (void)size;
    (void)protection;
    (void)address;
    return lacking(error, "mmap(large pages)");
}

/* Locks nest on macOS, NetBSD and OpenBSD (mlock(2) there). On FreeBSD nothing tells whose a lock is: not known, so
 * never claimed. */
int sr_os_is_locked(void *address, size_t size)
{
    (void)address;
    (void)size;
    return 0;
}

/* madvise(MADV_WILLNEED) says yes whatever becomes of it. */
int sr_os_fetch(void *address, size_t size, int is_written, sr_error *error)
{
    (void)address;
    (void)size;
    (void)is_written;
    (void)error;
    return 0;
}

int sr_os_is_present(void *page)
{
    (void)page;
    return 1;
}
