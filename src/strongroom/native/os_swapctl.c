/* The swap of NetBSD and OpenBSD: swapctl(2). Compiled on every CI run; not yet run there. */
#define _NETBSD_SOURCE
#define _BSD_SOURCE
#include "os_posix_paging.h"

#include <sys/param.h>
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

/* What sizes are counted in there, whatever the device; DEV_BSIZE of both. */
#define BLOCK_SIZE ((uint64_t)512)

static void tell(const struct swapent *told, sr_page_file *file)
{
    memset(file, 0, sizeof *file);
    snprintf(file->path, sizeof file->path, "%s", told->se_path);
    file->size = (uint64_t)told->se_nblks * BLOCK_SIZE;
    file->used = (uint64_t)told->se_inuse * BLOCK_SIZE;
    file->priority = told->se_priority;
    file->is_device = strncmp(file->path, "/dev/", 5) == 0;
}

int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
{
    int there = swapctl(SWAP_NSWAP, NULL, 0);
    *count = 0;
    if (there < 0) {
        return failed(error, "swapctl(SWAP_NSWAP)");
    }
    if (there == 0) {
        return 0;
    }
    struct swapent *told = calloc((size_t)there, sizeof *told);
    if (told == NULL) {
        return refused(error, "calloc", ENOMEM);
    }
    int got = swapctl(SWAP_STATS, told, there);
    if (got < 0) {
        failed(error, "swapctl(SWAP_STATS)");
        free(told);
        return -1;
    }
    for (int i = 0; i < got && (size_t)i < room; i++) {
        tell(&told[i], &files[i]);
    }
    *count = (size_t)got;
    free(told);
    return 0;
}
