/* Copying within a process through a pipe: write(2) and read(2) check each page and answer EFAULT. */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_pipe.h"
#include "os_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* At most this much at a time, or a write would wait for a reader that is this very thread. POSIX guarantees 512
 * (PIPE_BUF); every system here holds a page or more. */
#define STEP_SIZE ((size_t)4096)

static int copy_step(const int ends[2], void *to, const void *from, size_t size, sr_error *error)
{
    ssize_t written;
    do {
        written = write(ends[1], from, size);
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        return failed(error, "write");
    }
    if ((size_t)written != size) { /* the next byte is not readable */
        errno = EFAULT;
        return failed(error, "write");
    }
    for (size_t done = 0; done < size;) {
        ssize_t got = read(ends[0], (char *)to + done, size - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return failed(error, "read");
        }
        done += (size_t)got;
    }
    return 0;
}

int sr_pipe_copy(void *to, const void *from, size_t size, sr_error *error)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return failed(error, "pipe");
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    int result = 0;
    for (size_t done = 0; result == 0 && done < size;) {
        size_t step = size - done < STEP_SIZE ? size - done : STEP_SIZE;
        result = copy_step(ends, (char *)to + done, (const char *)from + done, step, error);
        done += step;
    }
    close(ends[0]);
    close(ends[1]);
    return result;
}
