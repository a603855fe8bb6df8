/* Wiping when nothing may be waited for: signals, a damaged canary, and who holds what at that moment. */
#define _GNU_SOURCE
#include "check.h"
#include "generation.h"
#include "ending.h"
#include "sr_os_signals.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { ALL_REQUIRED = (1 << SR_STEP_NO_DUMP) | (1 << SR_STEP_NOT_IN_CHILD) };

static size_t page;
static sr_error error;

static int made(sr_block *block, size_t size, sr_backing backing)
{
    return sr_block_create(block, size, backing, ALL_REQUIRED, &error) == 0
           && sr_block_protect(block, SR_READ_WRITE, &error) == 0;
}

static int died_of(int status, int number)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == number;
}

/* ---- the heap must not be touched: AddressSanitizer has one of its own, which cannot be replaced ---- */

#if !HAS_ASAN
#include <dlfcn.h>

static volatile int is_heap_closed;

#define CLOSABLE(type, name, parameters, arguments)              \
    type name parameters                                         \
    {                                                            \
        static type(*real) parameters;                           \
        if (is_heap_closed) {                                    \
            _exit(99);                                           \
        }                                                        \
        if (real == NULL) {                                      \
            *(void **)&real = dlsym(RTLD_NEXT, #name);           \
        }                                                        \
        return real arguments;                                   \
    }

CLOSABLE(void *, malloc, (size_t amount), (amount))
CLOSABLE(void *, realloc, (void *memory, size_t amount), (memory, amount))
static void close_heap(void)
{
    is_heap_closed = 1;
}
#else
static void close_heap(void)
{
}
#endif

/* ---- storing where somebody may forbid it ---- */

static void test_storing(void)
{
    unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 0x5A, 2 * page);
    CHECK("zeros are stored, and nothing beside them", sr_os_store_checked(pages + 1, NULL, page, &error) == 0
                                                           && pages[0] == 0x5A && is_all(pages + 1, page, 0)
                                                           && pages[page + 1] == 0x5A);
    CHECK("content is stored", sr_os_store_checked(pages, "canary", 6, &error) == 0 && memcmp(pages, "canary", 6) == 0);
    CHECK("nothing is stored", sr_os_store_checked(pages, NULL, 0, &error) == 0 && pages[0] == 'c');
    mprotect(pages + page, page, PROT_NONE);
    CHECK("a forbidden page is an error", sr_os_store_checked(pages, NULL, 2 * page, &error) == -1
                                              && error.code == EFAULT);
    munmap(pages, 2 * page);
    sr_block block;
    CHECK("a block of secret memory", made(&block, 32, SR_BACKING_SECRETMEM));
    memset(block.data, 1, 32);
    CHECK("can be stored to", sr_os_store_checked(block.data, NULL, 32, &error) == 0 && is_all(block.data, 32, 0));
    CHECK("and destroyed", sr_block_destroy(&block, &error) == 0);
}

/* ---- the walk ---- */

static void test_walk(void)
{
    sr_block closed, open;
    CHECK("two blocks", made(&closed, 5000, SR_BACKING_LOCKED) && made(&open, 32, SR_BACKING_SECRETMEM));
    memset(closed.data, 1, closed.size);
    memset(open.data, 2, open.size);
    CHECK("one is closed", sr_block_close(&closed, &error) == 0);
    sr_blocks_wipe_at_once(0, NULL);
    CHECK("what was closed is open, and what is noted of it is its owner's", has_permissions(closed.pages, "rw-p")
                                                     && closed.protection != SR_READ_WRITE);
    CHECK("both open", sr_block_protect(&closed, SR_READ_WRITE, &error) == 0 && has_permissions(open.pages, "rw-s"));
    CHECK("both are wiped", is_all(closed.data, closed.size, 0) && is_all(open.data, open.size, 0));
    CHECK("with their canaries", sr_block_is_intact(&closed) && sr_block_is_intact(&open));
    CHECK("both can be destroyed", sr_block_destroy(&closed, &error) == 0 && sr_block_destroy(&open, &error) == 0);
    CHECK("others can be made", made(&open, 1, SR_BACKING_LOCKED) && sr_block_destroy(&open, &error) == 0);
}

static sr_block going;
static volatile int is_gone, was_gone_in_walk;

static void *destroy(void *unused)
{
    sr_error own;
    (void)unused;
    is_gone = sr_block_destroy(&going, &own) == 0;
    return NULL;
}

static pthread_t destroyer;

static void linger(sr_block *block, int is_last)
{
    (void)is_last;
    if (block == &going) {
        pthread_create(&destroyer, NULL, destroy, NULL);
        usleep(50 * 1000);
        was_gone_in_walk = is_gone || !is_mapped(block->pages);
    }
}

static void make_one(void *unused)
{
    (void)unused;
    sr_block own;
    CHECK("a child forked in the middle of a walk makes a block", made(&own, 32, SR_BACKING_LOCKED)
                                                                      && sr_block_destroy(&own, &error) == 0);
}

static void fork_amid(sr_block *block, int is_last)
{
    (void)is_last;
    if (block == &going) {
        check_in_child("and does not wait for a walk that is not its own", make_one, NULL);
    }
}

static volatile int32_t walks_counted, counted_when_visited;

static void note_count(sr_block *block, int is_last)
{
    (void)block, (void)is_last;
    counted_when_visited = walks_counted;
}

/* Else a block that is made after the counting, and read for the first time after the walk, would be taken for younger. */
static void test_counting_comes_first(void)
{
    CHECK("a block", made(&going, 32, SR_BACKING_LOCKED));
    sr_blocks_walk((sr_visit *const[]){note_count, NULL}, 0, &walks_counted);
    CHECK("the walk has counted itself before it visits", counted_when_visited == 1 && walks_counted == 1);
    CHECK("and the block goes", sr_block_destroy(&going, &error) == 0);
}

static void test_forking_amid(void)
{
    CHECK("a block", made(&going, 32, SR_BACKING_LOCKED));
    sr_blocks_walk((sr_visit *const[]){fork_amid, NULL}, 0, NULL);
    CHECK("which goes", sr_block_destroy(&going, &error) == 0);
}

static void test_leaving_waits(void)
{
    CHECK("a block", made(&going, 32, SR_BACKING_LOCKED));
    sr_blocks_walk((sr_visit *const[]){linger, NULL}, 0, NULL);
    CHECK("does not go while a walk looks at it", !was_gone_in_walk);
    pthread_join(destroyer, NULL);
    CHECK("and goes then", is_gone);
}

/* ---- whoever holds the mutex ---- */

static sr_block victim;

static void *hold(void *unused)
{
    (void)unused;
    sr_os_enter(SR_MUTEX_BLOCKS);
    for (;;) {
        pause();
    }
    return NULL;
}

static void hold_elsewhere(void)
{
    pthread_t holder;
    pthread_create(&holder, NULL, hold, NULL);
    while (sr_os_try_enter(SR_MUTEX_BLOCKS)) {
        sr_os_leave(SR_MUTEX_BLOCKS);
        sched_yield();
    }
}

static void wipe_and_report(int is_last)
{
    sr_blocks_wipe_at_once(is_last, NULL);
    if (!is_all(victim.data, victim.size, 0)) {
        _exit(98);
    }
}

static void die_by_signal(void *is_held_here)
{
    if (!made(&victim, 32, SR_BACKING_LOCKED) || sr_os_wipe_before(SIGTERM, wipe_and_report, &error) != 0) {
        return;
    }
    memset(victim.data, 1, victim.size);
    if (is_held_here != NULL) {
        sr_os_enter(SR_MUTEX_BLOCKS);
    } else {
        hold_elsewhere();
    }
    close_heap();
    raise(SIGTERM);
}

static void say_and_leave(int number)
{
    (void)number;
    _exit(97);
}

static void die_of_canary(void *is_held_here)
{
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction leaving = {.sa_flags = SA_ONSTACK};
    leaving.sa_handler = say_and_leave;
    if (!made(&victim, 32, SR_BACKING_LOCKED) || sigaltstack(&alternate, NULL) != 0
        || sigaction(SIGABRT, &leaving, NULL) != 0) {
        return;
    }
    if (is_held_here != NULL) {
        sr_os_enter(SR_MUTEX_BLOCKS);
    } else {
        hold_elsewhere();
    }
    close_heap();
    victim.data[-1] ^= 1;
    sr_block_wipe(&victim, &error);
}

static void test_nothing_is_waited_for(void)
{
    CHECK("a signal while another thread holds the mutex: wiped, no heap, dead of it",
          died_of(status_of_child(die_by_signal, NULL), SIGTERM));
    CHECK("the same while the very thread holds it", died_of(status_of_child(die_by_signal, &victim), SIGTERM));
    CHECK("a canary while another thread holds the mutex: no heap, no handler, dead of it",
          died_of(status_of_child(die_of_canary, NULL), SIGABRT));
    CHECK("the same while the very thread holds it", died_of(status_of_child(die_of_canary, &victim), SIGABRT));
}

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
          died_of(status_of_child(die_doubled, &victim), SIGUSR2));
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
    test_storing();
    test_walk();
    test_counting_comes_first();
    test_forking_amid();
    test_leaving_waits();
    test_nothing_is_waited_for();
    test_children();
    test_handing_over();
    test_dispositions();
    return check_result();
}
