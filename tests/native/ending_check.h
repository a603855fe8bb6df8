/* What the tests of wiping at the end share: blocks that are open, and what a child died of. */
#ifndef SR_ENDING_CHECK_H
#define SR_ENDING_CHECK_H

#define _GNU_SOURCE
#include "check.h"
#include "ending.h"
#include "sr_os_signals.h"

#include <pthread.h>

enum { ALL_REQUIRED = (1 << SR_STEP_NO_DUMP) | (1 << SR_STEP_NOT_IN_CHILD) };

static size_t page;
static sr_error error;

UNUSED static int made(sr_block *block, size_t size, sr_backing backing)
{
    return sr_block_create(block, size, backing, ALL_REQUIRED, &error) == 0
           && sr_block_protect(block, SR_READ_WRITE, &error) == 0;
}

UNUSED static int died_of(int status, int number)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == number;
}

#endif
