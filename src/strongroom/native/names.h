/* The names of sections that this process uses, so that they end with it.
 *
 * In: sections that were opened by a name. Out: a record for each. Called under the GIL, and once more when the
 * interpreter is gone, when objects that a thread still holds were never finalized. Can fail: for want of heap.
 */
#ifndef SR_NAMES_H
#define SR_NAMES_H

#include "sr_os_mapping.h"

typedef struct sr_name sr_name;

/* Note that a section is used by its name; the text is copied. NULL if the heap is exhausted. */
sr_name *sr_name_begin(intptr_t section, const char *text, int is_maker);

/* Give the section up, and the record. In a forked child the name is left alone: it is the parent's. */
void sr_name_end(sr_name *name);

/* Give up what is left, at the end of the process. */
void sr_names_end_all(void);

#endif
