/* Pages that Windows takes out of a process's working set and brings back.
 *
 * VirtualUnlock of a page that is not locked takes it out of the working set (its documentation says so): the page is on
 * its way to the paging file, and until its memory is wanted a touch finds it without reading anything. Of a locked page it
 * would end the lock, so what is locked is asked for first.
 *
 * A process is told one number of faults, those that read nothing and those that read together.
 *
 * Source: VirtualUnlock, PrefetchVirtualMemory, VirtualAlloc (MEM_RESET, MEM_RESET_UNDO), QueryWorkingSetEx,
 * GetProcessMemoryInfo, EnumPageFilesW, GetSystemInfo.
 */
#include "os_windows.h"
#include "sr_os_backing.h"
#include "sr_os_paging.h"

#include <psapi.h>

#include <string.h>

#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO 0x1000000 /* Windows 8 */
#endif

/* Pages asked about in one call. */
#define QUERY_PAGES 64

/* Windows 8. Looked up, since Python runs on what is older too. */
typedef BOOL(WINAPI *prefetcher)(HANDLE process, ULONG_PTR count, const sr_range *ranges, ULONG flags);

static prefetcher find_prefetcher(void)
{
    prefetcher found = NULL;
    FARPROC address = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "PrefetchVirtualMemory");
    memcpy(&found, &address, sizeof found);
    return found;
}

int sr_os_faults(int64_t pid, int is_thread, uint64_t *minor, uint64_t *major, sr_error *error)
{
    PROCESS_MEMORY_COUNTERS told;
    if (is_thread) {
        return lacking(error, "GetProcessMemoryInfo(thread)");
    }
    HANDLE process = pid == 0 ? GetCurrentProcess()
                              : OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)pid);
    if (process == NULL) {
        return failed(error, "OpenProcess");
    }
    int outcome = K32GetProcessMemoryInfo(process, &told, sizeof told) ? 0 : failed(error, "GetProcessMemoryInfo");
    if (pid != 0) {
        CloseHandle(process);
    }
    *minor = outcome == 0 ? told.PageFaultCount : 0;
    *major = SR_NOT_TOLD;
    return outcome;
}

/* QueryWorkingSetEx has an answer for every address, page by page, be there terabytes of nothing. */
static int require_committed(const char *address, size_t size, sr_error *error)
{
    MEMORY_BASIC_INFORMATION told;
    for (const char *end = address + size; address < end; address = (const char *)told.BaseAddress + told.RegionSize) {
        if (VirtualQuery(address, &told, sizeof told) == 0) {
            return failed(error, "VirtualQuery");
        }
        if (told.State != MEM_COMMIT) {
            return refused(error, "VirtualQuery", ERROR_INVALID_ADDRESS);
        }
    }
    return 0;
}

int sr_os_resident(void *address, size_t size, size_t *pages, sr_error *error)
{
    PSAPI_WORKING_SET_EX_INFORMATION asked[QUERY_PAGES];
    size_t page_size = sr_os_page_size(), left = size / page_size;
    *pages = 0;
    if (require_committed(address, size, error) != 0) {
        return -1;
    }
    for (char *next = address; left != 0;) {
        size_t count = left < QUERY_PAGES ? left : QUERY_PAGES;
        for (size_t i = 0; i < count; i++) {
            asked[i].VirtualAddress = next + i * page_size;
        }
        if (!K32QueryWorkingSetEx(GetCurrentProcess(), asked, (DWORD)(count * sizeof asked[0]))) {
            return failed(error, "QueryWorkingSetEx");
        }
        for (size_t i = 0; i < count; i++) {
            *pages += asked[i].VirtualAttributes.Valid;
        }
        next += count * page_size;
        left -= count;
    }
    return 0;
}

int sr_os_page_out(void *address, size_t size, sr_error *error)
{
    if (sr_os_is_locked(address, size)) {
        return refused(error, "VirtualUnlock", ERROR_LOCKED);
    }
    return VirtualUnlock(address, size) || GetLastError() == ERROR_NOT_LOCKED ? 0 : failed(error, "VirtualUnlock");
}

int sr_os_prefetch(void *address, size_t size, int is_waited, sr_error *error)
{
    prefetcher prefetch = find_prefetcher();
    sr_range range = {address, size};
    if (require_committed(address, size, error) != 0) {
        return -1;
    }
    if (prefetch == NULL && !is_waited) {
        return lacking(error, "PrefetchVirtualMemory");
    }
    if (prefetch != NULL && !prefetch(GetCurrentProcess(), 1, &range, 0)) {
        return failed(error, "PrefetchVirtualMemory");
    }
    return is_waited ? sr_os_fetch(address, size, 0, error) : 0;
}

int sr_os_prefetch_all(const sr_range *ranges, size_t count, sr_error *error)
{
    prefetcher prefetch = find_prefetcher();
    if (prefetch == NULL) {
        return lacking(error, "PrefetchVirtualMemory");
    }
    return prefetch(GetCurrentProcess(), count, ranges, 0) ? 0 : failed(error, "PrefetchVirtualMemory");
}

int sr_os_reset(void *address, size_t size, sr_error *error)
{
    return VirtualAlloc(address, size, MEM_RESET, PAGE_NOACCESS) != NULL ? 0 : failed(error, "VirtualAlloc(MEM_RESET)");
}

/* That it fails means that something is lost (its documentation), whatever the code. */
int sr_os_undo_reset(void *address, size_t size, int *is_whole, sr_error *error)
{
    (void)error;
    *is_whole = VirtualAlloc(address, size, MEM_RESET_UNDO, PAGE_NOACCESS) != NULL;
    return 0;
}

/* Where the paging files are told one after the other. */
typedef struct telling {
    sr_page_file *files;
    size_t room, count;
} telling;

static BOOL CALLBACK tell(void *context, PENUM_PAGE_FILE_INFORMATION told, LPCWSTR path)
{
    telling *all = context;
    if (all->count < all->room) {
        sr_page_file *file = &all->files[all->count];
        memset(file, 0, sizeof *file);
        (void)WideCharToMultiByte(CP_UTF8, 0, path, -1, file->path, sizeof file->path - 1, NULL, NULL);
        file->size = (uint64_t)told->TotalSize * sr_os_page_size();
        file->used = (uint64_t)told->TotalInUse * sr_os_page_size();
        file->priority = -1;
    }
    all->count++;
    return TRUE;
}

int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
{
    telling all = {files, room, 0};
    if (!K32EnumPageFilesW(tell, &all)) {
        return failed(error, "EnumPageFiles");
    }
    *count = all.count;
    return 0;
}

int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)
{
    SYSTEM_INFO info;
    (void)error;
    GetSystemInfo(&info);
    *start = (uintptr_t)info.lpMinimumApplicationAddress;
    *end = (uint64_t)(uintptr_t)info.lpMaximumApplicationAddress + 1;
    return 0;
}
