/* Which process this is, counted in forks.
 *
 * Memory that holds secrets is not in a forked child, but the objects that describe it are. Whoever is
 * about to follow such a description compares the generation it was made in with the one of now: getpid()
 * would cost a system call or, cached, be wrong after a raw clone(2). The word lives in a page that the
 * kernel zeroes in every child (MADV_WIPEONFORK, Linux 4.14; minherit INHERIT_ZERO on the BSDs);
 * where there is no such page, the at-fork handler alone moves it on, and a child made behind the C library's
 * back is not noticed.
 */
#ifndef SR_GENERATION_H
#define SR_GENERATION_H

#include "sr_os.h"

extern volatile uint64_t *sr_generation_word;

/* Slow path of sr_generation(): makes the page the first time, starts a new generation in a child. */
uint64_t sr_generation_renew(void);

/* Prepare the word and the at-fork handler. `in_child` runs once in each child, before anything else of
 * ours: async-signal-safe work only. Later calls do nothing; the first must not meet another thread's. */
int sr_generation_begin(void (*in_child)(void), sr_error *error);

/* The generation of this process; 0 before sr_generation_begin, never afterwards. */
static inline uint64_t sr_generation(void)
{
    uint64_t generation = *sr_generation_word;
    return generation != 0 ? generation : sr_generation_renew();
}

/* How many forks lie behind this process: those it made and those that led to it. What was read of memory's
 * state under another number was read before a fork. 0 before sr_generation_begin. The parent of a raw
 * clone(2), and of vfork(2), which copies no memory, does not count it. */
uint64_t sr_forks(void);

#endif
