/* How macOS and the BSDs are asked what is mapped, by the very files that are compiled there, of a kernel that is made up
 * here: it has as many mappings as a test likes, and answers, and refuses, as those kernels' sources say. */
#define _GNU_SOURCE
#include "check.h"
#include "sr_os_asking.h"

#include <errno.h>

#define sr_os_listing listing_of_darwin
#define AS_DARWIN
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);
#include "os_darwin_asking.c"
#undef sr_os_listing
#undef AT

#define sr_os_listing listing_of_freebsd
#define kinfo_vmentry freebsd_entry
#define AS_FREEBSD
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);
#include "os_freebsd_asking.c"
#undef AS_FREEBSD
#undef kinfo_vmentry
#undef sr_os_listing

#define sr_os_listing listing_of_netbsd
#define kinfo_vmentry netbsd_entry
#define MOST NETBSD_MOST
#define AS_NETBSD
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);
#include "os_netbsd_asking.c"
#undef AS_NETBSD
#undef MOST
#undef kinfo_vmentry
#undef sr_os_listing

#define sr_os_listing listing_of_openbsd
#define sr_os_page_runs runs_of_openbsd
#define kinfo_vmentry openbsd_entry
#define MOST OPENBSD_MOST
#define AS_OPENBSD
int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);
int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error);
#include "os_openbsd_asking.c"

/* ---- the kernel ---- */

enum { PAGE = 4096, ROOM = 3 << 20, MANY = 2000 };

static size_t mappings, asked_for; /* how many there are, and for which process they were asked */
static int refusal, calls;
static unsigned long place_of(size_t i) { return 0x1000ul + 3ul * PAGE * i; }

static int refuse(int code)
{
    errno = code;
    return -1;
}

static int as_freebsd(char *told, size_t *size)
{
    size_t room = *size;
    *size = 0;
    for (size_t i = 0; i < mappings; i++) {
        struct freebsd_entry one = {.kve_structsize = 136 + 8 * (int)(1 + i % 4), .kve_start = place_of(i),
                                    .kve_end = place_of(i) + PAGE};
        if (room - *size < (size_t)one.kve_structsize) {
            return refuse(ENOMEM);
        }
        memcpy(told + *size, &one, (size_t)one.kve_structsize);
        *size += (size_t)one.kve_structsize;
    }
    return 0;
}

static int as_netbsd(struct netbsd_entry *told, size_t *size)
{
    if (*size > 1 << 20 || *size % sizeof *told != 0) {
        return refuse(*size > 1 << 20 ? ENOMEM : EINVAL);
    }
    for (size_t i = 0; i < mappings && i < *size / sizeof *told; i++) {
        told[i] = (struct netbsd_entry){.kve_start = place_of(i), .kve_end = place_of(i) + PAGE};
    }
    size_t needed = mappings * sizeof *told;
    int is_short = needed > *size;
    *size = needed;
    return is_short ? refuse(ENOMEM) : 0;
}

static int as_openbsd(struct openbsd_entry *told, size_t *size)
{
    size_t room = *size / sizeof *told, count = 0;
    unsigned long from = told->kve_start;
    if (*size == 0 || *size % sizeof *told != 0 || *size > 64 << 10) {
        return refuse(EINVAL);
    }
    for (size_t i = 0; i < mappings && count < room; i++) {
        if (place_of(i) >= from) { /* every fourth is of no bytes, the last one that fits at once as well */
            told[count++] = (struct openbsd_entry){.kve_start = place_of(i), .kve_end = place_of(i) + (i % 4 == 818 % 4 ? 0 : PAGE)};
        }
    }
    *size = count * sizeof *told;
    return 0;
}

int sysctl(const int *name, unsigned count, void *told, size_t *size, const void *given, size_t given_size)
{
    (void)given;
    (void)given_size;
    calls++;
    asked_for = (size_t)name[count == 3 ? 2 : 3];
    if (refusal != 0) {
        return refuse(refusal);
    }
    return count == 3 ? as_openbsd(told, size) : count == 4 ? as_freebsd(told, size) : as_netbsd(told, size);
}

int proc_pidinfo(int process, int what, uint64_t where, void *told, int size)
{
    calls++;
    asked_for = (size_t)process;
    if (refusal != 0 || what != PROC_PIDREGIONPATHINFO || size != (int)sizeof(region_info)) {
        return refuse(refusal == 0 ? ENOMEM : refusal) + 1; /* libproc's own answer is 0 */
    }
    for (size_t i = 0; i < mappings; i++) {
        if (where < place_of(i) + PAGE) {
            region_info one = {.prp_prinfo = {.pri_address = place_of(i), .pri_size = PAGE}};
            memcpy(told, &one, sizeof one);
            return (int)sizeof one;
        }
    }
    return refuse(EINVAL) + 1;
}

/* ---- tests ---- */

typedef int listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error);

static const struct system {
    const char *name;
    listing *listed;
    size_t start, record; /* where in a record its address is, and bytes; 0 if each says that itself */
    size_t most;          /* mappings that can be listed */
} systems[] = {
    {"macOS", listing_of_darwin, 80, sizeof(region_info), SIZE_MAX},
    {"FreeBSD", listing_of_freebsd, 8, 0, SIZE_MAX},
    {"NetBSD", listing_of_netbsd, 0, sizeof(struct netbsd_entry), 929},
    {"OpenBSD", listing_of_openbsd, 0, sizeof(struct openbsd_entry), SIZE_MAX},
};
static char text[ROOM + 16];

static int is_whole(const struct system *system, size_t size)
{
    size_t at = 0, i = 0;
    for (; at < size && i < mappings; i++) {
        uint64_t start;
        memcpy(&start, text + at + system->start, sizeof start);
        if (start != place_of(i)) {
            return 0;
        }
        at += system->record != 0 ? system->record : 136 + 8 * (1 + i % 4);
    }
    return at == size && i == mappings;
}

static void test_system(const struct system *system)
{
    static const size_t counts[] = {0, 1, 5, 818, 819, 820, 929, 930, 1638, MANY};
    sr_error error = {"", 0};
    size_t size;
    printf("# %s\n", system->name);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        mappings = counts[i];
        calls = 0;
        int answer = system->listed(7, 0, text, ROOM, &size, &error);
        if (mappings > system->most) {
            CHECK("more than the kernel takes room for is an error", answer == -1 && error.code == ENOMEM);
            continue;
        }
        CHECK("all of it is listed", answer == 0 && is_whole(system, size));
        CHECK("of the process that was asked for, without a call too many", asked_for == 7 && calls <= MANY + 1);
        text[size] = 'x';
        answer = system->listed(7, 1, text, size == 0 ? 0 : size - 1, &size, &error);
        CHECK("too little room is told", answer == 1 || (answer == 0 && mappings == 0));
    }
    mappings = 3;
    CHECK("with room to spare it is the same",
          system->listed(0, 0, text, 8192 + 1, &size, &error) == 0 && is_whole(system, size));
    CHECK("0 is this process", asked_for == (size_t)getpid());
    refusal = EPERM;
    CHECK("a refusal is told", system->listed(7, 0, text, ROOM, &size, &error) == -1 && error.code == EPERM);
    refusal = ESRCH;
    CHECK("so is a process that is not there", system->listed(7, 0, text, ROOM, &size, &error) == -1 && error.code == ESRCH);
    refusal = 0;
}

int main(void)
{
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++) {
        test_system(&systems[i]);
    }
    sr_error error = {"", 0};
    CHECK("OpenBSD tells of no pages", runs_of_openbsd(0, 0, PAGE, NULL, 0, NULL, NULL, &error) == -1
                                           && error.code == SR_UNSUPPORTED);
    return check_result();
}
