/* Wiping before a signal takes its course: in children, and before what handled it already. */
#include "ending_check.h"

#include <errno.h>
#include <sys/syscall.h>

/* ---- children ---- */

static void end_in_child(void *unused)
{
    (void)unused;
    sr_block own;
    if (made(&own, 32, SR_BACKING_LOCKED)) {
        memset(own.data, 1, own.size);
        sr_blocks_wipe_at_once(0, NULL);
        CHECK("a child wipes what it made", is_all(own.data, own.size, 0));
    }
    raise(SIGTERM);
}

static void wipe_for_test(int is_last)
{
    sr_blocks_wipe_at_once(is_last, NULL);
}

/* The child of a vfork runs in our memory: what it wiped would be ours. It does nothing here but die. */
__attribute__((noinline)) static int vforked(void)
{
    int status = -1;
    pid_t child = vfork();
    if (child == 0) {
        syscall(SYS_tgkill, getpid(), getpid(), SIGTERM);
        _exit(1);
    }
    waitpid(child, &status, 0);
    return status;
}

static void test_children(void)
{
    sr_block locked, secret;
    CHECK("two blocks", made(&locked, 32, SR_BACKING_LOCKED) && made(&secret, 32, SR_BACKING_SECRETMEM));
    memset(locked.data, 7, 32);
    memset(secret.data, 7, 32);
    CHECK("SIGTERM wipes", sr_os_wipe_before(SIGTERM, wipe_for_test, &error) == 0);
    CHECK("a forked child dies of it", died_of(status_of_child(end_in_child, NULL), SIGTERM));
    CHECK("and so does one that shares memory", died_of(vforked(), SIGTERM));
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        raise(SIGTERM);
        _exit(1);
    }
    int status = -1;
    waitpid((pid_t)child, &status, 0);
    CHECK("and one that no at-fork handler saw", died_of(status, SIGTERM));
    CHECK("none of them touched ours", is_all(locked.data, 32, 7) && is_all(secret.data, 32, 7));
    sr_blocks_wipe_at_once(0, NULL);
    CHECK("control: this process does", is_all(locked.data, 32, 0) && is_all(secret.data, 32, 0));
    CHECK("they can be destroyed",
          sr_block_destroy(&locked, &error) == 0 && sr_block_destroy(&secret, &error) == 0);
}

/* ---- what was there before ---- */

static volatile sig_atomic_t wipes, was_last, passed_on, got_information;

static void count(int is_last)
{
    wipes++;
    was_last = is_last;
}

static void inform(int number, siginfo_t *information, void *context)
{
    passed_on += wipes == passed_on + 1; /* after the wiping */
    got_information = information->si_signo == number && information->si_pid == getpid() && context != NULL;
}

static volatile int is_inside;

/* Lets the process live, like inform, but takes its time: two of it run at once. */
static void dawdle(int number)
{
    (void)number;
    __atomic_add_fetch(&is_inside, 1, __ATOMIC_SEQ_CST); /* two may come at the same moment */
    for (int i = 0; i < 500 && is_inside < 2; i++) {
        usleep(1000);
    }
}

static void *raise_here(void *unused)
{
    (void)unused;
    raise(SIGUSR2);
    return NULL;
}

static void live_through_two(void *unused)
{
    (void)unused;
    pthread_t threads[2];
    signal(SIGUSR2, dawdle);
    if (sr_os_wipe_before(SIGUSR2, wipe_for_test, &error) == 0) {
        for (int i = 0; i < 2; i++) {
            pthread_create(&threads[i], NULL, raise_here, NULL);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    CHECK("both ran", is_inside == 2);
}

static void raise_again(int number)
{
    raise(number);
}

static void recover(int number)
{
    (void)number; /* and fault again */
}

/* A handler over ours that knows ours as the one before, and ours over that again. */
static void die_doubled(void *is_asked_again)
{
    sr_os_wipe_before(SIGUSR2, wipe_for_test, &error);
    signal(SIGUSR2, recover);
    if (is_asked_again != NULL) {
        sr_os_wipe_before(SIGUSR2, wipe_for_test, &error);
    }
    raise(SIGUSR2);
    raise(SIGUSR2);
}

static void die_raising_again(void *unused)
{
    (void)unused;
    struct sigaction again = {.sa_flags = SA_NODEFER};
    again.sa_handler = raise_again;
    sigaction(SIGUSR2, &again, NULL);
    sr_os_wipe_before(SIGUSR2, wipe_for_test, &error);
    raise(SIGUSR2);
}

static void test_handing_over(void)
{
    check_in_child("two threads may be in the C function at once", live_through_two, NULL);
    CHECK("one that raises its signal again ends the process by it",
          died_of(status_of_child(die_raising_again, NULL), SIGUSR2));
    CHECK("two handlers that each know the other do not call each other for ever",
          died_of(status_of_child(die_doubled, &page), SIGUSR2));
    int status = status_of_child(die_doubled, NULL);
    CHECK("control: one that was set later replaces ours", WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_dispositions(void)
{
    struct sigaction informing = {.sa_flags = SA_SIGINFO}, now;
    informing.sa_sigaction = inform;
    sigaddset(&informing.sa_mask, SIGUSR2);
    CHECK("a C function handles SIGUSR1", sigaction(SIGUSR1, &informing, NULL) == 0);
    CHECK("wiping comes before it", sr_os_wipe_before(SIGUSR1, count, &error) == 0);
    CHECK("once", sr_os_wipe_before(SIGUSR1, count, &error) == 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK("each time", wipes == 2 && passed_on == 2 && !was_last);
    CHECK("with what the signal brought", got_information);
    sigaction(SIGUSR1, NULL, &now);
    CHECK("and the signals held back that it wants held back", sigismember(&now.sa_mask, SIGUSR2) == 1
                                                                   && sigismember(&now.sa_mask, SIGTERM) == 0);
    signal(SIGUSR2, SIG_IGN);
    CHECK("an ignored signal is left alone", sr_os_wipe_before(SIGUSR2, count, &error) == 0);
    raise(SIGUSR2);
    CHECK("and wipes nothing", wipes == 2);
    stack_t alternate;
    CHECK("no stack is provided for these", sigaltstack(NULL, &alternate) == 0 && (HAS_ASAN || alternate.ss_flags == SS_DISABLE));
    CHECK("a fault provides one", sr_os_wipe_before(SIGBUS, count, &error) == 0 && sigaltstack(NULL, &alternate) == 0
                                      && alternate.ss_flags != SS_DISABLE);
    static const int wrong[] = {-1, 0, SIGKILL, SIGSTOP, 128, 1 << 20};
    int refused = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused += sr_os_wipe_before(wrong[i], count, &error) == -1 && strcmp(error.call, "sigaction") == 0
                   && error.code == EINVAL;
    }
    CHECK("numbers that nobody can handle are refused", refused == sizeof wrong / sizeof *wrong);
}

int main(void)
{
    page = sr_os_page_size();
    CHECK("blocks can be made", sr_blocks_begin(&error) == 0);
    test_children();
    test_handing_over();
    test_dispositions();
    return check_result();
}
