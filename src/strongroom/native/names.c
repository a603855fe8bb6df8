/* A list of what must not outlive the process. names.h says what for. */
#include "names.h"

#include "generation.h"

#include <stdlib.h>
#include <string.h>

struct sr_name {
    sr_name *next, **link; /* `link` points at what points here */
    intptr_t section;
    uint64_t generation;
    int is_maker;
    char text[];
};

static sr_name *names;

sr_name *sr_name_begin(intptr_t section, const char *text, int is_maker)
{
    size_t size = strlen(text) + 1;
    sr_name *name = malloc(sizeof *name + size);
    if (name == NULL) {
        return NULL;
    }
    name->section = section;
    name->generation = sr_generation();
    name->is_maker = is_maker;
    memcpy(name->text, text, size);
    name->next = names;
    name->link = &names;
    if (names != NULL) {
        names->link = &name->next;
    }
    names = name;
    return name;
}

void sr_name_end(sr_name *name)
{
    *name->link = name->next;
    if (name->next != NULL) {
        name->next->link = name->link;
    }
    sr_os_section_close(name->section, name->generation == sr_generation() ? name->text : NULL, name->is_maker);
    free(name);
}

void sr_names_end_all(void)
{
    while (names != NULL) {
        sr_name_end(names);
    }
}
