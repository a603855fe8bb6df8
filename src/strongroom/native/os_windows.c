/* The OS contract on Windows, memory; os_windows_process.c and os_windows_environment.c have the rest.
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
#include "os_windows.h"
#include "sr_os.h"

#include <windows.h>

#include <psapi.h>

#include <assert.h>
#include <string.h>

/* The values of the contract are Windows' own: no translation, only this proof. */
_Static_assert(SR_NO_ACCESS == PAGE_NOACCESS && SR_READ_ONLY == PAGE_READONLY, "memoryapi.h");
_Static_assert(SR_READ_WRITE == PAGE_READWRITE && SR_EXECUTE == PAGE_EXECUTE, "memoryapi.h");
_Static_assert(SR_EXECUTE_READ == PAGE_EXECUTE_READ, "memoryapi.h");
_Static_assert(SR_EXECUTE_READ_WRITE == PAGE_EXECUTE_READWRITE && SR_WRITE_COPY == PAGE_WRITECOPY, "memoryapi.h");
_Static_assert(SR_EXECUTE_WRITE_COPY == PAGE_EXECUTE_WRITECOPY && SR_GUARD == PAGE_GUARD, "memoryapi.h");
_Static_assert(SR_NO_CACHE == PAGE_NOCACHE && SR_WRITE_COMBINE == PAGE_WRITECOMBINE, "memoryapi.h");

/* Bytes the system keeps for itself of a minimum working set, measured as about eleven pages; more is harmless. */
#define WORKING_SET_MARGIN_SIZE ((size_t)64 * 1024)

/* Pages asked about in one call. */
#define QUERY_PAGES 64

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

size_t sr_os_large_page_size(void)
{
    return GetLargePageMinimum();
}

/* PAGE_WRITECOPY is for views of sections; VirtualAlloc refuses it (ERROR_INVALID_PARAMETER). */
unsigned sr_os_protections(void)
{
    return SR_NO_ACCESS | SR_READ_ONLY | SR_READ_WRITE | SR_EXECUTE | SR_EXECUTE_READ | SR_EXECUTE_READ_WRITE
        | SR_GUARD | SR_NO_CACHE | SR_WRITE_COMBINE;
}

/* ---- address space ---- */

int sr_os_reserve(size_t size, sr_place place, void **address, sr_error *error)
{
    assert_pages(NULL, size);
    void *wish = place == SR_PLACE_NEAR || place == SR_PLACE_EXACT ? *address : NULL;
    DWORD how = MEM_RESERVE | (place == SR_PLACE_TOP_DOWN ? MEM_TOP_DOWN : 0);
    void *got = VirtualAlloc(wish, size, how, PAGE_NOACCESS);
    if (got == NULL && place == SR_PLACE_NEAR) { /* an address given is a demand here */
        got = VirtualAlloc(NULL, size, how, PAGE_NOACCESS);
    }
    if (got == NULL) {
        return failed(error, "VirtualAlloc(MEM_RESERVE)");
    }
    *address = got;
    return 0;
}

/* Needs SeLockMemoryPrivilege ("Lock pages in memory"), switched on in the process's token. */
int sr_os_reserve_large(size_t size, sr_protection protection, void **address, sr_error *error)
{
    void *got = VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES, (DWORD)protection);
    if (got == NULL) {
        return failed(error, "VirtualAlloc(MEM_LARGE_PAGES)");
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

/* A page that was never touched is not in the working set, and not locked. */
int sr_os_is_locked(void *address, size_t size)
{
    PSAPI_WORKING_SET_EX_INFORMATION pages[QUERY_PAGES];
    size_t page_size = sr_os_page_size(), left = size / page_size;
    for (char *next = address; left != 0;) {
        size_t count = left < QUERY_PAGES ? left : QUERY_PAGES;
        for (size_t i = 0; i < count; i++) {
            pages[i].VirtualAddress = next + i * page_size;
        }
        if (!K32QueryWorkingSetEx(GetCurrentProcess(), pages, (DWORD)(count * sizeof pages[0]))) {
            return 0;
        }
        for (size_t i = 0; i < count; i++) {
            if (pages[i].VirtualAttributes.Valid && pages[i].VirtualAttributes.Locked) {
                return 1;
            }
        }
        next += count * page_size;
        left -= count;
    }
    return 0;
}

/* From reading the working set to setting it, else two regions that grow it at once lose one growth. A leaf below the
 * regions' mutexes: inside are two system calls, never another mutex. Zeros are SRWLOCK_INIT; there is no fork here. */
static SRWLOCK working_set_lock;

static int resized(SIZE_T low, SIZE_T high, sr_error *error)
{
    return SetProcessWorkingSetSize(GetCurrentProcess(), low, high) ? 0 : failed(error, "SetProcessWorkingSetSize");
}

/* VirtualLock may lock as much as the minimum working set holds, and a process may raise its own. */
int sr_os_grow_lock_budget(size_t size, sr_error *error)
{
    size_t minimum, maximum, more = size + WORKING_SET_MARGIN_SIZE;
    AcquireSRWLockExclusive(&working_set_lock);
    int outcome = sr_os_working_set(&minimum, &maximum, error);
    if (outcome == 0 && (more < size || minimum + more < minimum || maximum + more < maximum)) {
        SetLastError(ERROR_INVALID_PARAMETER);
        outcome = failed(error, "SetProcessWorkingSetSize");
    } else if (outcome == 0) {
        outcome = resized(minimum + more, maximum + more, error);
    }
    ReleaseSRWLockExclusive(&working_set_lock);
    return outcome;
}

int sr_os_working_set(size_t *minimum, size_t *maximum, sr_error *error)
{
    SIZE_T low, high;
    if (!GetProcessWorkingSetSize(GetCurrentProcess(), &low, &high)) {
        return failed(error, "GetProcessWorkingSetSize");
    }
    *minimum = low;
    *maximum = high;
    return 0;
}

int sr_os_set_working_set(size_t minimum, size_t maximum, sr_error *error)
{
    AcquireSRWLockExclusive(&working_set_lock);
    int outcome = resized(minimum, maximum, error);
    ReleaseSRWLockExclusive(&working_set_lock);
    return outcome;
}

/* ---- touching pages that may be forbidden ---- */

int sr_os_copy(void *to, const void *from, size_t size, sr_error *error)
{
    SIZE_T done;
    return ReadProcessMemory(GetCurrentProcess(), from, to, size, &done) && done == size
        ? 0 : failed(error, "ReadProcessMemory");
}

/* ---- advice ---- */

/* WerRegisterExcludedMemoryBlock (Windows 10 1703) is not this promise. It trims the reports of Windows Error
 * Reporting, "data that aren't useful for root cause debugging"; MiniDumpWriteDump, Task Manager and procdump
 * read the block all the same. It is limited to 512 entries a process and outlives the memory it names. */
int sr_os_advise_no_dump(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "madvise(MADV_DONTDUMP)");
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
