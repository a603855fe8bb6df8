/* Advice for which Linux is short of something just now (EAGAIN): it is given again, and not for ever. */
#define _GNU_SOURCE
#include "contract.h"
#include "refusing.h"
#include "sr_os_backing.h"
#include "sr_os_paging.h"

enum { FEW = 10, MANY = 1000 };

static unsigned char *address;
static sr_error error;

static int fetch_to_read(void)
{
    return sr_os_fetch(address, size, 0, &error);
}

static int fetch_to_write(void)
{
    return sr_os_fetch(address, size, 1, &error);
}

static int page_out(void)
{
    return sr_os_page_out(address, size, &error);
}

static int prefetch(void)
{
    return sr_os_prefetch(address, size, 1, &error);
}

static int prefetch_unwaited(void)
{
    return sr_os_prefetch(address, size, 0, &error);
}

static int reset(void)
{
    return sr_os_reset(address, size, &error);
}

static int undo_reset(void)
{
    int is_whole;
    return sr_os_undo_reset(address, size, &is_whole, &error);
}

typedef struct advising {
    int (*ask)(void);
    const char *call;
} advising;

static const advising all[] = {
    {fetch_to_read, "madvise(MADV_POPULATE_READ)"},
    {fetch_to_write, "madvise(MADV_POPULATE_WRITE)"},
    {page_out, "madvise(MADV_PAGEOUT)"},
    {prefetch, "madvise(MADV_POPULATE_READ)"},
    {prefetch_unwaited, "madvise(MADV_WILLNEED)"},
    {reset, "madvise(MADV_FREE)"},
    {undo_reset, "madvise(MADV_POPULATE_WRITE)"},
};

static void test_advice(const advising *one)
{
    char text[80];
    int result = one->ask();
    if (result != 0 && error.code == SR_UNSUPPORTED) {
        skip(one->call, "this kernel does not know it");
        return;
    }
    refuse_nth(1, EAGAIN, 0);
    result = one->ask();
    snprintf(text, sizeof text, "%s, short of something for a moment, is done", one->call);
    CHECK(text, result == 0 && refused != NULL && calls_seen > 1);
    refuse_nth(1, EAGAIN, 1);
    result = one->ask();
    CHECK("  for good: that is the error", result == -1 && names(&error, one->call, EAGAIN));
    CHECK("  after several tries, and no end of them", FEW < calls_seen && calls_seen < MANY);
    refuse_nth(1, ENOMEM, 1);
    result = one->ask();
    CHECK("  what is no matter of a moment is tried once", result == -1 && names(&error, one->call, ENOMEM) && calls_seen == 1);
    refuse_nth(0, 0, 0);
}

int main(void)
{
    measure_pages();
    address = committed();
    memset(address, 7, size);
    refuse_call = "madvise";
    alarm(20); /* "for ever" ends here */
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        test_advice(&all[i]);
    }
    refuse_call = NULL;
    release(address);
    return check_result();
}
