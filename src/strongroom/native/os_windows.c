/* The OS contract on Windows, whole; the environment has a file of its own (os_windows_environment.c).
 *
 * The contract is Windows' model to begin with, so most functions are one call. Three things differ:
 *
 *   - A lock ends when a page becomes inaccessible. VirtualLock refuses PAGE_NOACCESS pages, and a change
 *     to PAGE_NOACCESS takes locked pages out of the working set without any failure. winerror.h says so:
 *     ERROR_WAS_UNLOCKED (715), "the page protection of a locked page was changed to 'No Access' and the
 *     page was unlocked from memory and from the process"; as STATUS_WAS_UNLOCKED it is informational, and
 *     VirtualProtect returns TRUE. Whoever needs a lock to last must close pages to READ_ONLY at most, or
 *     keep what lies in closed pages encrypted.
 *   - Locks do not nest, and decommitting ends them.
 *   - There is no fork. A child is a new program with an address space of its own, so "absent in a child" and
 *     "zeros in a child" hold by themselves and are answered with success.
 */
#include "sr_os.h"

#include <windows.h>

#include <bcrypt.h>
#include <ntsecapi.h>

#include <assert.h>
#include <string.h>

/* The values of the contract are Windows' own: no translation, only this proof. */
_Static_assert(SR_NO_ACCESS == PAGE_NOACCESS && SR_READ_ONLY == PAGE_READONLY, "memoryapi.h");
_Static_assert(SR_READ_WRITE == PAGE_READWRITE && SR_EXECUTE == PAGE_EXECUTE, "memoryapi.h");
_Static_assert(SR_EXECUTE_READ == PAGE_EXECUTE_READ, "memoryapi.h");
_Static_assert(SR_EXECUTE_READ_WRITE == PAGE_EXECUTE_READWRITE, "memoryapi.h");

/* One request to the generator takes a 32-bit size. Any step below 4 GiB will do. */
#define RANDOM_STEP_SIZE ((size_t)1 << 30)

/* The exit code of a process that ended itself as broken; ntstatus.h cannot be included beside windows.h. */
#define EXIT_AS_FATAL 0x40000015u /* STATUS_FATAL_APP_EXIT */

static int failed(sr_error *error, const char *call)
{
    error->call = call;
    error->code = (int64_t)GetLastError();
    return -1;
}

static int unsupported(sr_error *error, const char *call)
{
    error->call = call;
    error->code = SR_UNSUPPORTED;
    return -1;
}

static void assert_pages(const void *address, size_t size)
{
    assert(size != 0 && size % sr_os_page_size() == 0);
    assert((uintptr_t)address % sr_os_page_size() == 0);
    (void)address;
    (void)size;
}

size_t sr_os_page_size(void)
{
    static size_t page_size; /* the same value whichever thread stores it first */
    if (page_size == 0) {
        SYSTEM_INFO info;
        GetSystemInfo(&info);
        page_size = info.dwPageSize;
    }
    return page_size;
}

size_t sr_os_granularity(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwAllocationGranularity;
}

/* ---- address space ---- */

int sr_os_reserve(size_t size, void **address, sr_error *error)
{
    assert_pages(NULL, size);
    void *got = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
    if (got == NULL) {
        return failed(error, "VirtualAlloc(MEM_RESERVE)");
    }
    *address = got;
    return 0;
}

int sr_os_commit(void *address, size_t size, sr_protection protection, sr_error *error)
{
    assert_pages(address, size);
    if (VirtualAlloc(address, size, MEM_COMMIT, (DWORD)protection) == NULL) {
        return failed(error, "VirtualAlloc(MEM_COMMIT)");
    }
    return 0;
}

int sr_os_decommit(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return VirtualFree(address, size, MEM_DECOMMIT) ? 0 : failed(error, "VirtualFree(MEM_DECOMMIT)");
}

/* MEM_RELEASE wants the size to be 0 and finds the reservation's end itself. */
int sr_os_release(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return VirtualFree(address, 0, MEM_RELEASE) ? 0 : failed(error, "VirtualFree(MEM_RELEASE)");
}

int sr_os_protect(void *address, size_t size, sr_protection protection, sr_error *error)
{
    DWORD previous;
    assert_pages(address, size);
    return VirtualProtect(address, size, (DWORD)protection, &previous) ? 0 : failed(error, "VirtualProtect");
}

/* ---- keeping pages in RAM ---- */

/* A locked page whose protection becomes PAGE_NOACCESS is unlocked (winerror.h, ERROR_WAS_UNLOCKED), and the call
 * succeeds nevertheless: a secret at rest would be free to go to the page file. Read-only pages stay locked. */
sr_protection sr_os_resting_protection(void)
{
    return SR_READ_ONLY;
}

int sr_os_lock(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return VirtualLock(address, size) ? 0 : failed(error, "VirtualLock");
}

int sr_os_unlock(void *address, size_t size, sr_error *error)
{
    assert_pages(address, size);
    return VirtualUnlock(address, size) ? 0 : failed(error, "VirtualUnlock");
}

/* ERROR_WORKING_SET_QUOTA (1453) is Windows' answer when the minimum working set is used up. Wine, which has
 * mlock underneath, answers ERROR_ACCESS_DENIED (for pages that are not committed as well, so the caller must
 * not lock those); Windows has no such answer for a process's own pages. */
int sr_os_is_lock_limit(const sr_error *error)
{
    if (strcmp(error->call, "VirtualLock") != 0) {
        return 0;
    }
    return error->code == ERROR_WORKING_SET_QUOTA || error->code == ERROR_NOT_ENOUGH_QUOTA
        || error->code == ERROR_ACCESS_DENIED;
}

/* ---- advice ---- */

/* WerRegisterExcludedMemoryBlock (Windows 10 1703) is not this promise. It trims the reports of Windows Error
 * Reporting, "data that aren't useful for root cause debugging"; MiniDumpWriteDump, Task Manager and procdump
 * read the block all the same. It is limited to 512 entries a process and outlives the memory it names. */
int sr_os_advise_no_dump(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return unsupported(error, "madvise(MADV_DONTDUMP)");
}

int sr_os_advise_not_in_child(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    (void)error;
    return 0;
}

int sr_os_advise_wipe_in_child(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    (void)error;
    return 0;
}

/* ---- randomness and wiping ---- */

/* BCryptGenRandom is the documented way to the system's generator; RtlGenRandom has no error code and no
 * header, ProcessPrng no import library. All three end in the same place, and that place is a generator
 * inside this process (bcryptprimitives.dll) that the kernel seeds: Windows 10 offers no other, so "never
 * from user space" cannot be had here. Its failures are NTSTATUS; LsaNtStatusToWinError gives the code that
 * GetLastError would. */
int sr_os_random(void *buffer, size_t size, sr_error *error)
{
    unsigned char *next = buffer;
    while (size != 0) {
        size_t part = size < RANDOM_STEP_SIZE ? size : RANDOM_STEP_SIZE;
        NTSTATUS status = BCryptGenRandom(NULL, next, (ULONG)part, BCRYPT_USE_SYSTEM_PREFERRED_RNG);
        if (status < 0) {
            error->call = "BCryptGenRandom";
            error->code = (int64_t)LsaNtStatusToWinError(status);
            return -1;
        }
        next += part;
        size -= part;
    }
    return 0;
}

void sr_os_wipe(void *address, size_t size)
{
    SecureZeroMemory(address, size);
}

/* ---- mutexes, and the fork that does not exist ---- */

static SRWLOCK mutexes[SR_MUTEX_COUNT]; /* SRWLOCK_INIT is all zeros */

void sr_os_enter(sr_mutex which)
{
    AcquireSRWLockExclusive(&mutexes[which]);
}

void sr_os_leave(sr_mutex which)
{
    ReleaseSRWLockExclusive(&mutexes[which]);
}

int sr_os_at_fork(void (*in_child)(void), sr_error *error)
{
    (void)in_child;
    (void)error;
    return 0;
}

void sr_os_fill_hole(void *address, size_t size)
{
    (void)address;
    (void)size;
}

/* ---- the last resort ---- */

/* With this error mode an unhandled exception ends the process without calling Windows Error Reporting, and
 * so without the dump it may be set up to keep (LocalDumps). Dumps taken by others are not stopped. */
int sr_os_forbid_dumps(sr_error *error)
{
    (void)error;
    SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    return 0;
}

/* TerminateProcess rather than __fastfail or abort: those two are exceptions to the system and are reported,
 * dump included; this one runs no handler, no DLL's detach routine and no report. */
_Noreturn void sr_os_die(const char *message)
{
    DWORD written;
    (void)WriteFile(GetStdHandle(STD_ERROR_HANDLE), message, (DWORD)strlen(message), &written, NULL);
    for (;;) {
        TerminateProcess(GetCurrentProcess(), EXIT_AS_FATAL);
    }
}
