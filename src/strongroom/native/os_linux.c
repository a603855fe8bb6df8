/* The part of the OS contract that is Linux's own: advice, secret memory, randomness, dumps.
 *
 * Each madvise(2) value is a small integer, not a flag: OR-ing two of them names a third one or loses one
 * (WIPEONFORK | DONTDUMP is 18 | 16 = 18). Hence one function, one call, one result for each.
 * The fallback definitions are the kernel's own numbers (include/uapi/asm-generic/mman-common.h), for C
 * libraries older than the kernel; a kernel that lacks one answers EINVAL and the caller sees it.
 */
#define _GNU_SOURCE /* madvise, mremap, syscall */
#include "sr_os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture that has it */
#endif

static int failed(sr_error *error, const char *call)
{
    error->call = call;
    error->code = errno;
    return -1;
}

static int advise(void *address, size_t size, int advice, const char *call, sr_error *error)
{
    return madvise(address, size, advice) != 0 ? failed(error, call) : 0;
}

int sr_os_advise_no_dump(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_DONTDUMP, "madvise(MADV_DONTDUMP)", error);
}

int sr_os_advise_not_in_child(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_DONTFORK, "madvise(MADV_DONTFORK)", error);
}

/* Private anonymous memory only: EINVAL on secret memory, which is a shared mapping. */
int sr_os_advise_wipe_in_child(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_WIPEONFORK, "madvise(MADV_WIPEONFORK)", error);
}

/* Collapsing into a huge page copies the small ones and frees them unwiped. */
int sr_os_advise_no_huge(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_NOHUGEPAGE, "madvise(MADV_NOHUGEPAGE)", error);
}

/* KSM only looks at memory that asked for it, or at whole processes after PR_SET_MEMORY_MERGE (6.4). A page
 * that is merged betrays its content by timing. EINVAL where the kernel has no KSM: nothing merges there. */
int sr_os_advise_no_merge(void *address, size_t size, sr_error *error)
{
    return advise(address, size, MADV_UNMERGEABLE, "madvise(MADV_UNMERGEABLE)", error);
}

/* memfd_secret(2): Linux 5.14; ENOSYS where the kernel lacks it or was not booted with secretmem.enable=1
 * (needed before 6.5). The file is sized once: secret memory refuses a second ftruncate.
 *
 * Mapped wherever there is room and then moved: mapping it straight over the reservation would unmap the
 * old pages before the lock limit is checked (mm/mmap.c up to 6.11), and the refusal would leave a hole
 * into which another thread's mmap can fall, which our release would then tear out. */
int sr_os_secretmem(void *address, size_t size, sr_error *error)
{
    long fd = syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0) {
        return failed(error, "memfd_secret");
    }
    const char *call = NULL;
    void *got = MAP_FAILED;
    if (ftruncate((int)fd, (off_t)size) != 0) {
        call = "ftruncate(secretmem)";
    } else if ((got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0)) == MAP_FAILED) {
        call = "mmap(secretmem)";
    } else if (mremap(got, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) == MAP_FAILED) {
        call = "mremap(secretmem)";
    }
    int code = errno;
    close((int)fd);
    if (call == NULL) {
        return 0;
    }
    if (got != MAP_FAILED) {
        munmap(got, size);
        sr_os_fill_hole(address, size); /* a failed move may already have unmapped its target */
    }
    error->call = call;
    error->code = code;
    return -1;
}

/* getrandom(2) never returns short for 256 bytes or fewer once the pool is ready; larger requests may be
 * cut by a signal, so the loop. Without flags it waits for the pool to be seeded at boot, as it must. */
int sr_os_random(void *buffer, size_t size, sr_error *error)
{
    unsigned char *next = buffer;
    while (size != 0) {
        ssize_t got = getrandom(next, size, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return failed(error, "getrandom");
        }
        next += got;
        size -= (size_t)got;
    }
    return 0;
}

/* prctl(2) PR_SET_DUMPABLE 0: no core, whatever core_pattern says, piped handlers included; core(5). */
int sr_os_forbid_dumps(sr_error *error)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ? failed(error, "prctl(PR_SET_DUMPABLE)") : 0;
}
