/* The OS contract on Linux, each promise checked against what the kernel says of this process: address
 * space, locks, randomness, wiping. Advice and secret memory are in os_advice_test.c, what needs a process of
 * its own in os_process_test.c and os_end_test.c. */
#define _GNU_SOURCE
#include "contract.h"
#include "sr_os_backing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* ---- address space ---- */

static void test_reserve_and_commit(void)
{
    sr_error error;
    unsigned char *address = reserved();
    CHECK("page size is the system's", page == (size_t)sysconf(_SC_PAGESIZE));
    CHECK("reservations are placed in whole steps", (uintptr_t)address % sr_os_granularity() == 0);
    CHECK("reserved pages are private and inaccessible", has_permissions(address, "---p"));
    CHECK("reserved pages are not resident", resident_kb(address) == 0);
    CHECK("reading reserved pages faults", faults(read_one, address));

    CHECK("commit succeeds on a part", sr_os_commit(address + page, page, SR_READ_WRITE, &error) == 0);
    CHECK("committed pages have the protection asked for", has_permissions(address + page, "rw-p"));
    CHECK("pages before it stay reserved", has_permissions(address, "---p"));
    CHECK("pages behind it stay reserved", has_permissions(address + 2 * page, "---p"));
    CHECK("committed pages are not resident until touched", resident_kb(address + page) == 0);
    CHECK("committed pages read as zeros", is_all(address + page, page, 0));
    release(address);

    void *nowhere = &error;
    size_t too_much = (SIZE_MAX >> 1) / page * page;
    CHECK("an impossible reservation fails", sr_os_reserve(too_much, SR_PLACE_ANYWHERE, &nowhere, &error) == -1);
    CHECK("and names mmap and ENOMEM", names(&error, "mmap", ENOMEM));
}

static void test_decommit(void)
{
    sr_error error;
    unsigned char *address = committed();
    memset(address, 0xA5, size);
    CHECK("advice is given", sr_os_advise_no_dump(address, size, &error) == 0 && has_flag(address, "dd"));
    CHECK("pages are locked", sr_os_lock(address, size, &error) == 0);
    long locked_kb = status_number("VmLck");
    CHECK("decommit succeeds", sr_os_decommit(address, size, &error) == 0);
    if (!HAS_ASAN) {
        CHECK("decommit drops the lock", status_number("VmLck") == locked_kb - (long)(size / 1024));
    }
    CHECK("decommitted pages are inaccessible", has_permissions(address, "---p"));
    CHECK("touching decommitted pages faults", faults(write_one, address));
    CHECK("decommit drops advice", !has_flag(address, "dd") && !has_flag(address, "lo"));
    CHECK("commit again succeeds", sr_os_commit(address, size, SR_READ_WRITE, &error) == 0);
    CHECK("and reads as zeros", is_all(address, size, 0));
    release(address);
}

static void call(void *address)
{
    void (*function)(void);
    memcpy(&function, &address, sizeof function);
    function();
}

static void test_protect(void)
{
    static const struct {
        sr_protection protection;
        const char *permissions;
        int may_read, may_write, may_execute;
    } rows[] = {
        {SR_NO_ACCESS, "---p", 0, 0, 0},         {SR_READ_ONLY, "r--p", 1, 0, 0},
        {SR_READ_WRITE, "rw-p", 1, 1, 0},        {SR_EXECUTE, "r-xp", 1, 0, 1},
        {SR_EXECUTE_READ, "r-xp", 1, 0, 1},      {SR_EXECUTE_READ_WRITE, "rwxp", 1, 1, 1},
    };
    sr_error error;
    unsigned char *address = committed();
#if defined(__x86_64__)
    static const unsigned char return_code[] = {0xC3};
#elif defined(__aarch64__)
    static const unsigned char return_code[] = {0xC0, 0x03, 0x5F, 0xD6};
#endif
    memcpy(address, return_code, sizeof return_code);
    __builtin___clear_cache((char *)address, (char *)address + sizeof return_code);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "protection 0x%02x is %s", rows[i].protection, rows[i].permissions);
        CHECK(text, sr_os_protect(address, size, rows[i].protection, &error) == 0
                        && has_permissions(address, rows[i].permissions));
        if (rows[i].may_read >= 0) {
            CHECK("  reading", faults(read_one, address + page) == !rows[i].may_read);
        }
        CHECK("  writing", faults(write_one, address + page) == !rows[i].may_write);
        CHECK("  executing", faults(call, address) == !rows[i].may_execute);
    }
    release(address);
    CHECK("protecting what is not mapped fails", sr_os_protect(address, size, SR_READ_ONLY, &error) == -1);
    CHECK("and names mprotect and ENOMEM", names(&error, "mprotect", ENOMEM));
}

/* ---- locks ---- */

static void test_lock(void)
{
    if (HAS_ASAN) {
        skip("locks", "AddressSanitizer replaces mlock by nothing");
        return;
    }
    sr_error error;
    unsigned char *address = committed();
    long before = status_number("VmLck");
    CHECK("lock succeeds", sr_os_lock(address, size, &error) == 0);
    CHECK("the kernel counts the pages as locked", status_number("VmLck") == before + (long)(size / 1024));
    CHECK("the mapping says lo", has_flag(address, "lo"));
    CHECK("locked pages are resident", resident_kb(address) == (long)(size / 1024));
    CHECK("closing the pages keeps the lock",
          sr_os_protect(address, size, SR_NO_ACCESS, &error) == 0 && has_flag(address, "lo"));
    CHECK("unlock succeeds", sr_os_unlock(address, size, &error) == 0);
    CHECK("the kernel counts them no more", status_number("VmLck") == before && !has_flag(address, "lo"));

    munmap(address + 2 * page, page);
    CHECK("locking a range with a hole fails", sr_os_lock(address, size, &error) == -1);
    CHECK("and names mlock and ENOMEM", names(&error, "mlock", ENOMEM));
    CHECK("but has locked the part before the hole", has_flag(address, "lo"));
    release(address);
    CHECK("release ends every lock", status_number("VmLck") == before);
}

static void test_lock_limit_codes(void)
{
    static const sr_error limits[] = {{"mlock", ENOMEM}, {"mlock", EPERM}, {"mmap(secretmem)", EAGAIN}};
    static const sr_error others[] = {{"mprotect", ENOMEM}, {"mmap", ENOMEM}, {"memfd_secret", ENOSYS},
                                      {"memfd_secret", SR_UNSUPPORTED}, {"mlock", EINVAL}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        CHECK("a lock limit is known as one", sr_os_is_lock_limit(&limits[i]) == 1);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK("another error is not", sr_os_is_lock_limit(&others[i]) == 0);
    }
}

/* ---- randomness and wiping ---- */

static void test_random(void)
{
    static const size_t sizes[] = {1, 32, 256, 257, 70001};
    static unsigned char once[70001 + 1], again[70001 + 1];
    sr_error error;
    CHECK("random of nothing succeeds", sr_os_random(once, 0, &error) == 0 && once[0] == 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t wanted = sizes[i];
        memset(once, 0, sizeof once);
        memset(again, 0, sizeof again);
        CHECK("random succeeds",
              sr_os_random(once, wanted, &error) == 0 && sr_os_random(again, wanted, &error) == 0);
        if (wanted >= 32) {
            CHECK("two draws differ at their beginnings", memcmp(once, again, 32) != 0);
            CHECK("and at their ends", memcmp(once + wanted - 32, again + wanted - 32, 32) != 0);
            CHECK("and are not one byte repeated", !is_all(once, 32, once[0]));
        }
        CHECK("nothing is written past the end", once[wanted] == 0 && again[wanted] == 0);
    }
}

/* Larger than what a library call made afterwards, lazy binding included, overwrites of it. */
enum { LEFT_SIZE = 16384 };

/* Where a local array was, wiped or not before its function returned. The array is never read again, so only
 * the promise of sr_os_wipe keeps the stores of zeros from being dropped. */
__attribute__((noinline)) static uintptr_t leave_on_stack(int is_wiped)
{
    unsigned char local[LEFT_SIZE];
    memset(local, 0xA5, sizeof local);
    __asm__ __volatile__("" : : "r"(local) : "memory");
    uintptr_t where = (uintptr_t)local;
    if (is_wiped) {
        sr_os_wipe(local, sizeof local);
    }
    return where;
}

static int bytes_left_on_stack(int is_wiped)
{
    static unsigned char seen[LEFT_SIZE];
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uintptr_t where = leave_on_stack(is_wiped);
    ssize_t got = pread(memory, seen, sizeof seen, (off_t)where);
    close(memory);
    int count = 0;
    for (size_t i = 0; i < sizeof seen; i++) {
        count += seen[i] == 0xA5;
    }
    return got == (ssize_t)sizeof seen ? count : -1;
}

static void test_wipe(void)
{
    unsigned char bytes[64];
    memset(bytes, 0xA5, sizeof bytes);
    sr_os_wipe(bytes + 1, 0);
    CHECK("wiping nothing changes nothing", is_all(bytes, sizeof bytes, 0xA5));
    sr_os_wipe(bytes + 3, 37);
    CHECK("exactly the range is zeros",
          is_all(bytes, 3, 0xA5) && is_all(bytes + 3, 37, 0) && is_all(bytes + 40, 24, 0xA5));
    if (HAS_ASAN) {
        skip("a wipe nobody reads after", "AddressSanitizer keeps local variables elsewhere");
    } else {
        CHECK("control: an array left on the stack is found there", bytes_left_on_stack(0) > LEFT_SIZE / 2);
        CHECK("a wipe nobody reads after is not optimised away", bytes_left_on_stack(1) == 0);
    }
}

static void test_where_files_lie(void)
{
    sr_filesystem told;
    sr_error error;
    CHECK("mountinfo says it, not a call", sr_os_filesystem("/", &told, &error) == -1 && error.code == SR_UNSUPPORTED);
}

int main(void)
{
    measure_pages();
    test_reserve_and_commit();
    test_decommit();
    test_protect();
    test_lock();
    test_lock_limit_codes();
    test_random();
    test_wipe();
    test_where_files_lie();
    return check_result();
}
