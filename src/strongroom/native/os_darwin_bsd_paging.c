/* Pages that leave memory and come back, as far as macOS and the BSDs say the same. Compiled on every CI run; not yet run.
 *
 * MADV_DONTNEED makes pages the first to go when memory is wanted, and keeps what they hold; on Linux it destroys that, so
 * this is no file of Linux'. That they have gone nobody promises, and sr_os_resident() says whether they have. MADV_FREE
 * cannot be taken back: there is no call that would write to a page without changing it.
 *
 * Source: madvise(2) of macOS, FreeBSD 14, NetBSD 10 and OpenBSD 7.
 */
#define _DARWIN_C_SOURCE
#define _NETBSD_SOURCE
#include "os_posix_paging.h"

#include "sr_os_backing.h"

#include <sys/types.h>

#include <sys/mman.h>

int sr_os_page_out(void *address, size_t size, sr_error *error)
{
    return madvise(address, size, MADV_DONTNEED) != 0 ? failed(error, "madvise(MADV_DONTNEED)") : 0;
}

int sr_os_prefetch(void *address, size_t size, int is_waited, sr_error *error)
{
    if (madvise(address, size, MADV_WILLNEED) != 0) {
        return failed(error, "madvise(MADV_WILLNEED)");
    }
    char byte = 0; /* a touch that is no fault when the page is not there any more */
    int outcome = 0;
    for (size_t done = 0; is_waited && outcome == 0 && done < size; done += sr_os_page_size()) {
        outcome = sr_os_copy(&byte, (char *)address + done, 1, error);
    }
    sr_os_wipe(&byte, 1);
    return outcome;
}

int sr_os_reset(void *address, size_t size, sr_error *error)
{
    return madvise(address, size, MADV_FREE) != 0 ? failed(error, "madvise(MADV_FREE)") : 0;
}

int sr_os_undo_reset(void *address, size_t size, int *is_whole, sr_error *error)
{
    (void)address;
    (void)size;
    (void)is_whole;
    return lacking(error, "madvise(MADV_POPULATE_WRITE)");
}
