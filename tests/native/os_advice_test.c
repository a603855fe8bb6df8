/* The OS contract on Linux: advice and secret memory, read back from the kernel's own listing. */
#define _GNU_SOURCE
#include "contract.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* ---- advice ---- */

static void test_advice(void)
{
    sr_error error;
    unsigned char *address = committed();
    memset(address, 0xA5, size);
    CHECK("no_dump succeeds and shows as dd",
          sr_os_advise_no_dump(address, page, &error) == 0 && has_flag(address, "dd"));
    CHECK("advice stays within its range", !has_flag(address + page, "dd"));

    CHECK("not_in_child succeeds and shows as dc",
          sr_os_advise_not_in_child(address, page, &error) == 0 && has_flag(address, "dc"));
    CHECK("the pages are absent in a child", faults(read_one, address));
    CHECK("pages beside them are not", !faults(read_one, address + page));

    CHECK("wipe_in_child succeeds and shows as wf",
          sr_os_advise_wipe_in_child(address + page, page, &error) == 0 && has_flag(address + page, "wf"));

    CHECK("no_huge succeeds and shows as nh",
          sr_os_advise_no_huge(address, size, &error) == 0 && has_flag(address, "nh"));

    CHECK("all of them are still there together", has_flag(address, "dd") && has_flag(address, "dc"));

    if (madvise(address, size, MADV_MERGEABLE) != 0 || !has_flag(address, "mg")) {
        skip("no_merge", "this kernel has no KSM");
    } else {
        CHECK("no_merge succeeds and mg is gone",
              sr_os_advise_no_merge(address, size, &error) == 0 && !has_flag(address, "mg"));
    }
    release(address);
    CHECK("advice for what is not mapped fails", sr_os_advise_no_dump(address, size, &error) == -1);
    CHECK("and names the call with its value", names(&error, "madvise(MADV_DONTDUMP)", ENOMEM));
}

static void expect_zeros(void *address)
{
    CHECK("wiped pages are zeros in the child", is_all(address, page, 0));
}

static void test_wiped_in_child(void)
{
    sr_error error;
    unsigned char *address = committed();
    memset(address, 0xA5, size);
    sr_os_advise_wipe_in_child(address, page, &error);
    check_in_child("wipe_in_child gives a child zeros", expect_zeros, address);
    CHECK("and leaves the parent's content", is_all(address, size, 0xA5));
    release(address);
}

/* ---- secret memory ---- */

static void test_secretmem(void)
{
    sr_error error;
    unsigned char *address = reserved();
    int open_before = count_open_files();
    if (sr_os_secretmem(address + page, 2 * page, &error) != 0 && error.code == ENOSYS) {
        skip("secret memory", "memfd_secret needs Linux 5.14, and secretmem.enable=1 before 6.5");
        CHECK("the error names memfd_secret", names(&error, "memfd_secret", ENOSYS));
        release(address);
        return;
    }
    unsigned char *secret = address + page;
    mapping found;
    CHECK("the mapping is secret memory",
          find_mapping(secret, &found) && strncmp(found.path, "/secretmem", 10) == 0);
    CHECK("just over the pages asked for",
          found.begin == (unsigned long)secret && found.end == (unsigned long)(secret + 2 * page));
    CHECK("readable and writable", strncmp(found.permissions, "rw-", 3) == 0);
    CHECK("its file is closed", count_open_files() == open_before);
    CHECK("locked and never dumped by nature", has_flag(secret, "lo") && has_flag(secret, "dd"));
    CHECK("zero-filled", is_all(secret, 2 * page, 0));
    CHECK("the pages around it stay reserved",
          has_permissions(address, "---p") && has_permissions(address + 3 * page, "---p"));

    unsigned char copy[16] = {0};
    memset(secret, 0xA5, page);
    struct iovec to = {copy, sizeof copy}, from = {secret, sizeof copy};
    CHECK("the kernel cannot read it for others",
          process_vm_readv(getpid(), &to, 1, &from, 1, 0) == -1 && errno == EFAULT);
    CHECK("it can be left out of children",
          sr_os_advise_not_in_child(secret, 2 * page, &error) == 0 && has_flag(secret, "dc"));
    CHECK("a child has a hole there", faults(read_one, secret));
    CHECK("it cannot be wiped in children", sr_os_advise_wipe_in_child(secret, 2 * page, &error) == -1);
    CHECK("and the error says so", names(&error, "madvise(MADV_WIPEONFORK)", EINVAL));
    CHECK("it can be closed",
          sr_os_protect(secret, page, SR_NO_ACCESS, &error) == 0 && faults(read_one, secret));
    CHECK("decommit makes it a reservation again",
          sr_os_decommit(secret, 2 * page, &error) == 0 && find_mapping(secret, &found)
              && found.path[0] == 0);
    release(address);
}

int main(void)
{
    measure_pages();
    test_advice();
    test_wiped_in_child();
    test_secretmem();
    return check_result();
}
