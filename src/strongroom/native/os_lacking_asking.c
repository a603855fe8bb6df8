/* What is asked of Linux only, as yet: macOS and the BSDs have other calls for it, with other answers. Windows is asked
 * by sr_os_query(), address by address. */
#include "os_refused.h"
#include "sr_os_asking.h"

int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    (void)pid;
    (void)buffer;
    (void)room;
    (void)size;
    return lacking(error, is_detailed ? "read(/proc/PID/smaps)" : "read(/proc/PID/maps)");
}

int sr_os_mapping_at(uintptr_t address, sr_mapping *row, char *text, size_t room, sr_error *error)
{
    (void)address;
    (void)row;
    (void)text;
    (void)room;
    return lacking(error, "ioctl(PROCMAP_QUERY)");
}

int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                    uint64_t *reached, sr_error *error)
{
    (void)pid;
    (void)start;
    (void)end;
    (void)runs;
    (void)room;
    (void)count;
    (void)reached;
    return lacking(error, "read(/proc/PID/pagemap)");
}
