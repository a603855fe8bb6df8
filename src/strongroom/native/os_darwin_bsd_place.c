/* What macOS and the BSDs say of where a directory's files lie: statfs(2), on NetBSD statvfs(2).
 *
 * Compiled on every change; not yet run on any of these systems.
 */
#define _DARWIN_C_SOURCE
#define __BSD_VISIBLE 1
#define _NETBSD_SOURCE
#include "os_posix.h"
#include "sr_os_backing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/param.h>

#include <sys/mount.h>
#include <sys/statvfs.h>

#ifdef _VFS_NAMELEN /* NetBSD, which has no statfs any more */
typedef struct statvfs told_place;
#define ASK statvfs
#else
typedef struct statfs told_place;
#define ASK statfs
#endif

int sr_os_filesystem(const char *directory, sr_filesystem *found, sr_error *error)
{
    told_place told;
    if (ASK(directory, &told) != 0) {
        return failed(error, "statfs(directory)");
    }
    snprintf(found->kind, sizeof found->kind, "%s", told.f_fstypename);
    snprintf(found->source, sizeof found->source, "%s", told.f_mntfromname);
    return 0;
}
