/* How the Unixes' os_*.c answer that a call failed. */
#ifndef OS_POSIX_H
#define OS_POSIX_H

#include "os_refused.h"

#include <errno.h>

/* Fill in the error of a call that failed just now; -1. */
static inline int failed(sr_error *error, const char *call)
{
    return refused(error, call, errno);
}

#endif
