/* Sections, views and CryptProtectMemory on Windows, where all of them come from. */
#include "os_windows.h"
#include "sr_os_backing.h"
#include "sr_os_mapping.h"

#include <windows.h>

#include <dpapi.h>

#include <assert.h>
#include <string.h>

static DWORD access_for(sr_protection protection)
{
    switch ((int)protection) {
    case SR_READ_WRITE: return FILE_MAP_READ | FILE_MAP_WRITE;
    case SR_WRITE_COPY: return FILE_MAP_COPY;
    case SR_EXECUTE:
    case SR_EXECUTE_READ: return FILE_MAP_READ | FILE_MAP_EXECUTE;
    case SR_EXECUTE_READ_WRITE: return FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE;
    case SR_EXECUTE_WRITE_COPY: return FILE_MAP_COPY | FILE_MAP_EXECUTE;
    }
    return FILE_MAP_READ;
}

int sr_os_section_create(intptr_t file, sr_protection protection, uint64_t *size, intptr_t *section, sr_error *error)
{
    HANDLE from = file == -1 ? INVALID_HANDLE_VALUE : (HANDLE)file;
    HANDLE made = CreateFileMappingW(from, NULL, (DWORD)protection, (DWORD)(*size >> 32), (DWORD)*size, NULL);
    if (made == NULL) {
        return failed(error, "CreateFileMapping");
    }
    if (*size == 0) {
        LARGE_INTEGER length;
        if (!GetFileSizeEx(from, &length)) {
            failed(error, "GetFileSizeEx");
            CloseHandle(made);
            return -1;
        }
        *size = (uint64_t)length.QuadPart;
    }
    *section = (intptr_t)made;
    return 0;
}

/* The size of an open section: what a view of all of it has, in whole pages. NtQuerySection, which knows the very
 * number, is not documented for programs. */
static int measure(HANDLE section, uint64_t *size, sr_error *error)
{
    MEMORY_BASIC_INFORMATION info;
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    if (view == NULL) {
        return failed(error, "MapViewOfFile");
    }
    SIZE_T told = VirtualQuery(view, &info, sizeof info);
    UnmapViewOfFile(view);
    if (told == 0) {
        return refused(error, "VirtualQuery", ERROR_INVALID_ADDRESS);
    }
    *size = info.RegionSize;
    return 0;
}

int sr_os_section_named(
    const char *name, sr_protection protection, uint64_t *size, intptr_t *section, int *existed, sr_error *error)
{
    WCHAR wide[MAX_PATH];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide, MAX_PATH) == 0) {
        return failed(error, "MultiByteToWideChar");
    }
    HANDLE got;
    if (*size == 0) {
        got = OpenFileMappingW(access_for(protection), FALSE, wide);
        *existed = 1;
    } else {
        DWORD high = (DWORD)(*size >> 32), low = (DWORD)*size;
        got = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, (DWORD)protection, high, low, wide);
        *existed = got != NULL && GetLastError() == ERROR_ALREADY_EXISTS;
    }
    if (got == NULL) {
        return failed(error, *size == 0 ? "OpenFileMapping" : "CreateFileMapping");
    }
    if (*existed && measure(got, size, error) != 0) {
        CloseHandle(got);
        return -1;
    }
    *section = (intptr_t)got;
    return 0;
}

void sr_os_section_close(intptr_t section, const char *name, int is_maker)
{
    (void)name;
    (void)is_maker;
    CloseHandle((HANDLE)section);
}

int sr_os_map_view(
    intptr_t section, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error)
{
    DWORD high = (DWORD)(offset >> 32), low = (DWORD)offset;
    void *got = MapViewOfFile((HANDLE)section, access_for(protection), high, low, *size);
    if (got == NULL) {
        return failed(error, "MapViewOfFile");
    }
    if (*size == 0) {
        MEMORY_BASIC_INFORMATION info;
        if (VirtualQuery(got, &info, sizeof info) == 0) {
            failed(error, "VirtualQuery");
            UnmapViewOfFile(got);
            return -1;
        }
        *size = info.RegionSize;
    }
    *address = got;
    return 0;
}

int sr_os_map_file(
    intptr_t file, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error)
{
    intptr_t section;
    uint64_t length = *size != 0 ? offset + *size : 0;
    if (sr_os_section_create(file, protection, &length, &section, error) != 0) {
        return -1;
    }
    size_t wanted = *size != 0 || offset >= length ? *size : (size_t)(length - offset);
    int outcome = sr_os_map_view(section, offset, &wanted, protection, address, error);
    CloseHandle((HANDLE)section); /* its view keeps what it shows */
    *size = wanted;
    return outcome;
}

int sr_os_unmap_view(void *address, size_t size, sr_error *error)
{
    (void)size;
    return UnmapViewOfFile(address) ? 0 : failed(error, "UnmapViewOfFile");
}

/* Hands the pages to the file system; the disk may still have to be told (FlushFileBuffers). */
int sr_os_flush_view(void *address, size_t size, sr_error *error)
{
    return FlushViewOfFile(address, size) ? 0 : failed(error, "FlushViewOfFile");
}

/* A byte of each page through the kernel: what would be EXCEPTION_IN_PAGE_ERROR is an error there. What is read can be
 * written too: the file has its space since it was made. */
int sr_os_fetch(void *address, size_t size, int is_written, sr_error *error)
{
    size_t page = sr_os_page_size();
    (void)is_written;
    for (size_t i = 0; i < size; i += page) {
        unsigned char first;
        if (sr_os_copy(&first, (unsigned char *)address + i, 1, error) != 0) {
            return -1;
        }
        sr_os_wipe(&first, 1);
    }
    return 0;
}

int sr_os_is_present(void *page)
{
    (void)page;
    return 1;
}

/* ---- CryptProtectMemory ---- */

/* Wine's succeeds and does nothing. Whether this one does anything is seen on a block that is no secret, once. */
static int is_real(void)
{
    static int known; /* 1: yes, -1: no; the same whichever thread stores it first */
    if (known == 0) {
        static const unsigned char example[CRYPTPROTECTMEMORY_BLOCK_SIZE] = "not a secret...";
        unsigned char block[CRYPTPROTECTMEMORY_BLOCK_SIZE];
        memcpy(block, example, sizeof block);
        int has_changed = CryptProtectMemory(block, sizeof block, CRYPTPROTECTMEMORY_SAME_PROCESS)
            && memcmp(block, example, sizeof block) != 0;
        int is_back = CryptUnprotectMemory(block, sizeof block, CRYPTPROTECTMEMORY_SAME_PROCESS)
            && memcmp(block, example, sizeof block) == 0;
        known = has_changed && is_back ? 1 : -1;
    }
    return known == 1;
}

int sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *error)
{
    assert(size % CRYPTPROTECTMEMORY_BLOCK_SIZE == 0);
    if (!is_real() || size > MAXDWORD) {
        return refused(error, "CryptProtectMemory", ERROR_NOT_SUPPORTED);
    }
    return CryptProtectMemory(address, (DWORD)size, flags) ? 0 : failed(error, "CryptProtectMemory");
}

int sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *error)
{
    assert(size % CRYPTPROTECTMEMORY_BLOCK_SIZE == 0);
    if (!is_real() || size > MAXDWORD) {
        return refused(error, "CryptUnprotectMemory", ERROR_NOT_SUPPORTED);
    }
    return CryptUnprotectMemory(address, (DWORD)size, flags) ? 0 : failed(error, "CryptUnprotectMemory");
}
