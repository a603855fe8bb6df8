/* How many pages are in memory, as mincore(2) counts them: on Linux, macOS, FreeBSD and NetBSD. OpenBSD has none since 6.6. */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#define _NETBSD_SOURCE
#include "os_posix_paging.h"

#include <sys/types.h>

#include <sys/mman.h>

/* Pages asked about at a time: on the stack. */
enum { ANSWERS = 512 };

int sr_os_resident(void *address, size_t size, size_t *pages, sr_error *error)
{
    unsigned char answers[ANSWERS];
    size_t page = sr_os_page_size();
    *pages = 0;
    for (size_t done = 0; done < size;) {
        size_t count = (size - done) / page < ANSWERS ? (size - done) / page : ANSWERS;
        /* char or unsigned char: each system declares another one */
        if (mincore((char *)address + done, count * page, (void *)answers) != 0) {
            return failed(error, "mincore");
        }
        for (size_t i = 0; i < count; i++) {
            *pages += answers[i] & 1; /* MINCORE_INCORE, where it has a name */
        }
        done += count * page;
    }
    return 0;
}
