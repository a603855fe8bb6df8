/* What the Unixes' files about paging ask of each other. */
#ifndef OS_POSIX_PAGING_H
#define OS_POSIX_PAGING_H

#include "os_posix.h"
#include "sr_os_paging.h"

/* sr_os_faults() of another process. */
int sr_posix_faults_of(int64_t pid, uint64_t *minor, uint64_t *major, sr_error *error);

#endif
