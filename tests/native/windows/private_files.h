/* What the tests of private files share: a directory for them, and what Windows says of its files and of pages. */
#ifndef SR_PRIVATE_FILES_H
#define SR_PRIVATE_FILES_H

#include "named_checks.h"
#include "sr_os_backing.h"

#include <windows.h>

enum { GRANULE = 65536 };

static size_t page;
static sr_error error;
static char directory[2 * MAX_PATH];

UNUSED static int names(const char *call, int64_t code)
{
    return strcmp(error.call, call) == 0 && error.code == code;
}

UNUSED static int has_wine(void)
{
    return GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version") != NULL;
}

UNUSED static MEMORY_BASIC_INFORMATION told(const void *address)
{
    MEMORY_BASIC_INFORMATION region;
    memset(&region, 0, sizeof region);
    VirtualQuery(address, &region, sizeof region);
    return region;
}

UNUSED static int is_laid_out(const sr_private_pages *made, size_t size)
{
    MEMORY_BASIC_INFORMATION pages = told(made->pages), below = told(made->pages - page),
                             above = told(made->pages + size);
    return pages.State == MEM_COMMIT && pages.Protect == PAGE_READWRITE && pages.Type == MEM_MAPPED
        && pages.RegionSize == size && below.State == MEM_COMMIT && below.Protect == PAGE_NOACCESS
        && above.State == MEM_RESERVE && above.RegionSize == GRANULE
        && pages.AllocationBase == made->reservation && below.AllocationBase == made->reservation
        && made->reservation + made->reserved_size == made->pages + size + GRANULE;
}

/* ---- what lies in the directory ---- */

static int listed(const char *where, WIN32_FIND_DATAA *found)
{
    char pattern[3 * MAX_PATH];
    int count = 0;
    snprintf(pattern, sizeof pattern, "%s\\.strongroom-*", where);
    HANDLE search = FindFirstFileA(pattern, found);
    if (search != INVALID_HANDLE_VALUE) {
        WIN32_FIND_DATAA next;
        do {
            count++;
        } while (FindNextFileA(search, &next));
        FindClose(search);
    }
    return count;
}

UNUSED static int files(void)
{
    WIN32_FIND_DATAA found;
    return listed(directory, &found);
}

UNUSED static int can_open(const char *name)
{
    char path[3 * MAX_PATH];
    snprintf(path, sizeof path, "%s\\%s", directory, name);
    HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return 0;
    }
    CloseHandle(file);
    return 1;
}

/* 512 bytes of the file itself: past the cache, as the file was opened. */
UNUSED static const unsigned char *in_file(intptr_t file, size_t offset)
{
    static _Alignas(4096) unsigned char bytes[512];
    DWORD count = 0;
    memset(bytes, 0xEE, sizeof bytes);
    SetFilePointer((HANDLE)file, (LONG)offset, NULL, FILE_BEGIN);
    if (!ReadFile((HANDLE)file, bytes, sizeof bytes, &count, NULL) || count != sizeof bytes) {
        memset(bytes, 0xEE, sizeof bytes);
    }
    return bytes;
}

/* By a touch, caught: Wine's ReadProcessMemory reads what cannot be touched. */
UNUSED static int is_out_of_reach(unsigned char *address)
{
    return IsBadReadPtr(address, 1) && IsBadWritePtr(address, 1);
}

/* A directory for the test's files, and its end with what a test that failed left there. */
UNUSED static int begins(void)
{
    char temporary[MAX_PATH];
    page = sr_os_page_size();
    GetTempPathA(sizeof temporary, temporary);
    snprintf(directory, sizeof directory, "%sstrongroom-%lx-%lx", temporary, GetCurrentProcessId(), GetTickCount());
    return CHECK("a directory of its own", CreateDirectoryA(directory, NULL));
}

UNUSED static void ends(void)
{
    char path[3 * MAX_PATH];
    WIN32_FIND_DATAA found;
    CHECK("nothing is left", files() == 0);
    for (int left = files(); left > 0 && listed(directory, &found) != 0; left--) {
        snprintf(path, sizeof path, "%s\\%s", directory, found.cFileName);
        DeleteFileA(path);
    }
    CHECK("and the directory can go", RemoveDirectoryA(directory));
}

UNUSED static void release(sr_private_pages *made)
{
    CHECK("pages and file are given back",
          sr_os_private_release(made->file, made->reservation, made->reserved_size, &error) == 0 && files() == 0);
}

#endif
