/* Bytes that nobody writes on purpose, in front of each secret. */
#ifndef SR_CANARY_H
#define SR_CANARY_H

#include "sr_os.h"

/* The least there is of it: wide enough that a random match is out of the question, small enough that three 32-byte
 * secrets fit where two would with a canary as large as they are. */
#define SR_CANARY_SIZE 16

/* Draw the canary of this process; once, before the first is written. */
int sr_canary_begin(sr_error *error);

/* Fill `size` bytes (SR_CANARY_SIZE at least) with it. No two places have the same bytes, so that one secret copied
 * over another, canary and all, is noticed. */
void sr_canary_write(void *place, size_t size);

/* The first SR_CANARY_SIZE bytes that stand at `place` then. */
void sr_canary_of(const void *place, unsigned char bytes[SR_CANARY_SIZE]);

/* 1 if these bytes are as they were written. */
int sr_canary_is_intact(const void *place, size_t size);

#endif
