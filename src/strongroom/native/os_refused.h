/* How os_*.c answer that a call failed. For them alone: the contract with everybody else is sr_os.h. */
#ifndef OS_REFUSED_H
#define OS_REFUSED_H

#include "sr_os.h"

/* Fill in the error; -1. */
static inline int refused(sr_error *error, const char *call, int64_t code)
{
    error->call = call;
    error->code = code;
    return -1;
}

/* The same where the system has no such call. */
static inline int lacking(sr_error *error, const char *call)
{
    return refused(error, call, SR_UNSUPPORTED);
}

#endif
