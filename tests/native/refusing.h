/* System calls that fail when told to: the linker sends those of the native sources here (--wrap; test_native_c.py).
 * The n-th of all calls counted fails, before it does anything, and the others go through. */
#ifndef SR_REFUSING_H
#define SR_REFUSING_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture that has it */
#endif

static int refuse_at;        /* which call from now on; 0 for none */
static int is_for_good;      /* and every one after it */
static int refuse_code;      /* with which errno */
static int calls_seen;
static const char *refuse_call; /* counted are those of this name alone, or all: NULL */
static const char *refused;  /* the first call that was, or NULL */

__attribute__((unused)) static void refuse_nth(int which, int code, int for_good)
{
    refuse_at = which;
    is_for_good = for_good;
    refuse_code = code;
    calls_seen = 0;
    refused = NULL;
}

static int is_refused(const char *call)
{
    if (refuse_at == 0 || (refuse_call != NULL && strcmp(call, refuse_call) != 0)) {
        return 0;
    }
    if (++calls_seen != refuse_at && !(is_for_good && calls_seen > refuse_at)) {
        return 0;
    }
    refused = refused != NULL ? refused : call;
    errno = refuse_code;
    return 1;
}

#define REFUSABLE(type, name, parameters, arguments)               \
    type __real_##name parameters;                                 \
    type __wrap_##name parameters;                                 \
    type __wrap_##name parameters                                  \
    {                                                              \
        return is_refused(#name) ? (type)-1 : __real_##name arguments; \
    }

REFUSABLE(int, munmap, (void *address, size_t size), (address, size))
REFUSABLE(int, mprotect, (void *address, size_t size, int protection), (address, size, protection))
REFUSABLE(int, mlock, (const void *address, size_t size), (address, size))
REFUSABLE(int, munlock, (const void *address, size_t size), (address, size))
REFUSABLE(int, ftruncate, (int file, off_t size), (file, size))
REFUSABLE(int, pipe, (int ends[2]), (ends))
REFUSABLE(ssize_t, read, (int file, void *to, size_t size), (file, to, size))
REFUSABLE(ssize_t, write, (int file, const void *from, size_t size), (file, from, size))
REFUSABLE(ssize_t, process_vm_readv,
          (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
           unsigned long remotes, unsigned long flags),
          (pid, local, locals, remote, remotes, flags))
REFUSABLE(ssize_t, process_vm_writev,
          (pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
           unsigned long remotes, unsigned long flags),
          (pid, local, locals, remote, remotes, flags))

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice)
{
    return is_refused(advice == MADV_REMOVE ? "MADV_REMOVE" : "madvise") ? -1 : __real_madvise(address, size, advice);
}

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);

/* Large pages are ordinary ones here: few machines have any to give. */
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    return is_refused("mmap") ? MAP_FAILED
                              : __real_mmap(address, size, protection, flags & ~MAP_HUGETLB, file, offset);
}

void *__real_mremap(void *address, size_t size, size_t new_size, int flags, ...);
void *__wrap_mremap(void *address, size_t size, size_t new_size, int flags, ...);

/* Of all its uses only that with MREMAP_FIXED has a fifth argument, and that is the one the native sources make. */
void *__wrap_mremap(void *address, size_t size, size_t new_size, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    void *to = va_arg(rest, void *);
    va_end(rest);
    return is_refused("mremap") ? MAP_FAILED : __real_mremap(address, size, new_size, flags, to);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    va_list rest;
    va_start(rest, number);
    long first = va_arg(rest, long), second = va_arg(rest, long), third = va_arg(rest, long);
    va_end(rest);
    const char *name = number == SYS_memfd_secret ? "memfd_secret" : "mseal";
    return is_refused(name) ? -1 : __real_syscall(number, first, second, third);
}

#endif
