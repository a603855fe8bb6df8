/* The OS contract on Windows: each promise checked against VirtualQuery, and the ends of a process in children that
 * are this program started again. Under Wine the memory manager that answers is Wine's. */
#include "named_checks.h"
#include "sr_os.h"

#include <windows.h>

#include <wchar.h>

enum { PAGES = 4 };

static size_t page, size;
static sr_error error;

static int names(const char *call, int64_t code)
{
    return strcmp(error.call, call) == 0 && error.code == code;
}

static MEMORY_BASIC_INFORMATION told(const void *address)
{
    MEMORY_BASIC_INFORMATION region;
    memset(&region, 0, sizeof region);
    VirtualQuery(address, &region, sizeof region);
    return region;
}

static int is(const void *address, DWORD state, DWORD protection)
{
    MEMORY_BASIC_INFORMATION region = told(address);
    return region.State == state && (state != MEM_COMMIT || region.Protect == protection);
}

static unsigned char *reserved(void)
{
    void *address = NULL;
    CHECK("reserve succeeds", sr_os_reserve(size, SR_PLACE_ANYWHERE, &address, &error) == 0);
    return address;
}

static void test_address_space(void)
{
    unsigned char *address = reserved();
    CHECK("reservations are placed in whole steps", (uintptr_t)address % sr_os_granularity() == 0);
    CHECK("reserved pages have no memory", is(address, MEM_RESERVE, 0));
    CHECK("committing a part succeeds", sr_os_commit(address + page, page, SR_READ_WRITE, &error) == 0);
    CHECK("it is committed as asked", is(address + page, MEM_COMMIT, PAGE_READWRITE));
    CHECK("and zeros", is_all(address + page, page, 0));
    CHECK("its neighbours stay reserved", is(address, MEM_RESERVE, 0) && is(address + 2 * page, MEM_RESERVE, 0));
    memset(address + page, 0xA5, page);
    CHECK("protecting succeeds", sr_os_protect(address + page, page, SR_READ_ONLY, &error) == 0);
    CHECK("it is protected as asked", is(address + page, MEM_COMMIT, PAGE_READONLY));
    CHECK("decommitting succeeds", sr_os_decommit(address + page, page, &error) == 0);
    CHECK("it is a reservation again", is(address + page, MEM_RESERVE, 0));
    CHECK("committed anew it is zeros",
          sr_os_commit(address + page, page, SR_READ_WRITE, &error) == 0 && is_all(address + page, page, 0));
    CHECK("what is not committed cannot be protected", sr_os_protect(address, page, SR_READ_ONLY, &error) == -1);
    CHECK("and the call is named", strcmp(error.call, "VirtualProtect") == 0 && error.code > 0);
    CHECK("the whole is released", sr_os_release(address, size, &error) == 0 && is(address, MEM_FREE, 0));
    CHECK("a second release fails", sr_os_release(address, size, &error) == -1);
    CHECK("and names its call with the code", names("VirtualFree(MEM_RELEASE)", ERROR_INVALID_ADDRESS)
                                                  || names("VirtualFree(MEM_RELEASE)", ERROR_INVALID_PARAMETER));
}

static void test_locks(void)
{
    unsigned char *address = reserved();
    CHECK("some pages", sr_os_commit(address, size, SR_READ_WRITE, &error) == 0);
    CHECK("locking succeeds", sr_os_lock(address, size, &error) == 0);
    CHECK("the pages at rest may be read", sr_os_resting_protection() == SR_READ_ONLY);
    CHECK("and stay locked as such", sr_os_protect(address, size, SR_READ_ONLY, &error) == 0);
    CHECK("unlocking succeeds", sr_os_unlock(address, size, &error) == 0);
    CHECK("it is given back", sr_os_release(address, size, &error) == 0);
    CHECK("locking what is gone fails", sr_os_lock(address, size, &error) == -1);
    CHECK("and names its call", strcmp(error.call, "VirtualLock") == 0 && error.code > 0);
    sr_error quota = {"VirtualLock", ERROR_WORKING_SET_QUOTA}, other = {"VirtualAlloc", ERROR_WORKING_SET_QUOTA};
    CHECK("the quota of a lock is a lock limit", sr_os_is_lock_limit(&quota) && !sr_os_is_lock_limit(&other));
}

static void test_what_there_is_not(void)
{
    unsigned char *address = reserved();
    CHECK("there is no way out of dumps", sr_os_advise_no_dump(address, size, &error) == -1
                                              && error.code == SR_UNSUPPORTED);
    CHECK("there is no secret memory", sr_os_secretmem(address, size, &error) == -1 && error.code == SR_UNSUPPORTED);
    CHECK("children have nothing anyway", sr_os_advise_not_in_child(address, size, &error) == 0
                                              && sr_os_advise_wipe_in_child(address, size, &error) == 0);
    CHECK("it is given back", sr_os_release(address, size, &error) == 0);
}

static void test_random_and_wipe(void)
{
    static unsigned char once[70001 + 1], again[70001 + 1];
    CHECK("two draws", sr_os_random(once, 70001, &error) == 0 && sr_os_random(again, 70001, &error) == 0);
    CHECK("differ at both ends", memcmp(once, again, 32) != 0 && memcmp(once + 69969, again + 69969, 32) != 0);
    CHECK("and are as long as asked", once[70001] == 0 && again[70001] == 0);
    memset(once, 0xA5, 64);
    sr_os_wipe(once + 3, 37);
    CHECK("exactly the range is wiped",
          is_all(once, 3, 0xA5) && is_all(once + 3, 37, 0) && is_all(once + 40, 24, 0xA5));
}

static void test_environment(void)
{
    size_t length = 0;
    char value[16] = "";
    SetEnvironmentVariableW(L"SR_TEST", L"caf\u00e9");
    CHECK("the size is that of the text in UTF-8",
          sr_os_environment_size("SR_TEST", &length, &error) == 0 && length == 5);
    CHECK("the value is read", sr_os_environment_read("SR_TEST", value, 5, &error) == 0
                                   && memcmp(value, "caf\xc3\xa9", 5) == 0);
    CHECK("another size is refused", sr_os_environment_read("SR_TEST", value, 4, &error) == -1);
    CHECK("wiping removes it", sr_os_environment_wipe("SR_TEST", &error) == 0
                                   && GetEnvironmentVariableW(L"SR_TEST", NULL, 0) == 0);
    CHECK("then there is none", sr_os_environment_size("SR_TEST", &length, &error) == -1
                                    && names("getenv", SR_UNSUPPORTED));
    CHECK("wiping again changes nothing", sr_os_environment_wipe("SR_TEST", &error) == 0);
}

/* ---- children ---- */

static void confess(void)
{
    fputs("an exit function ran", stderr);
}

static int be_a_child(const char *what)
{
    SetErrorMode(SEM_NOGPFAULTERRORBOX);
    unsigned char *address = reserved();
    if (strcmp(what, "die") == 0) {
        atexit(confess);
        sr_os_die("a canary died\n");
    }
    if (strcmp(what, "touch") == 0) {
        *(volatile unsigned char *)address = 1;
    }
    return 0;
}

static DWORD run(const char *what, char *said, DWORD room)
{
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    PROCESS_INFORMATION child;
    STARTUPINFOA start;
    HANDLE reading, writing;
    char command[MAX_PATH + 32], program[MAX_PATH];
    DWORD status = 0, got = 0;
    memset(&start, 0, sizeof start);
    start.cb = sizeof start;
    CreatePipe(&reading, &writing, &inherited, 0);
    SetHandleInformation(reading, HANDLE_FLAG_INHERIT, 0);
    start.dwFlags = STARTF_USESTDHANDLES;
    start.hStdError = writing;
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(command, sizeof command, "\"%s\" %s", program, what);
    if (!CreateProcessA(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &child)) {
        return 0;
    }
    CloseHandle(writing);
    WaitForSingleObject(child.hProcess, 60000);
    GetExitCodeProcess(child.hProcess, &status);
    memset(said, 0, room);
    ReadFile(reading, said, room - 1, &got, NULL);
    CloseHandle(reading);
    CloseHandle(child.hProcess);
    CloseHandle(child.hThread);
    return status;
}

static void test_ends(void)
{
    char said[128];
    CHECK("die ends the process as broken", run("die", said, sizeof said) == 0x40000015);
    CHECK("with its message and nothing else", strcmp(said, "a canary died\n") == 0);
    CHECK("touching a reservation is a fault", run("touch", said, sizeof said) == 0xC0000005);
    CHECK("control: a child can end well", run("live", said, sizeof said) == 0);
}

int main(int count, char **arguments)
{
    page = sr_os_page_size();
    size = PAGES * page;
    if (count > 1) {
        return be_a_child(arguments[1]);
    }
    test_address_space();
    test_locks();
    test_what_there_is_not();
    test_random_and_wipe();
    test_environment();
    test_ends();
    return check_result();
}
