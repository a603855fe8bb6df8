/* The OS contract on Linux at the edges of a process's life: its environment, and its end. */
#define _GNU_SOURCE
#include "contract.h"

#include <fcntl.h>
#include <sys/prctl.h>

/* ---- the environment ---- */

static int environ_holds(const char *text)
{
    static char block[1 << 17];
    int file = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t got = read(file, block, sizeof block);
    close(file);
    return got > 0 && memmem(block, (size_t)got, text, strlen(text)) != NULL;
}

static void test_environment(void)
{
    sr_error error;
    size_t length = 0;
    char value[32] = "";
    CHECK("the size is the value's, in bytes",
          sr_os_environment_size("SR_TEST", &length, &error) == 0 && length == 12);
    CHECK("the value is read", sr_os_environment_read("SR_TEST", value, 12, &error) == 0
                                   && memcmp(value, "tracer-given", 12) == 0);
    CHECK("another size is refused", sr_os_environment_read("SR_TEST", value, 11, &error) == -1);
    CHECK("control: the kernel shows the value", environ_holds("tracer-given"));
    CHECK("wiping succeeds", sr_os_environment_wipe("SR_TEST", &error) == 0);
    CHECK("the variable is gone", getenv("SR_TEST") == NULL);
    CHECK("the kernel shows the value no more", !environ_holds("tracer-given"));
    CHECK("asking for it again fails", sr_os_environment_size("SR_TEST", &length, &error) == -1);
    CHECK("and says that there is none", names(&error, "getenv", SR_UNSUPPORTED));
    CHECK("wiping it again changes nothing", sr_os_environment_wipe("SR_TEST", &error) == 0);
}

/* ---- the last resort ---- */

static void forbid(void *unused)
{
    (void)unused;
    sr_error error;
    CHECK("dumps can be forbidden", sr_os_forbid_dumps(&error) == 0);
    CHECK("the process is not dumpable any more", prctl(PR_GET_DUMPABLE) == 0);
}

static int stderr_pipe[2];

static void confess(int signal_number)
{
    (void)signal_number;
    ssize_t ignored = write(stderr_pipe[1], "handled", 7);
    (void)ignored;
}

static void confess_at_exit(void)
{
    confess(0);
}

static void die(void *is_blocked)
{
    signal(SIGABRT, confess);
    atexit(confess_at_exit);
    dup2(stderr_pipe[1], STDERR_FILENO);
    if (is_blocked != NULL) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
    }
    sr_os_die("a canary died\n");
}

static void exit_in_handler(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void die_into_full_pipe(void *unused)
{
    (void)unused;
    int ends[2];
    static char filler[4096];
    if (pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0) {
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (write(ends[1], filler, sizeof filler) > 0) {
        }
        fcntl(ends[1], F_SETFL, 0);
        sr_os_die("nobody reads this in time\n");
    }
}

static void die_without_stderr(void *unused)
{
    (void)unused;
    close(STDERR_FILENO);
    sr_os_die("nobody hears this\n");
}

static void die_into_closed_pipe(void *unused)
{
    (void)unused;
    int broken[2];
    signal(SIGPIPE, exit_in_handler);
    if (pipe(broken) == 0) {
        close(broken[0]);
        dup2(broken[1], STDERR_FILENO);
    }
    sr_os_die("nobody hears this\n");
}

static void test_die(void)
{
    for (int is_blocked = 0; is_blocked < 2; is_blocked++) {
        char said[128] = "";
        if (pipe(stderr_pipe) != 0) {
            exit(1);
        }
        int status = status_of_child(die, is_blocked ? stderr_pipe : NULL);
        close(stderr_pipe[1]);
        ssize_t got = read(stderr_pipe[0], said, sizeof said - 1);
        close(stderr_pipe[0]);
        CHECK("die ends the process by SIGABRT", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK("with the message and nothing else: no handler ran",
              got == 14 && strcmp(said, "a canary died\n") == 0);
    }
    int status = status_of_child(die_without_stderr, NULL);
    CHECK("die works without standard error", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = status_of_child(die_into_closed_pipe, NULL);
    CHECK("die works when nobody reads standard error, and no handler for that runs",
          WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = status_of_child(die_into_full_pipe, NULL);
    CHECK("die does not wait for a full pipe", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* The kernel shows only the environment that a program was started with, so this one starts itself again. */
int main(int count, char **arguments)
{
    (void)count;
    if (getenv("SR_TEST") == NULL) {
        setenv("SR_TEST", "tracer-given", 1);
        execv("/proc/self/exe", arguments);
        return 1;
    }
    test_environment();
    check_in_child("forbid_dumps", forbid, NULL);
    test_die();
    return check_result();
}
