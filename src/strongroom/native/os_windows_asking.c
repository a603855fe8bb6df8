/* What Windows tells of the memory of a process. Address by address it is asked by sr_os_query(). */
#include "os_refused.h"
#include "sr_os_asking.h"

int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
{
    (void)pid;
    (void)is_detailed;
    (void)buffer;
    (void)room;
    (void)size;
    return lacking(error, "VirtualQueryEx");
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
    return lacking(error, "QueryWorkingSetEx");
}
