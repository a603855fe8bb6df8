/* How os_windows*.c answer that a call failed. */
#ifndef OS_WINDOWS_H
#define OS_WINDOWS_H

#include "os_refused.h"

#include <windows.h>

/* Fill in the error of a call that failed just now; -1. */
static inline int failed(sr_error *error, const char *call)
{
    return refused(error, call, (int64_t)GetLastError());
}

#endif
