/* The part of the OS contract that is Linux's own: advice, secret memory, randomness, dumps.
 *
 * Each madvise(2) value is a small integer, not a flag: OR-ing two of them names a third one or loses one
 * (WIPEONFORK | DONTDUMP is 18 | 16 = 18). Hence one function, one call, one result for each.
 * The fallback definitions are the kernel's own numbers (include/uapi/asm-generic/mman-common.h), for C
 * libraries older than the kernel; a kernel that lacks one answers EINVAL and the caller sees it.
 */
#define _GNU_SOURCE /* madvise, mremap, syscall */
#include "os_pipe.h"
#include "os_posix.h"
#include "sr_os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* the same on every architecture that has it, but for alpha */
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture that has it */
#endif

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
    return refused(error, call, code);
}

/* ---- large pages: the default size of the pool that vm.nr_hugepages sets, proc_meminfo(5) ---- */

size_t sr_os_large_page_size(void)
{
    static const char name[] = "Hugepagesize:";
    char text[8192]; /* the whole file has about 1,500 bytes */
    int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) {
        return 0;
    }
    text[length] = '\0';
    const char *line = strstr(text, name);
    return line == NULL ? 0 : (size_t)strtoul(line + sizeof name - 1, NULL, 10) * 1024;
}

int sr_os_reserve_large(size_t size, sr_protection protection, void **address, sr_error *error)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    void *got = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (got == MAP_FAILED) {
        return failed(error, "mmap(MAP_HUGETLB)");
    }
    if (sr_os_protect(got, size, protection, error) != 0) {
        munmap(got, size);
        return -1;
    }
    *address = got;
    return 0;
}

/* ---- locks that others made, and locks on the layout ---- */

/* MADV_COLD (5.4) changes nothing but how soon unlocked pages are reclaimed, and refuses a range in which any page
 * is locked: the one cheap question a process can ask (smaps costs a walk over all of its memory). With no length it
 * says whether the kernel knows it at all; before 5.4 other people's locks cannot be seen. */
int sr_os_is_locked(void *address, size_t size)
{
    return madvise(address, size, MADV_COLD) != 0 && errno == EINVAL && madvise(address, 0, MADV_COLD) == 0;
}

/* mseal(2), Linux 6.10. */
int sr_os_seal(void *address, size_t size, sr_error *error)
{
    return syscall(SYS_mseal, address, size, 0UL) != 0 ? failed(error, "mseal") : 0;
}

/* process_vm_readv(2) on oneself needs no privilege. Sandboxes may forbid it, and kernels lack it. It reads as another
 * process would, and secret memory is closed to those; process_vm_writev reads as this one, and writes as another would.
 * So what the first may not read the second may, and no copy is left in a pipe. */
int sr_os_copy(void *to, const void *from, size_t size, sr_error *error)
{
    char *next = to;
    const char *source = from;
    while (size != 0) {
        struct iovec local = {next, size}, remote = {(void *)(uintptr_t)source, size};
        ssize_t done = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (done < 0 && errno == EFAULT) {
            done = process_vm_writev(getpid(), &remote, 1, &local, 1, 0);
            errno = EFAULT;
        }
        if (done < 0 && (errno == ENOSYS || errno == EPERM)) {
            return sr_pipe_copy(next, source, size, error);
        }
        if (done <= 0) {
            return failed(error, "process_vm_readv");
        }
        next += done;
        source += done;
        size -= (size_t)done;
    }
    return 0;
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
