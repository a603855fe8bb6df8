/* Stores and windows on Windows, where both come from: Address Windowing Extensions.
 *
 * The frames belong to nobody but this process, are not paged, and are its own until it gives them back or ends. It
 * takes the privilege to lock pages in memory, which an administrator grants to a user and a process switches on in its
 * token. Compiled on every change; Wine 8 only has stubs, so that none of this has been run on a real one.
 */
#include "os_windows.h"
#include "sr_os_physical.h"

#include <windows.h>

#include <assert.h>

/* AdjustTokenPrivileges succeeds where it did nothing: the last error tells. */
static int enable_privilege(sr_error *error)
{
    HANDLE token;
    TOKEN_PRIVILEGES wanted = {.PrivilegeCount = 1};
    wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token)) {
        return failed(error, "OpenProcessToken");
    }
    int outcome = 0;
    if (!LookupPrivilegeValueW(NULL, L"SeLockMemoryPrivilege", &wanted.Privileges[0].Luid)) {
        outcome = failed(error, "LookupPrivilegeValue");
    } else if (!AdjustTokenPrivileges(token, FALSE, &wanted, 0, NULL, NULL) || GetLastError() != ERROR_SUCCESS) {
        outcome = failed(error, "AdjustTokenPrivileges");
        error->code = error->code == ERROR_NOT_ALL_ASSIGNED ? ERROR_PRIVILEGE_NOT_HELD : error->code;
    }
    CloseHandle(token);
    return outcome;
}

int sr_os_store_make(sr_physical *store, sr_error *error)
{
    ULONG_PTR count = store->page_count;
    _Static_assert(sizeof(ULONG_PTR) == sizeof *store->frames, "frames are kept as Windows has them");
    store->address = NULL;
    store->file = -1;
    if (store->kind != SR_STORE_AWE) {
        return refused(error, store->kind == SR_STORE_SECRETMEM ? "memfd_secret" : "mmap(store)", SR_UNSUPPORTED);
    }
    sr_error unprivileged = {NULL, 0};
    (void)enable_privilege(&unprivileged); /* what follows says whether it was needed, and this why it is not there */
    if (!AllocateUserPhysicalPages(GetCurrentProcess(), &count, (ULONG_PTR *)store->frames)) {
        (void)failed(error, "AllocateUserPhysicalPages");
        if (error->code == ERROR_CALL_NOT_IMPLEMENTED) {
            error->code = SR_UNSUPPORTED;
        } else if (unprivileged.call != NULL) {
            *error = unprivileged;
        }
        return -1;
    }
    if (count < store->page_count) { /* a success, as far as it went */
        FreeUserPhysicalPages(GetCurrentProcess(), &count, (ULONG_PTR *)store->frames);
        return refused(error, "AllocateUserPhysicalPages", ERROR_NO_SYSTEM_RESOURCES);
    }
    return 0;
}

/* The system overwrites a page with zeros before it gives it to somebody else. */
int sr_os_store_end(sr_physical *store, sr_error *error)
{
    ULONG_PTR count = store->page_count;
    if (!FreeUserPhysicalPages(GetCurrentProcess(), &count, (ULONG_PTR *)store->frames)) {
        return failed(error, "FreeUserPhysicalPages");
    }
    return 0;
}

void sr_os_store_forget(sr_physical *store)
{
    (void)store; /* there is no fork */
}

int sr_os_window_reserve(size_t size, void **address, sr_error *error)
{
    void *got = VirtualAlloc(NULL, size, MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE);
    if (got == NULL) {
        return failed(error, "VirtualAlloc(MEM_PHYSICAL)");
    }
    *address = got;
    return 0;
}

int sr_os_store_is_exclusive(void)
{
    return 1;
}

int sr_os_store_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error)
{
    assert(first + count <= store->page_count);
    if (!MapUserPhysicalPages(address, count, (ULONG_PTR *)store->frames + first)) {
        return failed(error, "MapUserPhysicalPages");
    }
    return 0;
}

int sr_os_store_hide(void *address, size_t size, sr_error *error)
{
    return MapUserPhysicalPages(address, size / sr_os_page_size(), NULL) ? 0 : failed(error, "MapUserPhysicalPages");
}
