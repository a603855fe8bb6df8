/* What the tests of the OS contract share: memory to test on, made by the contract's own calls. */
#ifndef SR_CONTRACT_H
#define SR_CONTRACT_H

#include "check.h"
#include "sr_os.h"

enum { PAGES = 4 };

static size_t page;
static size_t size; /* PAGES pages */

UNUSED static void measure_pages(void)
{
    page = sr_os_page_size();
    size = PAGES * page;
}

static void stop(const sr_error *error)
{
    printf("FAIL  %s: %lld\n", error->call, (long long)error->code);
    exit(1);
}

UNUSED static unsigned char *reserved(void)
{
    void *address = NULL;
    sr_error error = {"", 0};
    if (sr_os_reserve(size, SR_PLACE_ANYWHERE, &address, &error) != 0) {
        stop(&error);
    }
    return address;
}

UNUSED static unsigned char *committed(void)
{
    unsigned char *address = reserved();
    sr_error error = {"", 0};
    if (sr_os_commit(address, size, SR_READ_WRITE, &error) != 0) {
        stop(&error);
    }
    return address;
}

UNUSED static void release(void *address)
{
    sr_error error;
    CHECK("release gives a reservation back",
          sr_os_release(address, size, &error) == 0 && !is_mapped(address));
}

UNUSED static int names(const sr_error *error, const char *call, int64_t code)
{
    return strcmp(error->call, call) == 0 && error->code == code;
}

#endif
