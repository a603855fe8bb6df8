/* Pages of a file that nobody else can open, on Windows.
 *
 * A view of a section cannot take the place of reserved pages, begins at a multiple of the granularity (64 KiB) and ends
 * with the last page of its section. So the file begins with a lead of zeros that makes the view end at such a multiple:
 *
 *     view: the whole file                                                   reservation
 *     | lead: 4 to 64 KiB, a guard, its pages are made inaccessible | pages | guard, one granule |
 *
 * The file has a name, and an open handle, for as long as there are pages: whether a file that is deleted when its last
 * handle goes is deleted while a view is left is nowhere documented. Nobody else can open it meanwhile (share mode 0), and
 * the system closes handles, which deletes the file, however a process ends. The handle serves FlushFileBuffers as well.
 *
 * FILE_ATTRIBUTE_TEMPORARY: the system writes such a file only where it has to.
 */
#include "os_windows.h"
#include "sr_os_backing.h"
#include "sr_os_mapping.h"

#include <windows.h>

#include <winioctl.h>

#include <stdio.h>

/* UTF-16 units of a directory's path and of the file's name behind it, terminator included. */
#define PATH_ROOM 1024
#define NAME_ROOM 40

/* How often another thread may take a place between the moments when it is free and when it is ours. */
#define PLACE_TRIES 16

/* Bytes written at once. Past the cache, they must lie at a multiple of the disk's sector, at most a page. */
#define ZEROS_SIZE 65536
static _Alignas(4096) unsigned char zeros[ZEROS_SIZE]; /* not const: 64 KiB of zeros would be in the program's file */

/* ---- the file ---- */

/* "DIRECTORY\.strongroom-<16 digits>". CREATE_NEW refuses a name that exists. */
static int name_file(const char *directory, WCHAR *path, sr_error *error)
{
    uint64_t number;
    char name[NAME_ROOM];
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, directory, -1, path, PATH_ROOM - NAME_ROOM);
    if (length == 0) {
        return failed(error, "MultiByteToWideChar");
    }
    if (sr_os_random(&number, sizeof number, error) != 0) {
        return -1;
    }
    int size = snprintf(name, sizeof name, "\\.strongroom-%016llx", (unsigned long long)number);
    for (int i = 0; i <= size; i++) {
        path[length - 1 + i] = (WCHAR)name[i];
    }
    return 0;
}

/* Who may open a file: this user, whatever the directory would give its files. Lives on its maker's stack. */
typedef struct owner_only {
    SECURITY_ATTRIBUTES attributes;
    SECURITY_DESCRIPTOR descriptor;
    union {
        TOKEN_USER user;
        unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } told;
    union {
        ACL list;
        unsigned char room[sizeof(ACL) + sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE];
    } allowed;
} owner_only;

static int tell_owner(owner_only *owner, sr_error *error)
{
    HANDLE token;
    DWORD size;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return failed(error, "OpenProcessToken");
    }
    BOOL is_told = GetTokenInformation(token, TokenUser, &owner->told, sizeof owner->told, &size);
    DWORD code = GetLastError();
    CloseHandle(token);
    SetLastError(code);
    if (!is_told) {
        return failed(error, "GetTokenInformation");
    }
    PSID user = owner->told.user.User.Sid;
    if (!InitializeAcl(&owner->allowed.list, sizeof owner->allowed, ACL_REVISION)
        || !AddAccessAllowedAce(&owner->allowed.list, ACL_REVISION, FILE_ALL_ACCESS, user)
        || !InitializeSecurityDescriptor(&owner->descriptor, SECURITY_DESCRIPTOR_REVISION)
        || !SetSecurityDescriptorDacl(&owner->descriptor, TRUE, &owner->allowed.list, FALSE)
        || !SetSecurityDescriptorControl(&owner->descriptor, SE_DACL_PROTECTED, SE_DACL_PROTECTED)) {
        return failed(error, "SetSecurityDescriptorDacl");
    }
    owner->attributes = (SECURITY_ATTRIBUTES){sizeof owner->attributes, &owner->descriptor, FALSE};
    return 0;
}

static int make_file(const char *directory, HANDLE *file, sr_error *error)
{
    WCHAR path[PATH_ROOM];
    owner_only owner;
    if (name_file(directory, path, error) != 0 || tell_owner(&owner, error) != 0) {
        return -1;
    }
    DWORD how = FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED | FILE_FLAG_DELETE_ON_CLOSE
        | FILE_FLAG_NO_BUFFERING;
    *file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE | DELETE, 0, &owner.attributes, CREATE_NEW, how, NULL);
    if (*file == INVALID_HANDLE_VALUE) {
        return failed(error, "CreateFile(private file)");
    }
    /* Zeros take no space in a compressed file, which a directory may make of it. Most file systems know no such thing. */
    USHORT plain = COMPRESSION_FORMAT_NONE;
    DWORD size;
    (void)DeviceIoControl(*file, FSCTL_SET_COMPRESSION, &plain, sizeof plain, NULL, 0, &size, NULL);
    return 0;
}

/* Past the cache, so that a size that is no multiple of the disk's sectors is refused ("File Buffering", Windows' manual):
 * where a sector is larger than the head of a partial page, what lies behind that might be written with it. */
static int fill(HANDLE file, uint64_t size, size_t tail, sr_error *error)
{
    if (SetFilePointer(file, 0, NULL, FILE_BEGIN) == INVALID_SET_FILE_POINTER) {
        return failed(error, "SetFilePointer(private file)");
    }
    while (size != 0) {
        DWORD count = size < ZEROS_SIZE ? (DWORD)size : ZEROS_SIZE, written = 0;
        if (!WriteFile(file, zeros, count, &written, NULL)) {
            return tail != 0 && GetLastError() == ERROR_INVALID_PARAMETER
                ? lacking(error, "WriteFile(partial page)") : failed(error, "WriteFile(private file)");
        }
        if (written != count) {
            SetLastError(ERROR_DISK_FULL);
            return failed(error, "WriteFile(private file)");
        }
        size -= count;
    }
    return 0;
}

/* ---- its pages ---- */

/* Where the view is put somebody else may put something first: there is no call that does both. */
static int place(HANDLE section, size_t view_size, size_t granule, unsigned char **view, sr_error *error)
{
    for (int i = 0; i < PLACE_TRIES; i++) {
        unsigned char *room = VirtualAlloc(NULL, view_size + granule, MEM_RESERVE, PAGE_NOACCESS);
        if (room == NULL) {
            return failed(error, "VirtualAlloc(MEM_RESERVE)");
        }
        VirtualFree(room, 0, MEM_RELEASE);
        unsigned char *guard = VirtualAlloc(room + view_size, granule, MEM_RESERVE, PAGE_NOACCESS);
        if (guard == NULL) {
            failed(error, "VirtualAlloc(MEM_RESERVE)");
            continue;
        }
        *view = MapViewOfFileEx(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0, room);
        if (*view != NULL) {
            return 0;
        }
        failed(error, "MapViewOfFileEx(private file)");
        VirtualFree(guard, 0, MEM_RELEASE);
        if (error->code != ERROR_INVALID_ADDRESS) {
            return -1;
        }
    }
    return -1;
}

/* What can be refused is first: a view that cannot be unmapped leaves all as it was. */
static int hide(unsigned char *reservation, size_t reserved_size, sr_error *error)
{
    if (!UnmapViewOfFile(reservation)) {
        return failed(error, "UnmapViewOfFile(private file)");
    }
    VirtualFree(reservation + reserved_size - sr_os_granularity(), 0, MEM_RELEASE);
    return 0;
}

/* The section needs no handle: its view keeps it. */
static int show(HANDLE file, uint64_t file_size, size_t lead, size_t size, sr_private_pages *made, sr_error *error)
{
    DWORD previous;
    size_t granule = sr_os_granularity();
    HANDLE section = CreateFileMappingW(file, NULL, PAGE_READWRITE, (DWORD)(file_size >> 32), (DWORD)file_size, NULL);
    if (section == NULL) {
        return failed(error, "CreateFileMapping(private file)");
    }
    unsigned char *view = NULL;
    int result = place(section, lead + size, granule, &view, error);
    CloseHandle(section);
    if (result != 0) {
        return -1;
    }
    *made = (sr_private_pages){view, lead + size + granule, view + lead, (intptr_t)file};
    if (!VirtualProtect(view, lead, PAGE_NOACCESS, &previous)) {
        sr_error ignored;
        failed(error, "VirtualProtect");
        (void)hide(view, made->reserved_size, &ignored);
        return -1;
    }
    return 0;
}

int sr_os_private_pages(const char *directory, size_t size, size_t tail, sr_private_pages *made, sr_error *error)
{
    size_t granule = sr_os_granularity(), lead = granule - size % granule;
    uint64_t file_size = (uint64_t)lead + size - tail;
    HANDLE file;
    if (make_file(directory, &file, error) != 0) {
        return -1;
    }
    if (fill(file, file_size, tail, error) != 0 || show(file, file_size, lead, size, made, error) != 0) {
        CloseHandle(file);
        return -1;
    }
    return 0;
}

void sr_os_private_forget(void) {}

int sr_os_private_flush(intptr_t file, void *address, size_t size, sr_error *error)
{
    if (sr_os_flush_view(address, size, error) != 0) {
        return -1;
    }
    return FlushFileBuffers((HANDLE)file) ? 0 : failed(error, "FlushFileBuffers");
}

int sr_os_private_release(intptr_t file, void *reservation, size_t reserved_size, sr_error *error)
{
    if (hide(reservation, reserved_size, error) != 0) {
        return -1;
    }
    CloseHandle((HANDLE)file);
    return 0;
}

/* ---- what lies behind the file's end ---- */

/* Put something behind the file's end, have the page written, and take it away. */
static int lose_tail(HANDLE file, uint64_t file_size, sr_error *error)
{
    size_t page = sr_os_page_size();
    sr_private_pages trial;
    if (show(file, file_size, sr_os_granularity() - page, page, &trial, error) != 0) {
        return -1;
    }
    *(volatile unsigned char *)(trial.pages + page - 1) = 1;
    int result = sr_os_private_flush(trial.file, trial.pages, page, error);
    sr_error second;
    return hide(trial.reservation, trial.reserved_size, result == 0 ? error : &second) == 0 ? result : -1;
}

static int look_for_tail(HANDLE file, uint64_t file_size, sr_error *error)
{
    size_t page = sr_os_page_size();
    sr_private_pages trial;
    if (show(file, file_size, sr_os_granularity() - page, page, &trial, error) != 0) {
        return -1;
    }
    unsigned char found = *(volatile unsigned char *)(trial.pages + page - 1);
    if (hide(trial.reservation, trial.reserved_size, error) != 0) {
        return -1;
    }
    return found == 0 ? 0 : lacking(error, "FlushViewOfFile(partial page)");
}

/* A page that is written stays in memory for a while, tail and all, on Windows: what is dropped is the page, later. So it
 * is made to go: a write past the cache has the file system throw away the pages of the file that nobody shows. */
int sr_os_drops_tails(const char *directory, size_t tail, sr_error *error)
{
    uint64_t file_size = (uint64_t)sr_os_granularity() - tail;
    HANDLE file;
    if (make_file(directory, &file, error) != 0) {
        return -1;
    }
    int result = fill(file, file_size, tail, error) != 0 || lose_tail(file, file_size, error) != 0
            || fill(file, file_size, tail, error) != 0 || look_for_tail(file, file_size, error) != 0
        ? -1 : 0;
    CloseHandle(file);
    return result;
}
