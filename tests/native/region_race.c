/* Threads race to free and to restrict while others hold and write.
 *
 * Holders secure or view random ranges of shared regions and touch the pages themselves, with plain loads and stores:
 * a fault, or a mark that is gone, is a violation of the promise a hold makes. Meanwhile spoilers decommit, forbid,
 * guard and release the same pages. Every verb runs as the native module runs it, between sr_os_enter and sr_os_leave;
 * test_native_races.py builds this program a second time with mutexes that do nothing, and then it must fail.
 *
 *     region_race [seconds [seed]]
 */
#define _GNU_SOURCE
#include "region_check.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <time.h>

enum { REGIONS = 5, HOLDERS = 5, SPOILERS = 5, MOST_VIOLATIONS_SHOWN = 5, MORE_SECONDS = 25 };

/* Large ones have many runs, and small ones are wholly free now and then: only then can they be released. */
static const size_t page_counts[REGIONS] = {128, 48, 24, 6, 2};

typedef struct shared_region {
    pthread_rwlock_t door; /* written to only while a released region is made anew, which is not a verb */
    sr_region region;
} shared_region;

static shared_region shared[REGIONS];
static atomic_int is_over;
static atomic_llong holds, stores, refused_holds, done, refused, released, violations, failures;

/* ---- touching ---- */

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t is_touching;

static void on_fault(int number)
{
    if (is_touching) {
        siglongjmp(back, 1);
    }
    signal(number, SIG_DFL); /* not a held page: die of it */
}

static void violation(const char *what, size_t page)
{
    char line[128];
    if (atomic_fetch_add(&violations, 1) < MOST_VIOLATIONS_SHOWN) {
        int length = snprintf(line, sizeof line, "FAIL  %s, page %zu of a held range\n", what, page);
        ssize_t ignored = write(STDOUT_FILENO, line, (size_t)length);
        (void)ignored;
    }
}

/* Each holder has a byte of its own in every page: ranges of different holders overlap. */
static void touch_all(volatile char *address, size_t count, size_t slot, int is_writing, char mark)
{
    volatile size_t page = 0;
    if (sigsetjmp(back, 1) != 0) {
        is_touching = 0;
        violation("a fault", page);
        return;
    }
    is_touching = 1;
    size_t size = sr_os_page_size();
    for (page = 0; page < count; page++) {
        if (is_writing) {
            address[page * size + slot] = mark;
        } else {
            (void)address[page * size + slot];
        }
    }
    if (is_writing) {
        for (page = 0; page < count; page++) {
            if (address[page * size + slot] != mark) {
                violation("a mark that is gone", page);
            }
        }
    }
    is_touching = 0;
    atomic_fetch_add(&stores, (long long)count);
}

/* ---- the verbs, as the native module does them ---- */

static sr_answer locked_do(sr_region *region, sr_request *request, char **address)
{
    sr_os_enter(region->mutex);
    sr_answer answer = sr_region_do(region, request);
    *address = region->address;
    sr_os_leave(region->mutex);
    return answer;
}

static void hold_and_touch(sr_region *region, size_t page_count, size_t slot, uint64_t *chance)
{
    char *address;
    size_t first = below(chance, page_count), count = 1 + below(chance, page_count - first);
    int is_writing = below(chance, 4) != 0;
    sr_request request = {.verb = SR_HOLD, .first = first, .count = count,
                          .kind = below(chance, 2) ? SR_HOLD_VIEW : SR_HOLD_SECURE,
                          .mode = is_writing ? SR_READ_WRITE : SR_READ_ONLY};
    if (locked_do(region, &request, &address) != SR_DONE) {
        atomic_fetch_add(&refused_holds, 1);
        sr_request commit = {.verb = SR_COMMIT, .first = first, .count = count, .protection = SR_READ_WRITE};
        (void)locked_do(region, &commit, &address);
        if (locked_do(region, &request, &address) != SR_DONE) {
            return;
        }
    }
    atomic_fetch_add(&holds, 1);
    for (size_t rounds = 1 + below(chance, 3); rounds != 0; rounds--) {
        touch_all(address + first * sr_os_page_size(), count, slot, is_writing, (char)draw(chance));
        if (below(chance, 32) == 0) {
            sched_yield(); /* or, with few processors, hardly anybody would meet a hold */
        }
    }
    sr_request unhold = {.verb = SR_UNHOLD, .hold = request.hold};
    if (locked_do(region, &unhold, &address) != SR_DONE) {
        violation("a hold that is gone", first);
    }
}

static void spoil(sr_region *region, size_t page_count, uint64_t *chance)
{
    static const unsigned harsh[] = {SR_NO_ACCESS, SR_READ_ONLY, SR_READ_WRITE | SR_GUARD, SR_READ_WRITE};
    static const sr_verb verbs[] = {SR_DECOMMIT, SR_DECOMMIT, SR_PROTECT, SR_PROTECT, SR_PROTECT, SR_COMMIT,
                                    SR_LOCK, SR_UNLOCK, SR_RELEASE, SR_LIST};
    char *address;
    size_t first = below(chance, page_count), count = 1 + below(chance, page_count - first);
    if (count > 8 && below(chance, 4) != 0) {
        count = 8; /* small ones cut the large ones into runs */
    }
    sr_request request = {.verb = verbs[below(chance, sizeof verbs / sizeof verbs[0])], .first = first,
                          .count = count, .protection = harsh[below(chance, 4)]};
    sr_answer answer = locked_do(region, &request, &address);
    free(request.runs);
    atomic_fetch_add(&refused, answer == SR_HELD);
    atomic_fetch_add(&done, answer == SR_DONE);
    atomic_fetch_add(&released, answer == SR_DONE && request.verb == SR_RELEASE);
    if (answer == SR_FAILED && request.verb != SR_LOCK) { /* the lock limit may be reached */
        atomic_fetch_add(&failures, 1);
    }
}

static void make_anew(shared_region *one, size_t page_count)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* the native module has the GIL for it */
    pthread_rwlock_wrlock(&one->door);
    if (one->region.address == NULL) {
        pthread_mutex_lock(&making);
        reserve_pages(&one->region, page_count);
        pthread_mutex_unlock(&making);
    }
    pthread_rwlock_unlock(&one->door);
}

static void *run(void *argument)
{
    const uint64_t *job = argument; /* its number, then its seed */
    size_t slot = (size_t)job[0];
    uint64_t chance = job[1];
    while (!atomic_load(&is_over)) {
        size_t which = below(&chance, REGIONS);
        shared_region *one = &shared[which];
        pthread_rwlock_rdlock(&one->door);
        if (slot < HOLDERS) {
            hold_and_touch(&one->region, page_counts[which], slot, &chance);
        } else {
            spoil(&one->region, page_counts[which], &chance);
        }
        char *address;
        sr_request look = {.verb = SR_LIST, .first = 0, .count = 1};
        int is_released = locked_do(&one->region, &look, &address) == SR_IS_RELEASED;
        free(look.runs);
        pthread_rwlock_unlock(&one->door);
        if (is_released) {
            make_anew(one, page_counts[which]);
        }
    }
    return NULL;
}

/* Whether everything has happened that the checks in the end ask for. Where others have the processors the time may be over
 * before these threads got to it: they get more then, less than the alarm gives. */
static int has_happened(void)
{
    return atomic_load(&holds) > 0 && atomic_load(&stores) > 0 && atomic_load(&refused) > 0 && atomic_load(&done) > 0
           && atomic_load(&released) > 0;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    pthread_t threads[HOLDERS + SPOILERS];
    uint64_t jobs[HOLDERS + SPOILERS][2];
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm((unsigned)seconds + 30); /* a run table without order can be walked for ever */
    begin_regions();
    for (size_t i = 0; i < REGIONS; i++) {
        pthread_rwlock_init(&shared[i].door, NULL);
        reserve_pages(&shared[i].region, page_counts[i]);
    }
    for (size_t i = 0; i < HOLDERS + SPOILERS; i++) {
        jobs[i][0] = i;
        jobs[i][1] = (seed + i + 1) * 0x9E3779B97F4A7C15u;
        pthread_create(&threads[i], NULL, run, jobs[i]);
    }
    struct timespec step = {0, 10 * 1000 * 1000}, start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    double passed = 0;
    /* the first violation decides */
    while (passed < (has_happened() ? seconds : seconds + MORE_SECONDS) && atomic_load(&violations) == 0) {
        nanosleep(&step, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
    }
    atomic_store(&is_over, 1);
    printf("seed %llu, %.2f seconds, %lld violations\n", (unsigned long long)seed, passed, atomic_load(&violations));
    fflush(stdout);
    if (atomic_load(&violations) != 0) {
        _exit(1); /* nothing is left that a joining thread could rely on */
    }
    for (size_t i = 0; i < HOLDERS + SPOILERS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%lld holds, %lld pages touched, %lld holds refused; %lld spoilt, %lld kept from it, %lld released\n",
           atomic_load(&holds), atomic_load(&stores), atomic_load(&refused_holds), atomic_load(&done),
           atomic_load(&refused), atomic_load(&released));
    CHECK("no held page was taken away or restricted", atomic_load(&violations) == 0);
    CHECK("no system call failed", atomic_load(&failures) == 0);
    CHECK("ranges were held and touched", atomic_load(&holds) > 0 && atomic_load(&stores) > 0);
    CHECK("holders and spoilers met", atomic_load(&refused) > 0);
    CHECK("pages were spoilt, and regions released", atomic_load(&done) > 0 && atomic_load(&released) > 0);
    for (size_t i = 0; i < REGIONS; i++) {
        CHECK("the kernel agrees with the books in the end", is_as_booked(&shared[i].region));
        CHECK("no hold is left", shared[i].region.hold_count == 0);
        CHECK("every region can be released", ask(&shared[i].region, SR_RELEASE, 0, 0, 0, NULL) == SR_DONE);
    }
    return check_result();
}
