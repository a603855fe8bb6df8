/* Stores of secret memory, between os_posix_physical.c and the file that has them or says they are lacking. */
#ifndef OS_POSIX_PHYSICAL_H
#define OS_POSIX_PHYSICAL_H

#include "sr_os_physical.h"

/* After a mapping that was to replace what is at an address has failed: 1 if that is hidden now, and -1 if it is as it
 * was. Kernels before 6.12 may have unmapped it. */
int sr_posix_unreplaced(void *address, size_t size);

/* As sr_os_store_make and sr_os_store_show. */
int sr_posix_secret_make(sr_physical *store, sr_error *error);
int sr_posix_secret_show(const sr_physical *store, size_t first, size_t count, void *address, sr_error *error);

#endif
