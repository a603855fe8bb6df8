/* Random bytes on macOS and the BSDs: getentropy, the kernel's own output.
 *
 * Not arc4random_buf(3), which Apple's page recommends for speed: it answers from a generator whose state lies
 * in this process's ordinary memory, where a copy of it tells every key drawn from it later. What is drawn here
 * is keys, prefixes and canaries: rare and short, so one system call for each 256 bytes does not matter.
 */
#define _DARWIN_C_SOURCE
#include "sr_os.h"

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
            error->call = "getentropy";
            error->code = errno;
            return -1;
        }
        next += part;
        size -= part;
    }
    return 0;
}
