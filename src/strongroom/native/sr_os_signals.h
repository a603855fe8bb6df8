/* The OS contract, continued: ends of the process that are announced, and what a function that runs then may use.
 *
 * On Unix an announced end is a signal, and what handles it runs on top of whatever the thread was doing, a heap call or
 * a held mutex included. On Windows it is an event of the console, and a thread of its own runs for it. The rules of
 * sr_os.h hold here too; all but sr_os_wipe_before is async-signal-safe (POSIX.1-2017, 2.4.3).
 */
#ifndef SR_OS_SIGNALS_H
#define SR_OS_SIGNALS_H

#include "sr_os.h"

/* Have `wipe` run before a signal of this number ends the process, which then ends by that signal as it would have. Where
 * a C function handles the signal, that runs after `wipe`, with what the signal brought along: is_last is 0 then, as the
 * process may live on. A signal that is ignored ends nothing and stays ignored. For a fault the calling thread gets an
 * alternate stack, unless it has one. Done twice it is done once. One `wipe` for all signals of the process. On Windows
 * the number is SIGBREAK, or SR_UNSUPPORTED. */
int sr_os_wipe_before(int number, void (*wipe)(int is_last), sr_error *error);

/* Overwrite with `content`, or with zeros if that is NULL, through the kernel, which checks each page: where another thread
 * makes it inaccessible meanwhile that is an error, or stored all the same (Windows), never a fault. Any address, any
 * size, zero included. */
int sr_os_store_checked(void *address, const void *content, size_t size, sr_error *error);

/* Tells this process from one that shares its memory for a while (vfork). */
uint64_t sr_os_process_id(void);

/* Add to a number that several threads change; a full barrier. */
void sr_os_add(volatile int32_t *number, int32_t change);

/* Wait until the number is zero; a full barrier, as it looks by adding nothing. Others have the CPU meanwhile: at once for
 * the first SR_TURNS_AT_ONCE turns, then a thousand times a second. */
#define SR_TURNS_AT_ONCE 10000
void sr_os_await_zero(volatile int32_t *number);

#endif
