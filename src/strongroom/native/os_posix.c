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
#include "os_posix.h"
#include "sr_os.h"
#include "sr_os_asking.h"

#include <assert.h>
#include <errno.h>
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

static void assert_pages(const void *address, size_t size)
{
    assert(size != 0 && size % sr_os_page_size() == 0);
    assert((uintptr_t)address % sr_os_page_size() == 0);
    (void)address;
    (void)size;
}

/* PROT_EXEC alone would be unreadable where the CPU has protection keys (pkeys(7)), and readable elsewhere. */
static int native_protection(sr_protection protection)
{
    if ((protection & SR_GUARD) != 0) {
        return PROT_NONE;
    }
    switch ((int)protection) {
    case SR_NO_ACCESS: return PROT_NONE;
    case SR_READ_ONLY: return PROT_READ;
    case SR_WRITE_COPY: /* of views alone */
    case SR_READ_WRITE: return PROT_READ | PROT_WRITE;
    case SR_EXECUTE:
    case SR_EXECUTE_READ: return PROT_READ | PROT_EXEC;
    case SR_EXECUTE_WRITE_COPY:
    case SR_EXECUTE_READ_WRITE: return PROT_READ | PROT_WRITE | PROT_EXEC;
    }
    assert(!"a protection that sr_os_protections() does not have");
    return PROT_NONE;
}

/* Private memory is copied on write by nature, so there is nothing for WRITE_COPY to add; how the CPU caches a
 * page is not for a process to say. */
unsigned sr_os_protections(void)
{
    return SR_NO_ACCESS | SR_READ_ONLY | SR_READ_WRITE | SR_EXECUTE | SR_EXECUTE_READ | SR_EXECUTE_READ_WRITE | SR_GUARD;
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

/* Without this flag an exact address replaces what is there; with none of them, it is a wish the kernel may ignore. */
#if defined(MAP_FIXED_NOREPLACE)
#define MAP_UNLESS_TAKEN MAP_FIXED_NOREPLACE /* Linux 4.17; older kernels take the address as a wish */
#elif defined(MAP_EXCL)
#define MAP_UNLESS_TAKEN (MAP_FIXED | MAP_EXCL) /* FreeBSD mmap(2) */
#elif defined(MAP_TRYFIXED)
#define MAP_UNLESS_TAKEN MAP_TRYFIXED /* NetBSD mmap(2) */
#else
#define MAP_UNLESS_TAKEN 0
#endif

/* Top-down is how Linux places mappings anyway, unless the process was started with the legacy layout. */
int sr_os_reserve(size_t size, sr_place place, void **address, sr_error *error)
{
    assert_pages(NULL, size);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (place == SR_PLACE_EXACT ? MAP_UNLESS_TAKEN : 0);
    void *wish = place == SR_PLACE_NEAR || place == SR_PLACE_EXACT ? *address : NULL;
    void *got = mmap(wish, size, PROT_RESERVED, flags, -1, 0);
    if (got == MAP_FAILED) {
        return failed(error, "mmap");
    }
    if (place == SR_PLACE_EXACT && got != wish) {
        munmap(got, size);
        errno = EEXIST;
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
    int is_secret = strcmp(error->call, "mmap(secretmem)") == 0 || strcmp(error->call, "mremap(secretmem)") == 0;
    return is_secret && error->code == EAGAIN;
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

void sr_os_fill_hole(void *address, size_t size)
{
    void *got = mmap(address, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_UNLESS_TAKEN, -1, 0);
    if (got != MAP_FAILED && got != address) {
        munmap(got, size);
    }
}

/* ---- what only Windows has ---- */

/* The limit is the kernel's (RLIMIT_MEMLOCK); raising it is a decision for people. */
int sr_os_grow_lock_budget(size_t size, sr_error *error)
{
    (void)size;
    return lacking(error, "SetProcessWorkingSetSize");
}

int sr_os_working_set(size_t *minimum, size_t *maximum, sr_error *error)
{
    (void)minimum;
    (void)maximum;
    return lacking(error, "GetProcessWorkingSetSize");
}

int sr_os_set_working_set(size_t minimum, size_t maximum, sr_error *error)
{
    (void)minimum;
    (void)maximum;
    return lacking(error, "SetProcessWorkingSetSize");
}

int sr_os_entry_at(uintptr_t address, char *buffer, size_t room, size_t *size, sr_error *error)
{
    (void)address;
    (void)buffer;
    (void)room;
    (void)size;
    return lacking(error, "VirtualQuery");
}
