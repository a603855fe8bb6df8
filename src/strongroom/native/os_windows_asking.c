/* The OS contract on Windows, what is asked of memory: VirtualQueryEx row by row, and QueryWorkingSetEx page by page.
 *
 * VirtualQueryEx knows what strongroom's books know elsewhere: reservations, allocations, guards. It tells one run of
 * pages at a time, so a walk is no more of a single moment than Linux' maps is. QueryWorkingSetEx is asked about
 * committed pages alone: a reservation of a tebibyte would be 2^28 questions.
 *
 * PROCESS_QUERY_INFORMATION is all that both of them and GetMappedFileName need. Another user's process, or one whose
 * access list is closed, is opened with SeDebugPrivilege only; a protected process (PsProtectedProcess) not even so.
 */
#include "os_windows.h"
#include "sr_os_asking.h"

#include <windows.h>

#include <psapi.h>

#include <string.h>

/* What _os/windowsentries.py reads, one after another; behind each its name, `name_size` bytes of UTF-16. */
typedef struct row {
    uint64_t address, size, allocation;
    uint32_t allocation_protection, state, protection, type;
    uint32_t name_size;
} row;

enum {
    ROW_SIZE = 44,                     /* without what the compiler puts behind it */
    NAME_ROOM = 32768 * sizeof(WCHAR), /* the longest name that Windows has */
    PAGES_AT_A_TIME = 256,             /* 4 KiB of answers, on the stack */
    MOST_QUESTIONS = 64                /* of so many pages, until signals are looked for: Wine takes 37 us a page */
};

_Static_assert(offsetof(row, size) == 8 && offsetof(row, allocation) == 16, "_os/windowsentries.py");
_Static_assert(offsetof(row, allocation_protection) == 24 && offsetof(row, state) == 28, "_os/windowsentries.py");
_Static_assert(offsetof(row, protection) == 32 && offsetof(row, type) == 36, "_os/windowsentries.py");
_Static_assert(offsetof(row, name_size) == 40 && sizeof(WCHAR) == 2, "_os/windowsentries.py");

/* ---- processes ---- */

/* Whether the process has ended: as long as somebody has a handle to it, it can be opened, and has no memory. */
static int has_ended(int64_t pid, HANDLE process)
{
    DWORD code;
    return pid != 0 && GetExitCodeProcess(process, &code) && code != STILL_ACTIVE;
}

static void release(int64_t pid, HANDLE process)
{
    if (pid != 0) {
        CloseHandle(process);
    }
}

/* A handle to ask with, for release(). A number that no process has is refused as OpenProcess does it, and so are those
 * that it takes for another's (they are indices times four, and it divides), and one that has ended. */
static int opened(int64_t pid, HANDLE *process, sr_error *error)
{
    *process = GetCurrentProcess();
    if (pid == 0) {
        return 0;
    }
    *process = OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, (DWORD)pid);
    if (*process == NULL) {
        return failed(error, "OpenProcess");
    }
    if (GetProcessId(*process) != (DWORD)pid || has_ended(pid, *process)) {
        release(pid, *process);
        return refused(error, "OpenProcess", ERROR_INVALID_PARAMETER);
    }
    return 0;
}

/* How a question ends: one that a process did not outlive was no answer. */
static int closed(int outcome, int64_t pid, HANDLE process, sr_error *error)
{
    int was_late = has_ended(pid, process);
    release(pid, process);
    return was_late ? refused(error, "OpenProcess", ERROR_INVALID_PARAMETER) : outcome;
}

/* ---- rows ---- */

/* A buffer that is being filled, and where the latest name is in it. */
typedef struct text {
    char *bytes;
    size_t room, size, name_at, name_size;
    uint64_t allocation; /* whose name that is */
} text;

/* Put a row behind those that are there; -1 if there may be no room for it. What is one allocation has one name. */
static int put(HANDLE process, const MEMORY_BASIC_INFORMATION *info, text *rows)
{
    row made = {(uintptr_t)info->BaseAddress, info->RegionSize, (uintptr_t)info->AllocationBase,
                info->AllocationProtect, info->State, info->Protect, info->Type, 0};
    const size_t at = rows->size + ROW_SIZE;
    if (rows->room - rows->size < ROW_SIZE) {
        return -1;
    }
    if (info->State != MEM_FREE && (info->Type == MEM_IMAGE || info->Type == MEM_MAPPED)) {
        if (rows->room - at < NAME_ROOM) {
            return -1;
        }
        if (rows->name_at == 0 || rows->allocation != made.allocation) {
            WCHAR *name = (WCHAR *)(void *)(rows->bytes + at);
            DWORD length = K32GetMappedFileNameW(process, info->BaseAddress, name, NAME_ROOM / sizeof(WCHAR));
            while (length != 0 && name[length - 1] == 0) {
                length--; /* Wine counts the end of some */
            }
            rows->name_size = length * sizeof(WCHAR); /* 0: memory that several share, of no file */
        } else {
            memcpy(rows->bytes + at, rows->bytes + rows->name_at, rows->name_size);
        }
        rows->name_at = at;
        rows->allocation = made.allocation;
        made.name_size = (uint32_t)rows->name_size;
    }
    memcpy(rows->bytes + rows->size, &made, ROW_SIZE);
    rows->size = at + made.name_size;
    return 0;
}

/* All that is not free, reserved or committed. Pages' sizes are not in it. */
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    MEMORY_BASIC_INFORMATION info;
    HANDLE process;
    text rows = {buffer, room, 0, 0, 0, 0};
    uintptr_t address = 0;
    int outcome = 0;
    (void)is_detailed;
    *size = 0;
    if (opened(pid, &process, error)) {
        return -1;
    }
    while (outcome == 0) {
        if (VirtualQueryEx(process, (void *)address, &info, sizeof info) == 0) {
            if (GetLastError() != ERROR_INVALID_PARAMETER) { /* which is the end of user space */
                outcome = failed(error, "VirtualQueryEx");
            }
            break;
        }
        if (info.State != MEM_FREE && put(process, &info, &rows)) {
            outcome = 1;
        }
        if ((uintptr_t)info.BaseAddress + info.RegionSize <= address) {
            break; /* the end of all addresses */
        }
        address = (uintptr_t)info.BaseAddress + info.RegionSize;
    }
    *size = rows.size;
    return closed(outcome, pid, process, error);
}

int sr_os_entry_at(uintptr_t address, char *buffer, size_t room, size_t *size, sr_error *error)
{
    MEMORY_BASIC_INFORMATION info;
    text rows = {buffer, room, 0, 0, 0, 0};
    *size = 0;
    if (VirtualQuery((void *)address, &info, sizeof info) == 0) {
        return GetLastError() == ERROR_INVALID_PARAMETER ? 0 : failed(error, "VirtualQuery");
    }
    int outcome = put(GetCurrentProcess(), &info, &rows) ? 1 : 0;
    *size = rows.size;
    return outcome;
}

/* ---- pages ---- */

/* Whether what QueryWorkingSetEx says of locks and shares means something. Wine 8 knows whether a page is there; it
 * never sets the bit of a lock, and any share is 1. */
static int tells_locks(void)
{
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") == NULL;
}

/* A page's answer in the contract's words. Private pages have a count of 0 there: mapped once. What is not in the
 * working set is not locked. */
static unsigned kinds_of(const PSAPI_WORKING_SET_EX_BLOCK *told, int is_known)
{
    unsigned kinds = is_known ? SR_PAGES_TELL_LOCKS : 0;
    if (!told->Valid) {
        return kinds;
    }
    kinds |= SR_PAGES_RESIDENT;
    if (is_known) {
        unsigned count = told->ShareCount != 0 ? (unsigned)told->ShareCount : 1;
        kinds |= (told->Locked ? SR_PAGES_LOCKED : 0u) | count << SR_PAGES_SHARES_SHIFT;
    }
    return kinds;
}

/* The runs that are being made. */
typedef struct found {
    sr_page_run *runs;
    size_t room, count, questions;
} found;

/* -1 if there is no room for a page more. */
static int add(found *all, uint64_t address, size_t page_size, unsigned kinds)
{
    sr_page_run *last = all->count != 0 ? &all->runs[all->count - 1] : NULL;
    if (last != NULL && last->end == address && last->kinds == kinds) {
        last->end += page_size;
        return 0;
    }
    if (all->count == all->room) {
        return -1;
    }
    all->runs[all->count++] = (sr_page_run){address, address + page_size, kinds};
    return 0;
}

/* Ask about committed pages up to `end`; `*at` is how far that went. 1 if there is no room, or patience, for more. */
static int ask(HANDLE process, uint64_t end, int is_known, found *all, uint64_t *at, sr_error *error)
{
    PSAPI_WORKING_SET_EX_INFORMATION pages[PAGES_AT_A_TIME];
    const size_t page_size = sr_os_page_size();
    while (*at < end) {
        uint64_t left = (end - *at) / page_size;
        size_t count = left < PAGES_AT_A_TIME ? (size_t)left : PAGES_AT_A_TIME;
        for (size_t i = 0; i < count; i++) {
            pages[i].VirtualAddress = (void *)(uintptr_t)(*at + i * page_size);
            pages[i].VirtualAttributes.Flags = 0;
        }
        if (all->questions++ == MOST_QUESTIONS) {
            return 1;
        }
        if (!K32QueryWorkingSetEx(process, pages, (DWORD)(count * sizeof pages[0]))) {
            /* Wine asks about a process's own pages only, and calls others an invalid parameter. */
            return is_known ? failed(error, "QueryWorkingSetEx") : lacking(error, "QueryWorkingSetEx");
        }
        for (size_t i = 0; i < count; i++) {
            unsigned kinds = kinds_of(&pages[i].VirtualAttributes, is_known);
            if (kinds != 0 && add(all, *at, page_size, kinds)) {
                return 1;
            }
            *at += page_size;
        }
    }
    return 0;
}

int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error)
{
    MEMORY_BASIC_INFORMATION info;
    HANDLE process;
    found all = {runs, room, 0, 0};
    const int is_known = tells_locks();
    int outcome = 0;
    *count = 0;
    *reached = start;
    if (opened(pid, &process, error)) {
        return -1;
    }
    while (outcome == 0 && *reached < end) {
        if (VirtualQueryEx(process, (void *)(uintptr_t)*reached, &info, sizeof info) == 0) {
            if (GetLastError() != ERROR_INVALID_PARAMETER) {
                outcome = failed(error, "VirtualQueryEx");
            } else {
                *reached = end; /* beyond user space */
            }
            break;
        }
        uint64_t next = (uint64_t)(uintptr_t)info.BaseAddress + info.RegionSize;
        next = next > end || next <= *reached ? end : next;
        if (info.State == MEM_COMMIT) {
            outcome = ask(process, next, is_known, &all, reached, error);
        } else {
            *reached = next;
        }
    }
    *count = all.count;
    return closed(outcome < 0 ? -1 : 0, pid, process, error);
}
