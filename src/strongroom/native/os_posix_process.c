/* The part of the OS contract that every Unix shares and that is not memory: the environment, mutexes, fork, the end. */
#define _GNU_SOURCE        /* glibc, musl: unsetenv, poll beside C11 */
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "sr_os.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the environment ---- */

extern char **environ;

/* getenv(3) hands out a pointer to the value itself: into the block the kernel put on the stack at exec for
 * variables that came with the process, into the heap for those set since. */
int sr_os_environment_size(const char *name, size_t *size, sr_error *error)
{
    const char *value = getenv(name);
    if (value == NULL) {
        return lacking(error, "getenv");
    }
    *size = strlen(value);
    return 0;
}

int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error)
{
    size_t now;
    if (sr_os_environment_size(name, &now, error) != 0) {
        return -1;
    }
    if (now != size) {
        return refused(error, "getenv", EAGAIN);
    }
    memcpy(buffer, getenv(name), size);
    return 0;
}

int sr_os_environment_wipe(const char *name, sr_error *error)
{
    size_t length = strlen(name);
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) { /* a name may stand there twice */
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            sr_os_wipe(*entry + length + 1, strlen(*entry + length + 1));
        }
    }
    return unsetenv(name) != 0 ? failed(error, "unsetenv") : 0;
}

/* ---- mutexes and fork ---- */

/* Each with cache lines to itself, two since some CPUs fetch them in pairs: side by side, threads that enter different
 * mutexes would slow each other down many times over. */
typedef struct padded_mutex {
    _Alignas(128) pthread_mutex_t mutex;
} padded_mutex;

#define ONE_MUTEX {PTHREAD_MUTEX_INITIALIZER}
#define FOUR_MUTEXES ONE_MUTEX, ONE_MUTEX, ONE_MUTEX, ONE_MUTEX
#define EIGHT_MUTEXES FOUR_MUTEXES, FOUR_MUTEXES
#define SIXTEEN_MUTEXES EIGHT_MUTEXES, EIGHT_MUTEXES

/* Each one named: on macOS an initialized mutex is not all zeros. */
static padded_mutex mutexes[] = {
    ONE_MUTEX, ONE_MUTEX, EIGHT_MUTEXES, ONE_MUTEX, SIXTEEN_MUTEXES, SIXTEEN_MUTEXES,
};
_Static_assert(sizeof mutexes / sizeof mutexes[0] == SR_MUTEX_COUNT, "one initializer for each mutex");
static void (*run_in_parent)(void), (*run_in_child)(void);

/* By turns, so that the first few threads never share one. */
unsigned sr_os_thread_turn(void)
{
    static atomic_uint turns;
    static _Thread_local unsigned turn; /* 0: not given yet */
    if (turn == 0) {
        turn = atomic_fetch_add(&turns, 1) + 1;
    }
    return turn;
}

void sr_os_enter(sr_mutex which)
{
    pthread_mutex_lock(&mutexes[which].mutex);
}

int sr_os_try_enter(sr_mutex which)
{
    return pthread_mutex_trylock(&mutexes[which].mutex) == 0;
}

void sr_os_leave(sr_mutex which)
{
    pthread_mutex_unlock(&mutexes[which].mutex);
}

static void before_fork(void)
{
    for (int i = 0; i < SR_MUTEX_COUNT; i++) {
        pthread_mutex_lock(&mutexes[i].mutex);
    }
}

static void leave_all(void)
{
    for (int i = SR_MUTEX_COUNT - 1; i >= 0; i--) {
        pthread_mutex_unlock(&mutexes[i].mutex);
    }
}

static void after_fork_in_parent(void)
{
    run_in_parent();
    leave_all();
}

/* The forking thread holds every mutex and is the one thread the child has: unlocking is legal there. */
static void after_fork_in_child(void)
{
    leave_all();
    run_in_child();
}

int sr_os_at_fork(void (*in_parent)(void), void (*in_child)(void), sr_error *error)
{
    assert(run_in_child == NULL);
    run_in_parent = in_parent;
    run_in_child = in_child;
    int code = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (code != 0) {
        return refused(error, "pthread_atfork", code);
    }
    return 0;
}

/* ---- the last resort ---- */

_Noreturn void sr_os_die(const char *message)
{
    sigset_t set;
    sigfillset(&set); /* SIGPIPE from a closed standard error would run a handler, and that may exit */
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    struct pollfd standard_error = {STDERR_FILENO, POLLOUT, 0};
    if (poll(&standard_error, 1, 0) == 1 && (standard_error.revents & POLLOUT) != 0) { /* a full pipe would wait */
        ssize_t ignored = write(STDERR_FILENO, message, strlen(message));
        (void)ignored;
    }
    signal(SIGABRT, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGABRT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGABRT); /* that is all, but in process 1 of a container, which the kernel spares this */
    abort();        /* takes a lock first, in some C libraries */
}
