/* Copying within a process through a pipe, for systems (and sandboxes) that offer nothing better. */
#ifndef SR_OS_PIPE_H
#define SR_OS_PIPE_H

#include "sr_os.h"

/* As sr_os_copy. The bytes pass through the kernel's pipe buffers, which are not wiped. */
int sr_pipe_copy(void *to, const void *from, size_t size, sr_error *error);

#endif
