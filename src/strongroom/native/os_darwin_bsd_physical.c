/* Stores of secret memory, where there is no such memory. */
#include "os_posix.h"
#include "os_posix_physical.h"

int sr_posix_secret_make(sr_physical *store, sr_error *error)
{
    (void)store;
    return lacking(error, "memfd_secret");
}

int sr_posix_secret_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error)
{
    (void)store;
    (void)first;
    (void)count;
    (void)address;
    return lacking(error, "memfd_secret");
}
