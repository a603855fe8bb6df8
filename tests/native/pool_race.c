/* Threads take slots, write, look and give back, their own and each other's, while the process forks, trims and lists.
 *
 * Whoever takes a slot must find zeros and be alone in it until it is given back: each byte carries its taker's mark.
 * Every child must find an empty pool that works (in sanitized builds, know at least that it is a child).
 * test_native_races.py builds this program a second time with mutexes that do nothing, and then it must fail.
 *
 *     pool_race [seconds [seed [lock limit in bytes]]]
 *
 * With a limit the process gives up its privileges; then slots of other kinds and threads stand in for pages.
 */
#define _GNU_SOURCE
#include "chance.h"
#include "pool_check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { WORKERS = 10, HELD = 24, RING = 64, MOST_VIOLATIONS_SHOWN = 5, STUCK_SECONDS = 20, MORE_SECONDS = 50 };

typedef struct held_slot {
    sr_slot slot;
    size_t size;
    unsigned char mark;
} held_slot;

static atomic_int is_over;
static atomic_llong takes, handed_over, refusals, forks, trims, lists, violations;

static void violation(const char *what)
{
    char line[128];
    if (atomic_fetch_add(&violations, 1) < MOST_VIOLATIONS_SHOWN) {
        int length = snprintf(line, sizeof line, "FAIL  %s\n", what);
        ssize_t ignored = write(STDOUT_FILENO, line, (size_t)length);
        (void)ignored;
    }
}

/* ---- one thread's work ---- */

static int takes_one(held_slot *one, uint64_t *chance)
{
    static const size_t sizes[] = {16, 32, 32, 32, 64, 300, SR_SLOT_MAX_SIZE};
    sr_error own;
    sr_backing backing = below(chance, 4) == 0 && has_backing(SR_BACKING_SECRETMEM);
    one->size = 1 + below(chance, sizes[below(chance, sizeof sizes / sizeof sizes[0])]);
    one->mark = (unsigned char)(1 + below(chance, 255));
    int result = sr_pool_take(one->size, backing, ALL_REQUIRED, &one->slot, &own);
    if (result != 0) {
        atomic_fetch_add(&refusals, 1);
        if (!sr_os_is_lock_limit(&own)) {
            violation("a slot refused, and not for the lock limit");
        }
        one->slot.home = NULL;
        return 0;
    }
    if (!is_all(one->slot.data, one->size, 0)) {
        violation("a slot taken that was not zeros");
    }
    memset(one->slot.data, one->mark, one->size);
    atomic_fetch_add(&takes, 1);
    return 1;
}

static void look(const held_slot *one)
{
    if (!is_all(one->slot.data, one->size, one->mark)) {
        violation("a secret that somebody else wrote over");
    }
    if (!sr_slot_is_intact(&one->slot)) {
        violation("a canary that is gone");
    }
}

static void give(held_slot *one)
{
    look(one);
    sr_pool_give(&one->slot);
}

/* Slots on their way to another thread. */
static pthread_mutex_t ring_mutex = PTHREAD_MUTEX_INITIALIZER;
static held_slot ring[RING];
static size_t ring_count;

/* Put one in and get another for it, when there are enough to choose from. */
static void hand_over(held_slot *one, uint64_t *chance)
{
    pthread_mutex_lock(&ring_mutex);
    if (ring_count < RING) {
        ring[ring_count++] = *one;
        one->slot.home = NULL;
    } else {
        size_t which = below(chance, RING);
        held_slot other = ring[which];
        ring[which] = *one;
        *one = other;
        atomic_fetch_add(&handed_over, 1);
    }
    pthread_mutex_unlock(&ring_mutex);
}

static void *work(void *argument)
{
    uint64_t chance = *(uint64_t *)argument;
    held_slot held[HELD];
    memset(held, 0, sizeof held);
    while (!atomic_load(&is_over)) {
        held_slot *one = &held[below(&chance, HELD)];
        if (one->slot.home == NULL) {
            (void)takes_one(one, &chance);
        } else if (below(&chance, 3) == 0) {
            hand_over(one, &chance);
        } else if (below(&chance, 3) == 0) {
            look(one);
        } else {
            give(one);
        }
        if (below(&chance, 64) == 0) {
            sched_yield(); /* or, with few processors, hardly anybody would meet another */
        }
    }
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].slot.home != NULL) {
            give(&held[i]);
        }
    }
    return NULL;
}

/* ---- meanwhile ---- */

static void *trim_and_list(void *argument)
{
    uint64_t chance = *(uint64_t *)argument;
    do {
        sr_pool_row rows[MOST_ROWS];
        size_t count = sr_pool_list(rows, MOST_ROWS), in_use = 0;
        for (size_t i = 0; i < count && i < MOST_ROWS; i++) {
            in_use += rows[i].taken;
            if (rows[i].taken > rows[i].count || rows[i].backing >= SR_POOL_BACKINGS) {
                violation("a list that cannot be");
            }
        }
        if (in_use > WORKERS * HELD + RING) { /* each arena is counted once, but those of a shard at the same time */
            violation("more slots taken than anybody took");
        }
        atomic_fetch_add(&lists, 1);
        if (below(&chance, 4) == 0) {
            atomic_fetch_add(&trims, sr_pool_trim() != 0);
        }
        sched_yield();
    } while (!atomic_load(&is_over));
    return NULL;
}

static int works_in_child(uint64_t parents_generation)
{
    held_slot some[8];
    size_t count = 0;
    uint64_t chance = 1 + (uint64_t)atomic_load(&takes);
    if (!HAS_HEAP_IN_CHILD) {
        return sr_generation() != parents_generation;
    }
    atomic_store(&violations, 0);
    if (sr_pool_list(NULL, 0) != 0 || !takes_one(&some[count++], &chance)) {
        return 0;
    }
    while (count < 8 && takes_one(&some[count], &chance)) {
        count++;
    }
    while (count != 0) {
        give(&some[--count]);
    }
    return sr_pool_trim() != 0 && sr_pool_list(NULL, 0) == 0 && atomic_load(&violations) == 0;
}

static void *fork_children(void *unused)
{
    struct timespec pause = {0, 2 * 1000 * 1000};
    (void)unused;
    uint64_t generation = sr_generation();
    do {
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* a deadlock shows as SIGALRM */
            _exit(works_in_child(generation) ? 0 : 1);
        }
        int status = -1;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            violation("a child in which the pool does not work");
        }
        atomic_fetch_add(&forks, 1);
        nanosleep(&pause, NULL);
    } while (!atomic_load(&is_over));
    return NULL;
}

/* ---- from outside ---- */

/* Whether everything has happened that the checks in the end ask for. */
static int has_happened(int is_limited)
{
    return atomic_load(&handed_over) > 0 && atomic_load(&forks) > 0 && atomic_load(&lists) > 0
           && (!is_limited || HAS_NO_LOCKS || atomic_load(&refusals) > 0);
}

/* Until the time is over or something is wrong; mixed-up lists can be walked for ever. Where others have the processors the
 * time may be over before these threads got to anything: they get more then, less than the alarm gives. */
static double watch(double seconds, int is_limited)
{
    struct timespec step = {0, 10 * 1000 * 1000}, start, now;
    double passed = 0, moved_at = 0;
    long long before = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (passed < (has_happened(is_limited) ? seconds : seconds + MORE_SECONDS) && atomic_load(&violations) == 0) {
        nanosleep(&step, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
        if (atomic_load(&takes) + atomic_load(&refusals) != before) {
            before = atomic_load(&takes) + atomic_load(&refusals);
            moved_at = passed;
        } else if (passed - moved_at > STUCK_SECONDS) {
            violation("threads that wait for ever");
        }
    }
    return passed;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    rlim_t limit = argc > 3 ? (rlim_t)strtoull(argv[3], NULL, 10) : 0;
    static void *(*const others[])(void *) = {trim_and_list, fork_children};
    enum { THREADS = WORKERS + sizeof others / sizeof others[0] };
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm((unsigned)seconds + 60);
    begin_pool();
    (void)has_backing(SR_BACKING_SECRETMEM);
    if (limit != 0 && !become_nobody_under(limit, limit)) {
        violation("a lock limit that cannot be set");
    }
    for (size_t i = 0; i < THREADS; i++) {
        seeds[i] = (seed + i + 1) * 0x9E3779B97F4A7C15u;
        pthread_create(&threads[i], NULL, i < WORKERS ? work : others[i - WORKERS], &seeds[i]);
    }
    double passed = watch(seconds, limit != 0);
    atomic_store(&is_over, 1);
    printf("seed %llu, %.2f seconds, %lld violations\n", (unsigned long long)seed, passed, atomic_load(&violations));
    fflush(stdout);
    if (atomic_load(&violations) != 0) {
        _exit(1); /* nothing is left that a joining thread could rely on */
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < ring_count; i++) {
        give(&ring[i]);
    }
    printf("%lld slots taken, %lld refused, %lld handed over; %lld children, %lld lists, %lld trims\n",
           atomic_load(&takes), atomic_load(&refusals), atomic_load(&handed_over), atomic_load(&forks),
           atomic_load(&lists), atomic_load(&trims));
    CHECK("every slot was its taker's alone", atomic_load(&violations) == 0);
    CHECK("slots were taken, and given back by others", atomic_load(&takes) > 0 && atomic_load(&handed_over) > 0);
    CHECK("children were forked meanwhile, and arenas listed", atomic_load(&forks) > 0 && atomic_load(&lists) > 0);
    CHECK("only a lock limit refuses", limit != 0 || atomic_load(&refusals) == 0);
    CHECK("at the limit some were refused", limit == 0 || HAS_NO_LOCKS || atomic_load(&refusals) > 0);
    CHECK("in the end no slot is taken", sums_of(0).taken == 0);
    (void)sr_pool_trim();
    CHECK("and nothing is left of the pool", sr_pool_list(NULL, 0) == 0 && status_number("VmLck") == 0);
    return check_result();
}
