/* The OS contract on Windows, what is not memory: randomness, mutexes, the end. */
#include "os_windows.h"
#include "sr_os.h"

#include <windows.h>

#include <bcrypt.h>
#include <ntsecapi.h>

#include <string.h>

/* One request to the generator takes a 32-bit size. Any step below 4 GiB will do. */
#define RANDOM_STEP_SIZE ((size_t)1 << 30)

/* The exit code of a process that ended itself as broken; ntstatus.h cannot be included beside windows.h. */
#define EXIT_AS_FATAL 0x40000015u /* STATUS_FATAL_APP_EXIT */

/* ---- randomness and wiping ---- */

/* BCryptGenRandom is the documented way to the system's generator; RtlGenRandom has no error code and no
 * header, ProcessPrng no import library. All three end in the same place, and that place is a generator
 * inside this process (bcryptprimitives.dll) that the kernel seeds: Windows 10 offers no other, so "never
 * from user space" cannot be had here. Its failures are NTSTATUS; LsaNtStatusToWinError gives the code that
 * GetLastError would. */
int sr_os_random(void *buffer, size_t size, sr_error *error)
{
    unsigned char *next = buffer;
    while (size != 0) {
        size_t part = size < RANDOM_STEP_SIZE ? size : RANDOM_STEP_SIZE;
        NTSTATUS status = BCryptGenRandom(NULL, next, (ULONG)part, BCRYPT_USE_SYSTEM_PREFERRED_RNG);
        if (status < 0) {
            return refused(error, "BCryptGenRandom", (int64_t)LsaNtStatusToWinError(status));
        }
        next += part;
        size -= part;
    }
    return 0;
}

void sr_os_wipe(void *address, size_t size)
{
    SecureZeroMemory(address, size);
}

/* ---- mutexes, and the fork that does not exist ---- */

/* Each with cache lines to itself, two since some CPUs fetch them in pairs: side by side, threads that enter different
 * mutexes would slow each other down many times over. */
typedef struct padded_mutex {
    _Alignas(128) SRWLOCK lock;
} padded_mutex;

static padded_mutex mutexes[SR_MUTEX_COUNT]; /* SRWLOCK_INIT is all zeros */

/* Thread identifiers are multiples of four, given in turn as far as earlier threads' ends allow. */
unsigned sr_os_thread_turn(void)
{
    return (unsigned)GetCurrentThreadId() / 4;
}

void sr_os_enter(sr_mutex which)
{
    AcquireSRWLockExclusive(&mutexes[which].lock);
}

int sr_os_try_enter(sr_mutex which)
{
    return TryAcquireSRWLockExclusive(&mutexes[which].lock) != 0;
}

void sr_os_leave(sr_mutex which)
{
    ReleaseSRWLockExclusive(&mutexes[which].lock);
}

int sr_os_at_fork(void (*in_parent)(void), void (*in_child)(void), sr_error *error)
{
    (void)in_parent;
    (void)in_child;
    (void)error;
    return 0;
}

void sr_os_fill_hole(void *address, size_t size)
{
    (void)address;
    (void)size;
}

/* ---- the last resort ---- */

/* With this error mode an unhandled exception ends the process without calling Windows Error Reporting, and
 * so without the dump it may be set up to keep (LocalDumps). Dumps taken by others are not stopped. */
int sr_os_forbid_dumps(sr_error *error)
{
    (void)error;
    SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    return 0;
}

/* Whether a write to this handle ends by itself. One to a pipe that nobody empties would not, unless the pipe is told
 * to take what it can; what has the type of a pipe and cannot be told (a socket) might keep us. */
static int takes_at_once(HANDLE output)
{
    DWORD mode = PIPE_READMODE_BYTE | PIPE_NOWAIT;
    return GetFileType(output) != FILE_TYPE_PIPE || SetNamedPipeHandleState(output, &mode, NULL, NULL);
}

/* TerminateProcess rather than __fastfail or abort: those two are exceptions to the system and are reported,
 * dump included; this one runs no handler, no DLL's detach routine and no report. */
_Noreturn void sr_os_die(const char *message)
{
    DWORD written;
    HANDLE output = GetStdHandle(STD_ERROR_HANDLE);
    if (takes_at_once(output)) {
        (void)WriteFile(output, message, (DWORD)strlen(message), &written, NULL);
    }
    for (;;) {
        TerminateProcess(GetCurrentProcess(), EXIT_AS_FATAL);
    }
}
