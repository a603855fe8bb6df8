/* Pages of private files on Windows: each promise checked against VirtualQuery, the directory's listing and the file
 * itself. Under Wine they are mappings of a Linux file, and what becomes of a tail is that file system's doing. */
#include "named_checks.h"

#include "private_files.h"

#include <aclapi.h>

/* ---- the pages ---- */

static int is_open(intptr_t file)
{
    BY_HANDLE_FILE_INFORMATION ignored;
    return GetFileInformationByHandle((HANDLE)file, &ignored) != 0;
}

static void test_pages(size_t count)
{
    sr_private_pages made;
    size_t size = count * page;
    printf("      %u pages\n", (unsigned)count);
    if (!CHECK("pages of a private file are made", sr_os_private_pages(directory, size, 0, &made, &error) == 0)) {
        printf("      %s: %lld\n", error.call, (long long)error.code);
        return;
    }
    CHECK("they are a view between a guard of it and a reservation", is_laid_out(&made, size));
    CHECK("and zeros", is_all(made.pages, size, 0));
    CHECK("below and above nobody can touch anything",
          is_out_of_reach(made.pages - 1) && is_out_of_reach(made.pages + size));
    CHECK("control: the pages themselves anybody can",
          !is_out_of_reach(made.pages) && !is_out_of_reach(made.pages + size - 1));
    CHECK("the file is open", is_open(made.file));
    CHECK("they can be closed, read and written again",
          sr_os_protect(made.pages, size, SR_NO_ACCESS, &error) == 0 && is_out_of_reach(made.pages)
              && sr_os_protect(made.pages, size, SR_READ_ONLY, &error) == 0
              && sr_os_protect(made.pages, size, SR_READ_WRITE, &error) == 0 && !is_out_of_reach(made.pages));
    CHECK("they can be locked", sr_os_lock(made.pages, size, &error) == 0
                                    && sr_os_unlock(made.pages, size, &error) == 0);
    CHECK("children have nothing of them", sr_os_advise_not_in_child(made.pages, size, &error) == 0);
    CHECK("their space cannot be given back early",
          sr_os_punch(made.pages, size, &error) == -1 && error.code == SR_UNSUPPORTED);
    CHECK("they are given back", sr_os_private_release(made.file, made.reservation, made.reserved_size, &error) == 0);
    CHECK("and all of it is free", told(made.reservation).State == MEM_FREE && told(made.pages).State == MEM_FREE
                                       && told(made.pages + size).State == MEM_FREE);
    CHECK("the file is closed and gone", !is_open(made.file) && files() == 0);
    CHECK("a second release fails and says where",
          sr_os_private_release(made.file, made.reservation, made.reserved_size, &error) == -1
              && strcmp(error.call, "UnmapViewOfFile(private file)") == 0);
}

static void test_file(void)
{
    sr_private_pages made;
    WIN32_FIND_DATAA found;
    size_t size = 3 * page, lead = GRANULE - size;
    CHECK("some pages", sr_os_private_pages(directory, size, 0, &made, &error) == 0);
    CHECK("their file has a name", listed(directory, &found) == 1);
    CHECK("and ends where they do", found.nFileSizeLow == lead + size && found.nFileSizeHigh == 0);
    CHECK("nobody can open it", !can_open(found.cFileName) && GetLastError() == ERROR_SHARING_VIOLATION);
    memcpy(made.pages + size - 512, "thirteen more", 13);
    CHECK("writing it back succeeds", sr_os_private_flush(made.file, made.pages, size, &error) == 0);
    CHECK("what was stored is in the file then", memcmp(in_file(made.file, lead + size - 512), "thirteen more", 13) == 0);
    CHECK("and before that nothing but zeros", is_all(in_file(made.file, 0), 512, 0)
                                                   && is_all(in_file(made.file, lead + size - 1024), 512, 0));
    sr_os_wipe(made.pages, size);
    CHECK("what is wiped and written back is zeros in the file",
          sr_os_private_flush(made.file, made.pages, size, &error) == 0
              && is_all(in_file(made.file, lead + size - 512), 512, 0));
    HANDLE file = (HANDLE)made.file;
    DWORD flags = 0;
    CHECK("its handle is not for children", GetHandleInformation(file, &flags) && (flags & HANDLE_FLAG_INHERIT) == 0);
    release(&made);

    char path[3 * MAX_PATH];
    snprintf(path, sizeof path, "%s\\.strongroom-control", directory);
    file = CreateFileA(path, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_NEW, 0, NULL);
    CloseHandle(file);
    CHECK("control: a file of that name can be listed and opened", files() == 1 && can_open(".strongroom-control"));
    DeleteFileA(path);
}

/* How many may do something with a file besides this user and the system itself, whom Wine always lists. */
static DWORD others_of(HANDLE file)
{
    static unsigned char user[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    ACL *list = NULL;
    PSECURITY_DESCRIPTOR descriptor = NULL;
    HANDLE token = NULL;
    DWORD size = 0, count = 0, users = 0;
    CHECK("who may open a file is told", GetSecurityInfo(file, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, &list,
                                                         NULL, &descriptor) == ERROR_SUCCESS && list != NULL);
    CHECK("who this is as well", OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)
                                     && GetTokenInformation(token, TokenUser, user, sizeof user, &size));
    for (DWORD i = 0; i < list->AceCount; i++) {
        ACCESS_ALLOWED_ACE *one = NULL;
        GetAce(list, i, (void **)&one);
        int is_user = EqualSid((PSID)&one->SidStart, ((TOKEN_USER *)(void *)user)->User.Sid);
        users += is_user;
        count += !is_user && !IsWellKnownSid((PSID)&one->SidStart, WinLocalSystemSid);
    }
    LocalFree(descriptor);
    CloseHandle(token);
    CHECK("this user is one", users == 1);
    return count;
}

static void test_owner(void)
{
    sr_private_pages made;
    char path[3 * MAX_PATH];
    CHECK("some pages", sr_os_private_pages(directory, page, 0, &made, &error) == 0);
    CHECK("nobody else may open their file", others_of((HANDLE)made.file) == 0);
    release(&made);
    snprintf(path, sizeof path, "%s\\control", directory);
    DWORD how = FILE_FLAG_DELETE_ON_CLOSE;
    HANDLE control = CreateFileA(path, GENERIC_WRITE | READ_CONTROL | DELETE, 0, NULL, CREATE_NEW, how, NULL);
    CHECK("control: others may do something with an ordinary file", others_of(control) != 0);
    CloseHandle(control);
}

static void test_partial_page(void)
{
    sr_private_pages made;
    WIN32_FIND_DATAA found;
    size_t tail = page - 512, lead = GRANULE - page;
    CHECK("this directory drops tails", sr_os_drops_tails(directory, tail, &error) == 0);
    CHECK("and nothing is left of the trial", files() == 0);
    CHECK("a partial page is made", sr_os_private_pages(directory, page, tail, &made, &error) == 0);
    CHECK("it is a page between guards", is_laid_out(&made, page));
    CHECK("its file ends before it does", listed(directory, &found) == 1 && found.nFileSizeLow == lead + 512);
    CHECK("behind that it is zeros, and memory", is_all(made.pages, page, 0));
    memset(made.pages, 'h', 512);
    memset(made.pages + 512, 't', tail);
    CHECK("its last byte keeps what is stored", made.pages[page - 1] == 't');
    CHECK("it is written back", sr_os_private_flush(made.file, made.pages, page, &error) == 0);
    CHECK("its head goes to the file", is_all(in_file(made.file, lead), 512, 'h'));
    CHECK("which is as long as before", listed(directory, &found) == 1 && found.nFileSizeLow == lead + 512);
    if (has_wine()) { /* Linux clears the page that it writes; Windows keeps what is in memory until the page is dropped */
        CHECK("its tail is gone, the head is not", is_all(made.pages, 512, 'h') && is_all(made.pages + 512, tail, 0));
    } else {
        skip("its tail is gone", "needs Wine: Windows clears it when the page comes back from disk");
    }
    release(&made);
    WIN32_FIND_DATAA ignored;
    const char *memory = "Z:\\dev\\shm";
    if (has_wine() && GetFileAttributesA(memory) != INVALID_FILE_ATTRIBUTES) {
        int before = listed(memory, &ignored);
        CHECK("files in memory keep their tails, and are refused",
              sr_os_drops_tails(memory, tail, &error) == -1 && names("FlushViewOfFile(partial page)", SR_UNSUPPORTED));
        CHECK("control: they can be made there", sr_os_private_pages(memory, page, tail, &made, &error) == 0
                                                     && listed(memory, &ignored) == before + 1);
        CHECK("and nothing is left there",
              sr_os_private_release(made.file, made.reservation, made.reserved_size, &error) == 0
                  && listed(memory, &ignored) == before);
    } else {
        skip("files in memory keep their tails, and are refused", "needs Wine and a /dev/shm: Windows has no such files");
    }
}

static void test_where_files_lie(void)
{
    sr_filesystem told;
    char volume[MAX_PATH], kind[MAX_PATH];
    CHECK("control: the volume's own words", GetVolumePathNameA(directory, volume, sizeof volume)
              && GetVolumeInformationA(volume, NULL, 0, NULL, NULL, NULL, kind, sizeof kind));
    CHECK("a directory's volume is told", sr_os_filesystem(directory, &told, &error) == 0
                                              && strcmp(told.source, volume) == 0);
    CHECK("and its file system", strcmp(told.kind, GetDriveTypeA(volume) == DRIVE_RAMDISK ? SR_RAM_DISK : kind) == 0);
}

static void test_refusals(void)
{
    static char path[4096];
    sr_private_pages made;
    sr_filesystem told;
    snprintf(path, sizeof path, "%s\\not\\there", directory);
    CHECK("without a directory there are none", sr_os_private_pages(path, page, 0, &made, &error) == -1
                                                    && names("CreateFile(private file)", ERROR_PATH_NOT_FOUND));
    CHECK("nor is anything tried there", sr_os_drops_tails(path, page - 512, &error) == -1
                                             && names("CreateFile(private file)", ERROR_PATH_NOT_FOUND));
    CHECK("a path is text", sr_os_private_pages("C:\\\xff\xfe", page, 0, &made, &error) == -1
                                && names("MultiByteToWideChar", ERROR_NO_UNICODE_TRANSLATION));
    memset(path, 'x', sizeof path - 1);
    CHECK("of bounded length", sr_os_private_pages(path, page, 0, &made, &error) == -1
                                   && names("MultiByteToWideChar", ERROR_INSUFFICIENT_BUFFER));
    CHECK("nor are places told", sr_os_filesystem(path, &told, &error) == -1
                                     && names("MultiByteToWideChar", ERROR_INSUFFICIENT_BUFFER));
    CHECK("nothing is left of those", files() == 0);
}

/* truncate(2), past Wine: nothing is behind the pages then, as when a device is gone. */
static int cut_short(const char *name)
{
    typedef char *(CDECL * unix_name)(LPCWSTR);
    char path[3 * MAX_PATH];
    WCHAR wide[3 * MAX_PATH];
    FARPROC found = GetProcAddress(GetModuleHandleA("kernel32"), "wine_get_unix_file_name");
    unix_name ask;
    long long result = 76; /* SYS_truncate */
    memcpy(&ask, &found, sizeof ask);
    snprintf(path, sizeof path, "%s\\%s", directory, name);
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 3 * MAX_PATH);
    char *below = ask(wide);
    __asm__ volatile("syscall" : "+a"(result) : "D"(below), "S"(0LL) : "rcx", "r11", "memory");
    HeapFree(GetProcessHeap(), 0, below);
    return result == 0;
}

static void test_fetch(void)
{
    sr_private_pages made;
    WIN32_FIND_DATAA found;
    CHECK("some pages", sr_os_private_pages(directory, page, 0, &made, &error) == 0 && listed(directory, &found) == 1);
    CHECK("they can be fetched", sr_os_fetch(made.pages, page, 1, &error) == 0);
    if (has_wine()) {
        CHECK("their file is cut short", cut_short(found.cFileName));
        CHECK("what does not come back is an error and no fault",
              sr_os_fetch(made.pages, page, 1, &error) == -1 && strcmp(error.call, "ReadProcessMemory") == 0);
    } else {
        skip("what does not come back is an error and no fault", "needs Wine: Windows lets nobody shorten a file that is shown");
    }
    release(&made);
}

static void test_name_in_unicode(void)
{
    char path[3 * MAX_PATH];
    WCHAR wide[3 * MAX_PATH];
    sr_private_pages made;
    snprintf(path, sizeof path, "%s\\caf\xc3\xa9", directory);
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 3 * MAX_PATH);
    CHECK("a directory with any name", CreateDirectoryW(wide, NULL));
    CHECK("is found", sr_os_private_pages(path, page, 0, &made, &error) == 0);
    CHECK("and in use", !RemoveDirectoryW(wide));
    CHECK("until the pages are given back",
          sr_os_private_release(made.file, made.reservation, made.reserved_size, &error) == 0 && RemoveDirectoryW(wide));
}

int main(void)
{
    begins();
    CHECK("the step of reservations is 64 KiB", sr_os_granularity() == GRANULE);
    size_t counts[] = {1, 3, 15, 16, 17};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        test_pages(counts[i]);
    }
    test_file();
    test_owner();
    test_partial_page();
    test_where_files_lie();
    test_refusals();
    test_fetch();
    test_name_in_unicode();
    ends();
    return check_result();
}
