/* What Windows says of the volume that a directory's files lie on. */
#include "os_windows.h"
#include "sr_os_backing.h"

#include <windows.h>

#include <stdio.h>

#define PATH_ROOM 1024 /* UTF-16 units */

static int to_text(const WCHAR *wide, char *text, int room)
{
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, room, NULL, NULL) != 0;
}

/* A RAM disk is one by its driver's word: FILE_DEVICE_VIRTUAL_DISK. One that calls itself a fixed disk looks like one. */
int sr_os_filesystem(const char *directory, sr_filesystem *found, sr_error *error)
{
    WCHAR path[PATH_ROOM], volume[PATH_ROOM], kind[MAX_PATH + 1];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, directory, -1, path, PATH_ROOM) == 0) {
        return failed(error, "MultiByteToWideChar");
    }
    if (!GetVolumePathNameW(path, volume, PATH_ROOM)) {
        return failed(error, "GetVolumePathName");
    }
    if (!to_text(volume, found->source, (int)sizeof found->source)) {
        found->source[0] = '\0';
    }
    if (GetDriveTypeW(volume) == DRIVE_RAMDISK) {
        snprintf(found->kind, sizeof found->kind, "%s", SR_RAM_DISK);
    } else if (!GetVolumeInformationW(volume, NULL, 0, NULL, NULL, NULL, kind, MAX_PATH + 1)
               || !to_text(kind, found->kind, (int)sizeof found->kind)) {
        found->kind[0] = '\0';
    }
    return 0;
}
