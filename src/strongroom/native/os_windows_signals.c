/* The OS contract on Windows: ends of the process that are announced, which only the console's are. */
#include "os_windows.h"
#include "sr_os_signals.h"

#include <windows.h>

#include <signal.h>

/* The C runtime's own number for Ctrl+Break, and for the end of the console's window, the session and the machine. */
#ifndef SIGBREAK
#define SIGBREAK 21
#endif

static void (*wipe_first)(int is_last);
static const unsigned char zeros[4096];

/* In a thread that the system made for it. FALSE hands the event on: to functions that were set before this one, last of
 * all to the system's, which ends the process. Of the others we only know that there may be one. */
static BOOL WINAPI on_event(DWORD event)
{
    if (event != CTRL_C_EVENT) {
        wipe_first(0);
    }
    return FALSE;
}

/* Faults and abort() are exceptions here, and TerminateProcess (what Python's os.kill does) announces nothing. */
int sr_os_wipe_before(int number, void (*wipe)(int is_last), sr_error *error)
{
    static int is_set;
    if (number != SIGBREAK) {
        return lacking(error, "SetConsoleCtrlHandler");
    }
    wipe_first = wipe;
    if (!is_set && !SetConsoleCtrlHandler(on_event, TRUE)) {
        return failed(error, "SetConsoleCtrlHandler");
    }
    is_set = 1;
    return 0;
}

int sr_os_store_checked(void *address, const void *content, size_t size, sr_error *error)
{
    for (size_t done = 0; done < size;) {
        SIZE_T step = size - done < sizeof zeros ? size - done : sizeof zeros, written = 0;
        const void *from = content != NULL ? (const unsigned char *)content + done : zeros;
        if (!WriteProcessMemory(GetCurrentProcess(), (unsigned char *)address + done, from, step, &written)) {
            return failed(error, "WriteProcessMemory");
        }
        done += written;
    }
    return 0;
}

uint64_t sr_os_process_id(void)
{
    return GetCurrentProcessId();
}

void sr_os_add(volatile int32_t *number, int32_t change)
{
    (void)InterlockedExchangeAdd((volatile LONG *)number, change);
}

void sr_os_await_zero(volatile int32_t *number)
{
    for (int turns = 0; InterlockedExchangeAdd((volatile LONG *)number, 0) != 0; turns++) {
        if (turns < SR_TURNS_AT_ONCE) {
            SwitchToThread();
        } else { /* it waits for a disk */
            Sleep(1);
        }
    }
}
