/* What the Unixes' sections have in common, between os_posix_mapping.c and the file that makes them. */
#ifndef OS_POSIX_SECTION_H
#define OS_POSIX_SECTION_H

#include "sr_os_mapping.h"

/* A new object of memory without a name, empty. -1 with `*error` filled in. */
int sr_posix_nameless(sr_error *error);

/* 0 if an object found by its name belongs to this user alone. Anybody may have put it there: a name is no secret. */
int sr_posix_check_owner(int section, sr_error *error);

/* Make a file at least that long. Never shorter, where the system can promise that (Linux): another process may make it
 * longer still at the same moment. */
int sr_posix_lengthen(int file, uint64_t size, sr_error *error);

/* What the size of a view of this file has to be a multiple of: 1, or the large pages that it is made of. */
size_t sr_posix_page_of_file(int file);

#endif
