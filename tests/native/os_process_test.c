/* The OS contract on Linux where it concerns other processes: lock limits without privileges, and fork. */
#define _GNU_SOURCE
#include "contract.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

enum { NOBODY = 65534 };

/* ---- lock limits, as somebody without privileges ---- */

static void become_nobody_with_limit(rlim_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    CHECK("the limit can be lowered", setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0) {
        CHECK("root can become nobody", setresgid(NOBODY, NOBODY, NOBODY) == 0
                                            && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    }
}

static void test_limit_of_two_pages(void *unused)
{
    (void)unused;
    sr_error error = {"", 0};
    unsigned char *address = committed();
    become_nobody_with_limit(2 * page);
    CHECK("locking within the limit succeeds", sr_os_lock(address, page, &error) == 0);
    CHECK("locking more fails", sr_os_lock(address, size, &error) == -1);
    CHECK("it names mlock and ENOMEM", names(&error, "mlock", ENOMEM));
    CHECK("it is known as a lock limit", sr_os_is_lock_limit(&error) == 1);
    CHECK("what was locked before stays so", status_number("VmLck") == (long)(page / 1024));
}

static void test_limit_of_nothing(void *unused)
{
    (void)unused;
    sr_error error = {"", 0};
    unsigned char *address = committed();
    become_nobody_with_limit(0);
    CHECK("locking with a limit of 0 fails", sr_os_lock(address, page, &error) == -1);
    CHECK("it names mlock and EPERM", names(&error, "mlock", EPERM));
    CHECK("it is known as a lock limit", sr_os_is_lock_limit(&error) == 1);
}

/* RLIMIT_MEMLOCK holds for secret memory as well, under another error. */
static void test_limit_of_secretmem(void *unused)
{
    (void)unused;
    sr_error error = {"", 0};
    unsigned char *address = committed();
    int open_before = count_open_files();
    become_nobody_with_limit(2 * page);
    CHECK("secret memory over the limit fails", sr_os_secretmem(address, size, &error) == -1);
    if (error.code == ENOSYS) {
        return;
    }
    CHECK("it names mmap(secretmem) and EAGAIN", names(&error, "mmap(secretmem)", EAGAIN));
    CHECK("it is known as a lock limit", sr_os_is_lock_limit(&error) == 1);
    CHECK("the range is still ours, without a hole", is_mapped(address) && is_mapped(address + size - 1));
    CHECK("its file is closed", count_open_files() == open_before);
    CHECK("secret memory within the limit succeeds", sr_os_secretmem(address, 2 * page, &error) == 0);
}

static void test_limits(void)
{
    if (HAS_ASAN) {
        skip("lock limits", "AddressSanitizer replaces mlock by nothing");
    } else {
        check_in_child("a limit of two pages", test_limit_of_two_pages, NULL);
        check_in_child("a limit of nothing", test_limit_of_nothing, NULL);
    }
    check_in_child("a limit for secret memory", test_limit_of_secretmem, NULL);
}

/* ---- fork ---- */

static volatile int *runs_in_child; /* shared with children: how often the handler ran */
static pid_t ran_in;
static unsigned char *hole;
static volatile int is_held, may_let_go;

static void in_child(void)
{
    ++*runs_in_child;
    ran_in = getpid();
}

static void enter_and_leave(void *unused)
{
    (void)unused;
    for (int i = 0; i < SR_MUTEX_COUNT; i++) {
        sr_os_enter((sr_mutex)i);
        sr_os_leave((sr_mutex)i);
    }
    CHECK("the handler ran in this process", ran_in == getpid());
}

static int runs_in_parent, was_held;

static void in_parent(void)
{
    runs_in_parent++;
    was_held += !sr_os_try_enter(SR_MUTEX_BLOCKS) && !sr_os_try_enter((sr_mutex)(SR_MUTEX_COUNT - 1));
}

static void *hold_for_a_while(void *unused)
{
    (void)unused;
    sr_os_enter(SR_MUTEX_BLOCKS);
    is_held = 1;
    while (!may_let_go) {
        usleep(1000);
    }
    usleep(20000); /* fork() is waiting for the mutex by now */
    sr_os_leave(SR_MUTEX_BLOCKS);
    return NULL;
}

static void test_at_fork(void)
{
    sr_error error;
    runs_in_child = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK("at_fork succeeds", sr_os_at_fork(in_parent, in_child, &error) == 0);
    check_in_child("mutexes are free in a child", enter_and_leave, NULL);
    CHECK("the handler ran once, and not here", *runs_in_child == 1 && ran_in == 0);

    pthread_t holder;
    pthread_create(&holder, NULL, hold_for_a_while, NULL);
    while (!is_held) {
        usleep(1000);
    }
    may_let_go = 1;
    check_in_child("they are free though another thread held one at fork", enter_and_leave, NULL);
    pthread_join(holder, NULL);
    enter_and_leave((ran_in = getpid(), NULL)); /* and the parent's are free again */
    CHECK("the handler ran once for each child", *runs_in_child == 2);
    CHECK("and so did the parent's, here, where nobody could enter", runs_in_parent == 2 && was_held == 2);
}

static void fill(void *unused)
{
    (void)unused;
    CHECK("a child begins with a hole", !is_mapped(hole));
    sr_os_fill_hole(hole, size);
    CHECK("filled, it is inaccessible",
          has_permissions(hole, "---p") && has_permissions(hole + size - 1, "---p"));
    mprotect(hole, size, PROT_READ);
    CHECK("the parent's secret is not there", is_all(hole, size, 0));
}

static void fill_where_something_is(void *unused)
{
    (void)unused;
    unsigned char *other = mmap(hole + page, page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(other, 0x5A, page);
    sr_os_fill_hole(hole, size);
    CHECK("what came to lie in the hole is untouched",
          has_permissions(other, "rw-p") && is_all(other, page, 0x5A));
}

static void test_fill_hole(void)
{
    sr_error error;
    hole = committed();
    memset(hole, 0xA5, size);
    CHECK("the pages are kept out of children", sr_os_advise_not_in_child(hole, size, &error) == 0);
    check_in_child("fill_hole fills a hole", fill, NULL);
    check_in_child("fill_hole replaces nothing", fill_where_something_is, NULL);
    sr_os_fill_hole(hole, size);
    CHECK("nor the memory itself, where there is no hole", is_all(hole, size, 0xA5));
}

int main(void)
{
    measure_pages();
    test_limits();
    test_at_fork();
    test_fill_hole();
    return check_result();
}
