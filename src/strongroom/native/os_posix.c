/* The part of the OS contract that every Unix shares.
 *
 * POSIX has no "reserve": an inaccessible private anonymous mapping is one, because the kernel charges
 * nothing for pages that may never be written. Commit is then a change of protection, and the kernel charges
 * for it and may refuse: MAP_NORESERVE would switch that off, and a lock of the absurd size that nobody
 * refused would fill the machine's memory. Decommit maps fresh
 * inaccessible pages over the old ones in one step, so that the range is never free in between and another
 * thread's mmap cannot land in it; the old pages go back to the kernel together with their locks and advice.
 */
#define _GNU_SOURCE        /* glibc, musl: MAP_ANONYMOUS, MAP_FIXED_NOREPLACE */
#define _DARWIN_C_SOURCE   /* macOS: MAP_ANON beside the POSIX names */
#define __BSD_VISIBLE 1    /* FreeBSD, OpenBSD */
#define _NETBSD_SOURCE     /* NetBSD */
#include "sr_os.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* A reservation must allow every protection that a later commit may ask for. Where the system ties that to the
 * first mapping it has to be said there: FreeBSD mmap(2) with vm.imply_prot_max, NetBSD mmap(2) with PaX MPROTECT. */
#define PROT_ANY (PROT_READ | PROT_WRITE | PROT_EXEC)
#if defined(PROT_MAX)
#define PROT_RESERVED (PROT_NONE | PROT_MAX(PROT_ANY))
#elif defined(PROT_MPROTECT)
#define PROT_RESERVED (PROT_NONE | PROT_MPROTECT(PROT_ANY))
#else
#define PROT_RESERVED PROT_NONE
#endif

static int failed(sr_error *error, const char *call)
{
    error->call = call;
    error->code = errno;
    return -1;
}

static void assert_pages(const void *address, size_t size)
{
    assert(size != 0 && size % sr_os_page_size() == 0);
    assert((uintptr_t)address % sr_os_page_size() == 0);
    (void)address;
    (void)size;
}

static int native_protection(sr_protection protection)
{
    switch (protection) {
    case SR_NO_ACCESS: return PROT_NONE;
    case SR_READ_ONLY: return PROT_READ;
    case SR_READ_WRITE: return PROT_READ | PROT_WRITE;
    case SR_EXECUTE: return PROT_EXEC;
    case SR_EXECUTE_READ: return PROT_READ | PROT_EXEC;
    case SR_EXECUTE_READ_WRITE: return PROT_READ | PROT_WRITE | PROT_EXEC;
    }
    assert(!"a protection outside the enumeration");
    return PROT_NONE;
}

size_t sr_os_page_size(void)
{
    static size_t page_size; /* the same value whichever thread stores it first */
    if (page_size == 0) {
        page_size = (size_t)sysconf(_SC_PAGESIZE);
    }
    return page_size;
}

/* Only Windows places reservations in larger steps than a page. */
size_t sr_os_granularity(void)
{
    return sr_os_page_size();
}

int sr_os_reserve(size_t size, void **address, sr_error *error)
{
    assert_pages(NULL, size);
    void *got = mmap(NULL, size, PROT_RESERVED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) {
        return failed(error, "mmap");
    }
    *address = got;
    return 0;
}

int sr_os_commit(void *address, size_t size, sr_protection protection, sr_error *error)
{
    return sr_os_protect(address, size, protection, error);
}

int sr_os_decommit(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return mmap(address, size, PROT_RESERVED, flags, -1, 0) == MAP_FAILED ? failed(error, "mmap") : 0;
}

int sr_os_release(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return munmap(address, size) != 0 ? failed(error, "munmap") : 0;
}

int sr_os_protect(void *address, size_t size, sr_protection protection, sr_error *error)
{
    assert_pages(address, size);
    return mprotect(address, size, native_protection(protection)) != 0 ? failed(error, "mprotect") : 0;
}

sr_protection sr_os_resting_protection(void)
{
    return SR_NO_ACCESS;
}

int sr_os_lock(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return mlock(address, size) != 0 ? failed(error, "mlock") : 0;
}

int sr_os_unlock(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return munlock(address, size) != 0 ? failed(error, "munlock") : 0;
}

/* mlock(2): ENOMEM over the limit, EPERM without any; mmap(2) of locked or secret memory: EAGAIN.
 * ENOMEM from mlock has a second meaning (too many mappings), so the caller also compares the numbers. */
int sr_os_is_lock_limit(const sr_error *error)
{
    if (strcmp(error->call, "mlock") == 0) {
        return error->code == ENOMEM || error->code == EPERM || error->code == EAGAIN;
    }
    return strcmp(error->call, "mmap(secretmem)") == 0 && error->code == EAGAIN;
}

/* A volatile pointer to memset is not enough on its own (a compiler may test it against memset and inline);
 * the empty assembly statement that claims to read the memory is what makes the stores observable. */
void sr_os_wipe(void *address, size_t size)
{
    if (size != 0) {
        memset(address, 0, size);
        __asm__ __volatile__("" : : "r"(address), "r"(size) : "memory");
    }
}

/* ---- the environment ---- */

extern char **environ;

/* getenv(3) hands out a pointer to the value itself: into the block the kernel put on the stack at exec for
 * variables that came with the process, into the heap for those set since. */
int sr_os_environment_size(const char *name, size_t *size, sr_error *error)
{
    const char *value = getenv(name);
    if (value == NULL) {
        error->call = "getenv";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    *size = strlen(value);
    return 0;
}

int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error)
{
    size_t now;
    if (sr_os_environment_size(name, &now, error) != 0) {
        return -1;
    }
    if (now != size) {
        error->call = "getenv";
        error->code = EAGAIN;
        return -1;
    }
    memcpy(buffer, getenv(name), size);
    return 0;
}

int sr_os_environment_wipe(const char *name, sr_error *error)
{
    size_t length = strlen(name);
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) { /* a name may stand there twice */
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            sr_os_wipe(*entry + length + 1, strlen(*entry + length + 1));
        }
    }
    return unsetenv(name) != 0 ? failed(error, "unsetenv") : 0;
}

/* ---- mutexes and fork ---- */

static pthread_mutex_t mutexes[SR_MUTEX_COUNT] = {PTHREAD_MUTEX_INITIALIZER};
static void (*run_in_child)(void);

void sr_os_enter(sr_mutex which)
{
    pthread_mutex_lock(&mutexes[which]);
}

void sr_os_leave(sr_mutex which)
{
    pthread_mutex_unlock(&mutexes[which]);
}

static void before_fork(void)
{
    for (int i = 0; i < SR_MUTEX_COUNT; i++) {
        pthread_mutex_lock(&mutexes[i]);
    }
}

static void after_fork_in_parent(void)
{
    for (int i = SR_MUTEX_COUNT - 1; i >= 0; i--) {
        pthread_mutex_unlock(&mutexes[i]);
    }
}

/* The forking thread holds every mutex and is the one thread the child has: unlocking is legal there. */
static void after_fork_in_child(void)
{
    after_fork_in_parent();
    run_in_child();
}

int sr_os_at_fork(void (*in_child)(void), sr_error *error)
{
    assert(run_in_child == NULL);
    run_in_child = in_child;
    int code = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (code != 0) {
        error->call = "pthread_atfork";
        error->code = code;
        return -1;
    }
    return 0;
}

void sr_os_fill_hole(void *address, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_FIXED_NOREPLACE)
    flags |= MAP_FIXED_NOREPLACE; /* Linux 4.17; older kernels take the address as a hint */
#elif defined(MAP_EXCL)
    flags |= MAP_FIXED | MAP_EXCL; /* FreeBSD mmap(2) */
#elif defined(MAP_TRYFIXED)
    flags |= MAP_TRYFIXED; /* NetBSD mmap(2) */
#endif
    void *got = mmap(address, size, PROT_NONE, flags, -1, 0);
    if (got != MAP_FAILED && got != address) {
        munmap(got, size);
    }
}

/* ---- the last resort ---- */

_Noreturn void sr_os_die(const char *message)
{
    sigset_t set;
    sigfillset(&set); /* SIGPIPE from a closed standard error would run a handler, and that may exit */
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    struct pollfd standard_error = {STDERR_FILENO, POLLOUT, 0};
    if (poll(&standard_error, 1, 0) == 1 && (standard_error.revents & POLLOUT) != 0) { /* a full pipe would wait */
        ssize_t ignored = write(STDERR_FILENO, message, strlen(message));
        (void)ignored;
    }
    signal(SIGABRT, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGABRT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    abort();
}
