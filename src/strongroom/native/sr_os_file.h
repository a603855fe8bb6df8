/* A part of the OS contract: a file that is nothing but memory of this process, for whoever insists on a path.
 *
 * The rules of sr_os.h hold. Of its two names one is the descriptor, the other the pages: what is written to these is what
 * the file has. Only Linux has such files; elsewhere SR_UNSUPPORTED.
 */
#ifndef SR_OS_FILE_H
#define SR_OS_FILE_H

#include "sr_os.h"

typedef struct sr_memory_file {
    intptr_t descriptor; /* -1: none */
    uint64_t device, number; /* which file it is: a descriptor's number may come to stand for another one */
} sr_memory_file;

/* Put the pages of a new file of `size` bytes in place of the reserved pages at `address`, zero-filled and READ_WRITE.
 * Nobody but its owner may open the file, its size stays, and there is no way to write to it but through these pages;
 * that cannot be undone. Neither locked nor advised of anything yet. Closed in programs that this one executes. */
int sr_os_file_create(void *address, size_t pages_size, size_t size, sr_memory_file *file, sr_error *error);

/* A path under which this process can open it, with its terminator; 64 bytes are enough room. SR_UNSUPPORTED with the
 * call "open(/proc/self/fd)" where there is none. */
int sr_os_file_path(const sr_memory_file *file, char *path, size_t room, sr_error *error);

/* Close the descriptor, if it still is this file's; a second time, and with -1, does nothing. Async-signal-safe. */
void sr_os_file_close(sr_memory_file *file);

#endif
