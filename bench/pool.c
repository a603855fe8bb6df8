/* The pool of slots without an interpreter around it: one thread, or one on each CPU, each taking a slot and giving it
 * back in a loop.
 *
 * Compiled together with the package's own C files, with the flags that the package is built with. Between two turns
 * the threads spin: waking them up would take longer than what is measured. Linux only.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#define VISIBLE __attribute__((visibility("default")))

#define MOST_THREADS 256

#if defined(__x86_64__) || defined(__i386__)
#define REST() __builtin_ia32_pause() /* leaves a core that two threads share to the other one */
#elif defined(__aarch64__)
#define REST() __asm__ __volatile__("yield")
#else
#define REST() ((void)0)
#endif

static struct worker {
    pthread_t thread;
    int cpu;
    atomic_int failed;
    char apart[64]; /* no two threads write to one cache line */
} workers[MOST_THREADS];

static size_t secret_size;
static long turn_count; /* rounds of this turn, written before `turn` moves on */
static int thread_count;
static atomic_int done, is_over;

/* Number of the turn times TURN, plus how many threads take part: read in one piece, since a thread that does not take
 * part may look late, when the next turn has begun. */
#define TURN (2L * MOST_THREADS)
static atomic_long turn;

static void begin_turn(long threads)
{
    atomic_store(&turn, (turn / TURN + 1) * TURN + threads);
}

static int take_and_give(long count)
{
    while (count-- > 0) {
        sr_slot slot;
        sr_error error;
        if (sr_pool_take(secret_size, SR_BACKING_LOCKED, 0, &slot, &error) != 0) {
            return error.code > 0 ? (int)error.code : ENOSYS;
        }
        sr_pool_give(&slot);
    }
    return 0;
}

static void bind_to(int cpu)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)cpu, &only);
    (void)sched_setaffinity(0, sizeof only, &only); /* the caller asked which ones it may use */
}

static void *work(void *argument)
{
    struct worker *mine = argument;
    long seen = 0;
    bind_to(mine->cpu);
    mine->failed = take_and_give(1); /* an arena of its own, before the clock runs */
    atomic_fetch_add(&done, 1);
    for (;;) {
        long now;
        while ((now = atomic_load_explicit(&turn, memory_order_acquire)) == seen) {
            REST();
        }
        seen = now;
        if (is_over) {
            return NULL;
        }
        if (mine - workers < now % TURN) {
            mine->failed = take_and_give(turn_count);
            atomic_fetch_add(&done, 1);
        }
    }
}

static int wait_for(int count)
{
    while (atomic_load_explicit(&done, memory_order_acquire) != count) {
        REST();
    }
    for (int i = 1; i <= count; i++) {
        if (workers[i].failed) {
            return workers[i].failed;
        }
    }
    return 0;
}

/* Let `threads` of them, this one included, take and give back a slot `count` times each; returns when all have. */
VISIBLE int bench_pool_turn(int threads, long count)
{
    turn_count = count;
    done = 0;
    begin_turn(threads);
    int failed = take_and_give(count), others = wait_for(threads - 1);
    return failed ? failed : others;
}

VISIBLE int bench_pool_end(void)
{
    int failed = 0;
    is_over = 1;
    begin_turn(0);
    for (int i = 1; i < thread_count && !failed; i++) {
        failed = pthread_join(workers[i].thread, NULL);
    }
    turn = 0;
    thread_count = is_over = 0;
    (void)sr_pool_trim();
    return failed;
}

/* Bind this thread to the first of `cpus`, start one more on each of the others. */
VISIBLE int bench_pool_begin(size_t size, const int *cpus, int count)
{
    sr_error error;
    if (count > MOST_THREADS) {
        return E2BIG;
    }
    if (sr_blocks_begin(&error) != 0) {
        return error.code > 0 ? (int)error.code : ENOSYS;
    }
    secret_size = size;
    done = 0;
    bind_to(cpus[0]);
    int failed = take_and_give(1);
    for (thread_count = 1; !failed && thread_count < count; thread_count++) {
        struct worker *one = &workers[thread_count];
        one->cpu = cpus[thread_count];
        failed = pthread_create(&one->thread, NULL, work, one);
        if (failed) {
            break;
        }
    }
    if (!failed) {
        failed = wait_for(count - 1);
    }
    if (failed) {
        (void)bench_pool_end();
    }
    return failed;
}
