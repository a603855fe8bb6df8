/* The OS contract's second part: sections, the views of them, and what Windows encrypts in its kernel.
 *
 * The rules of sr_os.h hold. A section is memory that several views, and several processes, can show: a file's, or the
 * system's own. What a section is to the system is one number: a file descriptor on Unix, a handle on Windows.
 */
#ifndef SR_OS_MAPPING_H
#define SR_OS_MAPPING_H

#include "sr_os.h"

/* A section of a file, or of nothing but memory where `file` is -1 (a descriptor; on Windows a handle). `*size` is how
 * large it is to be, 0 for as large as the file, and becomes what it is. A file that is too small grows if
 * `protection` can be written through, and is refused otherwise. The file may be closed afterwards. */
int sr_os_section_create(intptr_t file, sr_protection protection, uint64_t *size, intptr_t *section, sr_error *error);

/* The section of that name, made with `*size` bytes of zeros if nobody uses it; what exists keeps its size. With
 * `*size` 0 it must exist. `*existed` says which it was. The name is what the layer above made of it. 1, with an error, if another process is
 * just beginning or ending that name, after a hundredth of a second's wait or a signal: to be tried again. */
int sr_os_section_named(
    const char *name, sr_protection protection, uint64_t *size, intptr_t *section, int *existed, sr_error *error);

/* Give a section up. `name` is NULL where it has none, and in a forked child, which has no say in when a name ends.
 * `is_maker` counts only where the system cannot tell who else uses it: there the name ends with its maker. */
void sr_os_section_close(intptr_t section, const char *name, int is_maker);

/* Show a part of a section; `offset` is a multiple of sr_os_granularity(), `*size` any number, 0 for up to the end. With
 * SR_WRITE_COPY and SR_EXECUTE_WRITE_COPY what is written stays in this process. */
int sr_os_map_view(
    intptr_t section, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error);

/* Show a part of a file at once: a section that is gone as soon as its view is there. On Unix `file` is neither copied nor
 * closed, for closing any descriptor of a file ends the process's fcntl(2) locks on it. Otherwise as the two calls. */
int sr_os_map_file(
    intptr_t file, uint64_t offset, size_t *size, sr_protection protection, void **address, sr_error *error);

int sr_os_unmap_view(void *address, size_t size, sr_error *error);

/* Have what was written through a view written to its file, and wait for that as long as the system knows how. */
int sr_os_flush_view(void *address, size_t size, sr_error *error);

/* CryptProtectMemory and its reverse, in place, with Windows' flags. Any address; `size` is a multiple of 16. Where a
 * process of this system cannot have that done for it: SR_UNSUPPORTED. Where the call only pretends: an error. */
#define SR_CRYPT_SAME_PROCESS 0u /* CRYPTPROTECTMEMORY_SAME_PROCESS */
int sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *error);
int sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *error);

#endif
