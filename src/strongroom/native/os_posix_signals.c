/* The part of the OS contract that every Unix shares: ends of the process that come as a signal. */
#define _GNU_SOURCE        /* glibc, musl: sigaltstack, SA_ONSTACK beside C11 */
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_pipe.h"
#include "os_posix.h"
#include "sr_os_signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* Above every signal number there is: Linux has 64 (MIPS 127), FreeBSD 126. */
#define SIGNAL_COUNT 128

/* The kernel's frame (11 KiB with AMX registers; Linux, sysconf(_SC_MINSIGSTKSZ)) and the walk, with room to spare; the
 * handler of somebody else that is called afterwards may want more than we do. */
#define STACK_SIZE ((size_t)64 * 1024)

static struct sigaction before_us[SIGNAL_COUNT];
static volatile sig_atomic_t is_doubled[SIGNAL_COUNT], is_spent[SIGNAL_COUNT];
static void (*wipe_first)(int is_last);
static unsigned char fault_stack[STACK_SIZE];

/* Threads in which the other handler runs at this moment. With more of them at once, one that raises its signal again is
 * not recognised and ends by whatever ends it then. */
#define PASSING_COUNT 64
enum { FREE, BEING_FILLED, FILLED };
static struct {
    int state, number;
    pthread_t thread;
} passing[PASSING_COUNT];

static int is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE;
}

/* Unblocked, the signal comes before pthread_sigmask returns. It does not come to process 1 of a container: the kernel
 * spares that one whatever it does not handle. The status is then what a shell makes of a signal. */
static _Noreturn void die_of(int number)
{
    sigset_t set;
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + number);
}

static int is_passing_on(int number)
{
    pthread_t self = pthread_self(), thread;
    for (int i = 0; i < PASSING_COUNT; i++) {
        if (__atomic_load_n(&passing[i].state, __ATOMIC_ACQUIRE) == FILLED
            && __atomic_load_n(&passing[i].number, __ATOMIC_RELAXED) == number) {
            __atomic_load(&passing[i].thread, &thread, __ATOMIC_RELAXED);
            if (pthread_equal(thread, self)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Where it is noted that this thread passes a signal on; -1 if there is no place. */
static int note_passing(int number)
{
    pthread_t self = pthread_self();
    for (int i = 0; i < PASSING_COUNT; i++) {
        int expected = FREE;
        if (__atomic_compare_exchange_n(&passing[i].state, &expected, BEING_FILLED, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&passing[i].number, number, __ATOMIC_RELAXED);
            __atomic_store(&passing[i].thread, &self, __ATOMIC_RELAXED);
            __atomic_store_n(&passing[i].state, FILLED, __ATOMIC_RELEASE);
            return i;
        }
    }
    return -1;
}

/* A handler that raises its signal again within itself (faulthandler) comes here a second time: that is the end. So it is
 * the second time at all where a handler knows us as the one before itself, and we were asked again and know it as the one
 * before us: each would hand over to the other for ever. */
static void on_signal(int number, siginfo_t *information, void *context)
{
    int code = errno;
    const struct sigaction *other = &before_us[number];
    int is_last = other->sa_handler == SIG_DFL || is_passing_on(number) || is_spent[number];
    wipe_first(is_last);
    if (is_last) {
        die_of(number);
    }
    int place = note_passing(number);
    errno = code;
    if ((other->sa_flags & SA_SIGINFO) != 0) {
        other->sa_sigaction(number, information, context);
    } else {
        other->sa_handler(number);
    }
    if (place >= 0) {
        __atomic_store_n(&passing[place].state, FREE, __ATOMIC_RELEASE);
    }
    is_spent[number] = is_doubled[number];
}

/* A stack that overflowed has no room for a handler. Each thread has an alternate one of its own or none: a static one
 * serves the first thread that asks, which is the main one as a rule. */
static int provide_stack(sr_error *error)
{
    static int is_taken;
    stack_t now = {0}, ours = {0};
    if (is_taken || sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) {
        return 0;
    }
    ours.ss_sp = (void *)fault_stack;
    ours.ss_size = STACK_SIZE;
    if (sigaltstack(&ours, NULL) != 0) {
        return failed(error, "sigaltstack");
    }
    is_taken = 1;
    return 0;
}

int sr_os_wipe_before(int number, void (*wipe)(int is_last), sr_error *error)
{
    static unsigned char is_known[SIGNAL_COUNT];
    struct sigaction now, ours = {0};
    if (number <= 0 || number >= SIGNAL_COUNT) {
        errno = EINVAL;
        return failed(error, "sigaction");
    }
    if (sigaction(number, NULL, &now) != 0) {
        return failed(error, "sigaction");
    }
    int is_ours = (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_signal;
    if (is_ours || ((now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN)) {
        return 0;
    }
    if (is_fault(number) && provide_stack(error) != 0) {
        return -1;
    }
    /* With SA_RESETHAND the other one expects to be called once, and its signal to end the process then. */
    int is_default = now.sa_handler == SIG_DFL, is_once = ((unsigned)now.sa_flags & (unsigned)SA_RESETHAND) != 0;
    is_doubled[number] = is_once || (is_known[number] && !is_default);
    is_known[number] = 1;
    wipe_first = wipe;
    before_us[number] = now; /* from here on the handler may run */
    ours.sa_sigaction = on_signal;
    /* The other handler runs on our stack: only where it asked for another one itself, or there may be none left. */
    ours.sa_flags = SA_SIGINFO | (is_fault(number) || is_default ? SA_ONSTACK : now.sa_flags & SA_ONSTACK);
    if (is_default) {
        sigfillset(&ours.sa_mask); /* what would end us otherwise waits until everything is wiped */
    } else {
        ours.sa_mask = now.sa_mask;
        ours.sa_flags |= now.sa_flags & (SA_NODEFER | SA_RESTART);
    }
    return sigaction(number, &ours, NULL) != 0 ? failed(error, "sigaction") : 0;
}

/* ---- what may be used then ---- */

static unsigned char zeros[64 * 1024]; /* never written */

/* From a pipe: read(2) answers EFAULT where a store would fault. Without a pipe (no descriptors left) the store has to
 * do. process_vm_readv would need no pipe, but a sandbox may end a process for it. */
int sr_os_store_checked(void *address, const void *content, size_t size, sr_error *error)
{
    for (size_t done = 0; done < size;) {
        size_t step = size - done < sizeof zeros ? size - done : sizeof zeros;
        unsigned char *to = (unsigned char *)address + done;
        const unsigned char *from = content != NULL ? (const unsigned char *)content + done : zeros;
        if (sr_pipe_copy(to, from, step, error) != 0) {
            if (error->code == EFAULT) {
                return -1;
            }
            for (volatile unsigned char *byte = to; byte < to + step; byte++, from++) {
                *byte = *from;
            }
        }
        done += step;
    }
    return 0;
}

uint64_t sr_os_process_id(void)
{
    return (uint64_t)getpid();
}

void sr_os_add(volatile int32_t *number, int32_t change)
{
    __atomic_add_fetch(number, change, __ATOMIC_SEQ_CST);
}

void sr_os_await_zero(volatile int32_t *number)
{
    for (int turns = 0; __atomic_add_fetch(number, 0, __ATOMIC_SEQ_CST) != 0; turns++) {
        if (turns < SR_TURNS_AT_ONCE) {
            sched_yield();
        } else { /* it waits for a disk */
            (void)poll(NULL, 0, 1);
        }
    }
}
