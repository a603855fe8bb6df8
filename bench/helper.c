/* What the bench compares with, without an interpreter in between: loops over bare system calls and cipher calls.
 *
 * Compiled into a temporary directory and loaded with ctypes; one call from Python runs a whole loop, so that the
 * cost of that call is spread over hundreds of rounds. Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture that has it */
#endif

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int map_page(unsigned char *page, int is_secretmem)
{
    size_t size = page_size();
    if (!is_secretmem) {
        if (mprotect(page, size, PROT_READ | PROT_WRITE) != 0 || madvise(page, size, MADV_DONTDUMP) != 0) {
            return -1;
        }
        (void)madvise(page, size, MADV_NOHUGEPAGE);  /* these two: refused where the kernel has no such thing */
        (void)madvise(page, size, MADV_UNMERGEABLE);
        return mlock(page, size);
    }
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int failed = ftruncate(fd, (off_t)size) != 0
                 || mmap(page, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED;
    int code = errno;
    close(fd);
    errno = code;
    return failed ? -1 : 0;
}

/* The page of a buffer as strongroom lays it out: inaccessible neighbours, resident, locked, not dumped, not in
 * children, inaccessible itself at the end. NULL with errno when the system refuses. */
unsigned char *bench_page_make(int is_secretmem)
{
    size_t size = page_size();
    unsigned char *start = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    unsigned char *page = start + size;
    if (map_page(page, is_secretmem) == 0 && madvise(page, size, MADV_DONTFORK) == 0) {
        *(volatile unsigned char *)page = 1;
        if (mprotect(page, size, PROT_NONE) == 0) {
            return page;
        }
    }
    int code = errno;
    munmap(start, 3 * size);
    errno = code;
    return NULL;
}

/* Make it writable, overwrite it, unmap it with its neighbours. */
int bench_page_free(unsigned char *page)
{
    size_t size = page_size();
    if (mprotect(page, size, PROT_READ | PROT_WRITE) != 0) {
        return errno;
    }
    for (size_t i = 0; i < size; i++) {
        ((volatile unsigned char *)page)[i] = 0;
    }
    return munmap(page - size, 3 * size) != 0 ? errno : 0;
}

int bench_make_and_free(int is_secretmem, long count)
{
    while (count-- > 0) {
        unsigned char *page = bench_page_make(is_secretmem);
        int failed = page == NULL ? errno : bench_page_free(page);
        if (failed) {
            return failed;
        }
    }
    return 0;
}

/* Readable, one byte read, inaccessible: the least that any library must do for such a page. */
int bench_pair(unsigned char *page, long count)
{
    size_t size = page_size();
    while (count-- > 0) {
        if (mprotect(page, size, PROT_READ) != 0) {
            return errno;
        }
        (void)*(volatile unsigned char *)(page + size - 32);
        if (mprotect(page, size, PROT_NONE) != 0) {
            return errno;
        }
    }
    return 0;
}

/* Address space, one page of it usable, all given back: the system calls behind reserve, commit and release. */
int bench_reserve_commit_release(size_t reserved_size, long count)
{
    size_t size = page_size();
    while (count-- > 0) {
        void *start = mmap(NULL, reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED || mprotect(start, size, PROT_READ | PROT_WRITE) != 0
            || munmap(start, reserved_size) != 0) {
            return errno;
        }
    }
    return 0;
}

/* Read a file of /proc from its beginning to its end. */
int bench_read_whole(const char *path, char *buffer, size_t room, long count)
{
    for (long i = 0; i < count; i++) {
        size_t at = 0;
        ssize_t got = -1;
        int file = open(path, O_RDONLY | O_CLOEXEC);
        while (file >= 0 && at < room && (got = read(file, buffer + at, room - at)) > 0) {
            at += (size_t)got;
        }
        int error = file < 0 || got < 0 ? errno : got > 0 ? ENOSPC : 0;
        if (file >= 0) {
            close(file);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

typedef int (*decrypt_function)(unsigned char *out, unsigned long long *out_size, unsigned char *unused,
                                const unsigned char *in, unsigned long long in_size, const unsigned char *bound,
                                unsigned long long bound_size, const unsigned char *nonce, const unsigned char *key);

/* Decrypt the same bytes again and again; `bound` is 24 bytes, as many as strongroom binds. */
int bench_decrypt(decrypt_function decrypt, const unsigned char *sealed, unsigned long long sealed_size,
                  const unsigned char *bound, const unsigned char *nonce, const unsigned char *key,
                  unsigned char *out, long count)
{
    unsigned long long out_size;
    while (count-- > 0) {
        if (decrypt(out, &out_size, NULL, sealed, sealed_size, bound, 24, nonce, key) != 0) {
            return EBADMSG;
        }
    }
    return 0;
}

static atomic_int spinner_state; /* 0 none, 1 running, 2 told to stop */
static pthread_t spinner;

static void *spin(void *cpu)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)(intptr_t)cpu, &only);
    (void)sched_setaffinity(0, sizeof only, &only); /* on a CPU it may not use it runs somewhere, as it would anyway */
    atomic_store(&spinner_state, 1);
    while (atomic_load_explicit(&spinner_state, memory_order_relaxed) == 1) {
    }
    return NULL;
}

/* A second thread, bound to one CPU, that computes and never enters the interpreter: while it runs, each mprotect elsewhere
 * has to interrupt that CPU (TLB shootdown). */
int bench_spinner_start(int cpu)
{
    int failed = pthread_create(&spinner, NULL, spin, (void *)(intptr_t)cpu);
    while (!failed && atomic_load(&spinner_state) == 0) {
    }
    return failed;
}

int bench_spinner_stop(void)
{
    atomic_store(&spinner_state, 2);
    int failed = pthread_join(spinner, NULL);
    atomic_store(&spinner_state, 0);
    return failed;
}
