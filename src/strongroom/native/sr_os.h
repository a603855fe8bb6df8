/* The OS contract: every system call strongroom makes goes through one of these.
 *
 * One declaration here, one definition per operating system in os_*.c (os_posix.c is shared by the
 * Unixes, os_linux.c / os_darwin.c / os_bsd.c hold what differs; os_windows*.c stand alone). The build
 * picks the files; nobody above this line asks which system it is on.
 *
 * Rules that hold for each function:
 *   - Addresses and sizes arrive page-aligned and non-zero. Rounding and overflow checks happen once,
 *     above this layer; here they are only asserted.
 *   - Functions that can fail return 0 on success and -1 on failure, and on failure fill *error with the
 *     name of the native call and its errno (Unix) or GetLastError (Windows). Nothing is printed, nothing
 *     is retried, nothing is rolled back here: the caller knows what else depends on the range.
 *   - What a system cannot do at all fails with SR_UNSUPPORTED as the code, naming the call it lacks.
 *   - No function allocates from the heap. All may be called from any thread.
 */
#ifndef SR_OS_H
#define SR_OS_H

#include <stddef.h>
#include <stdint.h>

/* Not an errno and not a Windows error code on any supported system. */
#define SR_UNSUPPORTED (-1)

typedef struct sr_error {
    const char *call; /* static string: the native call that failed, for example "mlock" */
    int64_t code;     /* errno, GetLastError(), or SR_UNSUPPORTED */
} sr_error;

/* Page protections carry Windows' values (memoryapi.h) on every system. One of the first eight, and modifiers. */
typedef enum sr_protection {
    SR_NO_ACCESS = 0x01,
    SR_READ_ONLY = 0x02,
    SR_READ_WRITE = 0x04,
    SR_WRITE_COPY = 0x08,
    SR_EXECUTE = 0x10, /* readable too, on every system: as on Windows, where the CPU cannot do otherwise */
    SR_EXECUTE_READ = 0x20,
    SR_EXECUTE_READ_WRITE = 0x40,
    SR_EXECUTE_WRITE_COPY = 0x80,
    SR_GUARD = 0x100, /* one-shot on Windows; inaccessible until changed elsewhere */
    SR_NO_CACHE = 0x200,
    SR_WRITE_COMBINE = 0x400
} sr_protection;

/* What the CPU and the OS map in, and the step in which reservations are placed, both in bytes. */
size_t sr_os_page_size(void);
size_t sr_os_granularity(void);

/* The size of a large page in bytes, 0 if this system has none or does not say. */
size_t sr_os_large_page_size(void);

/* The protections and modifiers that mean something for private memory on this system. */
unsigned sr_os_protections(void);

/* ---- address space ------------------------------------------------------------------------------- */

/* Where a reservation goes. */
typedef enum sr_place {
    SR_PLACE_ANYWHERE,
    SR_PLACE_NEAR,  /* at *address if that is free, else wherever the system likes */
    SR_PLACE_EXACT, /* at *address and nowhere else; nothing that is there already is ever replaced */
    SR_PLACE_TOP_DOWN /* at the highest addresses */
} sr_place;

/* Reserve `size` bytes of address space: inaccessible, no memory behind it. *address is the wish, a multiple of
 * sr_os_granularity(), where `place` asks for one, and what it became. Where the granularity is one page, parts of
 * a reservation may be released. */
int sr_os_reserve(size_t size, sr_place place, void **address, sr_error *error);

/* Reserve and commit large pages, locked by nature; `size` is a multiple of their size. All or nothing: such memory
 * is protected and released, never partly decommitted. */
int sr_os_reserve_large(size_t size, sr_protection protection, void **address, sr_error *error);

/* Put zero-filled private memory behind part of a reservation. Not resident until touched. */
int sr_os_commit(void *address, size_t size, sr_protection protection, sr_error *error);

/* Take the memory back but keep the address space; a later commit reads as zeros. Drops locks and advice. */
int sr_os_decommit(void *address, size_t size, sr_error *error);

/* Give a whole reservation back. `size` is what was reserved (Windows ignores it). */
int sr_os_release(void *address, size_t size, sr_error *error);

int sr_os_protect(void *address, size_t size, sr_protection protection, sr_error *error);

/* The strictest protection under which this system keeps a locked page locked: NO_ACCESS on Unix. */
sr_protection sr_os_resting_protection(void);

/* ---- keeping pages in RAM -------------------------------------------------------------------------- */

/* A failed lock may have locked part of the range (Linux does): the caller unlocks or releases it. Whether locks
 * nest differs (Linux, Windows: no; macOS, OpenBSD: yes): each range is locked once and released as a whole. */
int sr_os_lock(void *address, size_t size, sr_error *error);
int sr_os_unlock(void *address, size_t size, sr_error *error);

/* 1 if `error` came from a lock or secret mapping refused for want of lock budget or privilege. */
int sr_os_is_lock_limit(const sr_error *error);

/* Whether any page of a committed range is locked, by whomever. Where locks nest nobody needs to know: 0. */
int sr_os_is_locked(void *address, size_t size);

/* Let this process lock `size` bytes more, where it may decide that itself (Windows: the minimum working set). */
int sr_os_grow_lock_budget(size_t size, sr_error *error);

/* Make the kernel refuse to release, move or protect a range, for as long as the process lives (Linux mseal). */
int sr_os_seal(void *address, size_t size, sr_error *error);

/* ---- touching pages that may be forbidden -------------------------------------------------------------- */

/* Copy within this process through the kernel, which checks each page: one that may not be read or written is an
 * error, never a fault. How much was copied before it is not told. Any addresses that do not overlap, any size but
 * zero. */
int sr_os_copy(void *to, const void *from, size_t size, sr_error *error);

/* ---- the working set ----------------------------------------------------------------------------------- */

/* The bytes this process may always keep in RAM, and may at most. SR_UNSUPPORTED where there is no such thing. */
int sr_os_working_set(size_t *minimum, size_t *maximum, sr_error *error);
int sr_os_set_working_set(size_t minimum, size_t maximum, sr_error *error);

/* ---- advice: one call each, each with its own result (values must never be OR-ed into one call) ---- */

int sr_os_advise_no_dump(void *address, size_t size, sr_error *error);       /* left out of core dumps */
int sr_os_advise_not_in_child(void *address, size_t size, sr_error *error);  /* absent after fork */
int sr_os_advise_wipe_in_child(void *address, size_t size, sr_error *error); /* zeros after fork */
int sr_os_advise_no_huge(void *address, size_t size, sr_error *error);       /* never collapsed to huge pages */
int sr_os_advise_no_merge(void *address, size_t size, sr_error *error);      /* never deduplicated */

/* ---- memory the kernel itself does not map --------------------------------------------------------- */

/* Replace committed or reserved pages at `address` by secret memory (Linux memfd_secret), READ_WRITE and
 * zero-filled. The file descriptor is closed before this returns: an open one could be taken by another
 * process with pidfd_getfd. Locked by nature; never call sr_os_lock on it. */
int sr_os_secretmem(void *address, size_t size, sr_error *error);

/* ---- randomness and wiping -------------------------------------------------------------------------- */

/* Fill from the operating system's generator, whatever the size; never short. The system calls it the kernel's on
 * Unix; on Windows it runs in this process on a seed that the kernel gives. */
int sr_os_random(void *buffer, size_t size, sr_error *error);

/* Overwrite with zeros in a way no compiler may remove. Any address, any size, zero included. */
void sr_os_wipe(void *address, size_t size);

/* ---- the environment ---------------------------------------------------------------------------------- */

/* The process's own copy of an environment variable, as bytes (UTF-8 on Windows) without a terminator.
 * SR_UNSUPPORTED with the call "getenv" if there is none of that name. */
int sr_os_environment_size(const char *name, size_t *size, sr_error *error);

/* Copy the value, `size` bytes as just asked, to `buffer`; fails as above if it changed in between. */
int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error);

/* Overwrite the value where it lies, as far as the system lets a process reach it, then remove the variable. */
int sr_os_environment_wipe(const char *name, sr_error *error);

#include "sr_os_threads.h"

/* ---- the last resort ----------------------------------------------------------------------------------- */

/* Ask the OS not to write a core or crash report of this process. Async-signal-safe. */
int sr_os_forbid_dumps(sr_error *error);

/* One write of a NUL-terminated message to standard error, if that takes it at once, then end the process
 * abnormally. Cannot be caught, runs no signal handler, waits for nothing, allocates nothing. */
_Noreturn void sr_os_die(const char *message);

#endif
