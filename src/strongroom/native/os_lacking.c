/* What only Linux offers, on every other system: a promise nobody made is not one that can be asked for.
 *
 * Huge pages: none of these systems copies small pages into large ones behind a process's back. macOS and
 * Windows use large pages only where an allocation asks for them (VM_FLAGS_SUPERPAGE_SIZE_2MB,
 * MEM_LARGE_PAGES); FreeBSD promotes in place, within a reservation of physical memory, and leaves no residue.
 *
 * Merging: macOS and the BSDs do not deduplicate. Windows does, where Enable-MMAgent -PageCombining is on;
 * opting out is possible for a whole process only (SetProcessMitigationPolicy with
 * ProcessSideChannelIsolationPolicy, DisablePageCombine).
 */
#include "os_refused.h"
#include "sr_os.h"
#include "sr_os_asking.h"
#include "sr_os_backing.h"
#include "sr_os_file.h"

int sr_os_advise_no_huge(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "madvise(MADV_NOHUGEPAGE)");
}

int sr_os_advise_no_merge(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "madvise(MADV_UNMERGEABLE)");
}

int sr_os_secretmem(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "memfd_secret");
}

int sr_os_seal(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "mseal");
}

/* FreeBSD has memfd_create too, but no seal that leaves one writable mapping be. */
int sr_os_file_create(void *address, size_t pages_size, size_t size, sr_memory_file *file, sr_error *error)
{
    (void)address;
    (void)pages_size;
    (void)size;
    (void)file;
    return lacking(error, "memfd_create");
}

int sr_os_file_path(const sr_memory_file *file, char *path, size_t room, sr_error *error)
{
    (void)file;
    (void)path;
    (void)room;
    return lacking(error, "open(/proc/self/fd)");
}

void sr_os_file_close(sr_memory_file *file)
{
    (void)file;
}

int sr_os_droppable(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "mmap(MAP_DROPPABLE)");
}

/* Its space goes back with its last page: it has no name. */
int sr_os_punch(void *address, size_t size, sr_error *error)
{
    (void)address;
    (void)size;
    return lacking(error, "madvise(MADV_REMOVE)");
}

/* Elsewhere the one mapping is looked up among all of them, or asked for with sr_os_entry_at(). */
int sr_os_mapping_at(uintptr_t address, sr_mapping *row, char *text, size_t room, sr_error *error)
{
    (void)address;
    (void)row;
    (void)text;
    (void)room;
    return lacking(error, "ioctl(PROCMAP_QUERY)");
}
