/* A part of the OS contract: threads and forks. */
#ifndef SR_OS_THREADS_H
#define SR_OS_THREADS_H

#include "sr_os.h"

/* Parts of the pool of slots, each with a mutex and pages of its own. Fewer, and threads wait for each other; more, and
 * under a small lock limit each holds half-used pages that the others lack. */
#define SR_POOL_SHARDS 8

/* A number that tells this thread from most others and stays the same for it: for sharing out what threads would
 * otherwise wait for. */
unsigned sr_os_thread_turn(void);

/* Every native mutex there is, in the order in which the at-fork handler takes them. All are leaves: no other mutex and
 * no Python while one is held, only memory calls that end by themselves (SR_MUTEX_FILES: a disk's); and no heap, but for a
 * child that drops what describes its parent's arenas. */
typedef enum sr_mutex {
    SR_MUTEX_FILES = 0, /* while a private file comes about, or gets pages: a fork that waits for it holds none of the others */
    SR_MUTEX_BLOCKS = 1,
    SR_MUTEX_POOL = 2,    /* the first of SR_POOL_SHARDS */
    SR_MUTEX_WINDOWS = SR_MUTEX_POOL + SR_POOL_SHARDS, /* every window, and the stores whose pages they show */
    SR_MUTEX_REGIONS = SR_MUTEX_WINDOWS + 1, /* the first of several: each region has one, by turns */
    SR_MUTEX_COUNT = SR_MUTEX_REGIONS + 32 /* more cost each fork two calls; fewer, and regions wait for each other */
} sr_mutex;
void sr_os_enter(sr_mutex which);
int sr_os_try_enter(sr_mutex which); /* 1 if entered, 0 if that would have to wait */
void sr_os_leave(sr_mutex which);

/* Call `in_child` in every child made by fork(), all mutexes free, and `in_parent` in its parent, all of them held. Once
 * per process; async-signal-safe work only in both. Succeeds and does nothing where there is no fork. */
int sr_os_at_fork(void (*in_parent)(void), void (*in_child)(void), sr_error *error);

/* Fill a hole that sr_os_advise_not_in_child left in a child with inaccessible pages, unless something
 * else is mapped there already. Async-signal-safe; best effort. */
void sr_os_fill_hole(void *address, size_t size);

#endif
