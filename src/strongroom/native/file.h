/* A secret as a file, for those who insist on a path.
 *
 *     reservation             pages                                   file, memory alone
 *     | guard page            | secret | zeros |   guard page |        | secret |
 *                             |<-size->|                               |<-size->|  the same memory
 *
 * The memory is there twice, as a descriptor's file and as pages: locked, not dumped, not in children. Kept mapped for as
 * long as there is content, because a lock belongs to the mapping: pages of a file that nobody has mapped are swapped.
 * The wiping reaches everybody who still has the file open.
 *
 * The pages are a block among the live ones, so that walks and children find them: guarded.h.
 */
#ifndef SR_FILE_H
#define SR_FILE_H

#include "guarded.h"
#include "sr_os_file.h"

#define SR_PATH_ROOM 64

typedef struct sr_file {
    sr_block block;
    sr_memory_file opened;
} sr_file;

/* Make an empty one, of zeros, with the path by which this process can open it; it is not to be moved or copied while it is
 * there. Without a lock, or in core dumps or children, there is none: whatever a policy says, everybody who opens it has
 * a second name for this memory. After sr_blocks_begin; in the process's own thread that forks, or while none does. */
int sr_file_create(sr_file *file, size_t size, char path[SR_PATH_ROOM], sr_error *error);

/* Wipe it, close the descriptor, give the pages back. When the system refuses the last it may be called again. */
int sr_file_destroy(sr_file *file, sr_error *error);

/* Wipe all files of this process, and leave them open and mapped. */
void sr_files_wipe_all(void);

#endif
