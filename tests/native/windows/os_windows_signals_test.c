/* The OS contract on Windows: ends that the console announces, and stores that may be forbidden. */
#include "named_checks.h"
#include "sr_os_signals.h"

#include <windows.h>

#include <signal.h>

static sr_error error;
static volatile LONG wiped, was_last, ended;

static void wipe(int is_last)
{
    was_last = is_last;
    InterlockedIncrement(&wiped);
}

/* Set first, so called last: in place of the system's, which ends the process. */
static BOOL WINAPI survive(DWORD event)
{
    (void)event;
    InterlockedIncrement(&ended);
    return TRUE;
}

static int within_seconds(const volatile LONG *number, LONG expected)
{
    for (int i = 0; i < 500 && *number != expected; i++) {
        Sleep(10);
    }
    return *number == expected;
}

static void test_events(void)
{
    static const int others[] = {SIGTERM, SIGABRT, SIGSEGV, SIGINT, 0, -1};
    int refused = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        refused += sr_os_wipe_before(others[i], wipe, &error) == -1 && error.code == SR_UNSUPPORTED;
    }
    CHECK("only SIGBREAK is announced", refused == sizeof others / sizeof *others);
    (void)AllocConsole(); /* there may be one already, and under Wine there is none without a screen */
    CHECK("a function of the program's", SetConsoleCtrlHandler(survive, TRUE));
    CHECK("SIGBREAK wipes", sr_os_wipe_before(SIGBREAK, wipe, &error) == 0);
    CHECK("once", sr_os_wipe_before(SIGBREAK, wipe, &error) == 0);
    if (!GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, 0)) {
        skip("Ctrl+Break", "there is no console here");
        return;
    }
    CHECK("Ctrl+Break goes on to the program's function", within_seconds(&ended, 1));
    CHECK("after the wiping, which knows that the process may live", wiped == 1 && !was_last);
    CHECK("Ctrl+C goes there", GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) && within_seconds(&ended, 2));
    CHECK("and wipes nothing: Python makes KeyboardInterrupt of it", wiped == 1);
}

static void test_storing(void)
{
    DWORD before;
    unsigned char *pages = VirtualAlloc(NULL, 0x4000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    memset(pages, 0x5A, 0x4000);
    CHECK("zeros are stored, and nothing beside them",
          sr_os_store_checked(pages + 1, NULL, 0x3000, &error) == 0 && pages[0] == 0x5A
              && is_all(pages + 1, 0x3000, 0) && pages[0x3001] == 0x5A);
    CHECK("content is stored", sr_os_store_checked(pages, "canary", 6, &error) == 0 && memcmp(pages, "canary", 6) == 0);
    CHECK("nothing is stored", sr_os_store_checked(pages, NULL, 0, &error) == 0 && pages[0] == 'c');
    VirtualProtect(pages + 0x1000, 0x1000, PAGE_READONLY, &before);
    int result = sr_os_store_checked(pages, NULL, 0x2000, &error);
    CHECK("a forbidden page is an error or written, not a fault", result == -1 || is_all(pages + 0x1000, 0x1000, 0));
    VirtualFree(pages, 0, MEM_RELEASE);
}

static volatile int32_t counted = 1;

static DWORD WINAPI count_down(void *unused)
{
    (void)unused;
    Sleep(50);
    sr_os_add(&counted, -1);
    return 0;
}

static void test_counting(void)
{
    HANDLE thread = CreateThread(NULL, 0, count_down, NULL, 0, NULL);
    sr_os_await_zero(&counted);
    CHECK("waiting ends when the number is zero", counted == 0);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    CHECK("this process has a number", sr_os_process_id() == GetCurrentProcessId());
}

int main(void)
{
    test_events();
    test_storing();
    test_counting();
    return check_result();
}
