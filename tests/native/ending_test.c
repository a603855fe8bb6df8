/* Wiping when nothing may be waited for: walks, a damaged canary, and who holds what at that moment. */
#include "ending_check.h"

#include <errno.h>
#include <sys/mman.h>

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
    return check_result();
}
