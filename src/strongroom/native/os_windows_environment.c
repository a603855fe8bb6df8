/* The environment on Windows: several copies of each variable, kept by several parties.
 *
 * The system's own (in the process parameters, reached through Get- and SetEnvironmentVariable), and those of
 * the C runtime, which copies the whole environment onto its heap when a program starts: wide for programs
 * that begin in wmain, as python.exe does, narrow as soon as any library calls getenv. Reading asks the
 * system. Wiping overwrites the system's copy and the two in the runtime's tables.
 *
 * That is not all there is: what the start-up code of each runtime held in passing stays on the heap, out of
 * reach. Under Wine 8, whose own runtimes are loaded too, 8 of 11 copies were left. A variable is no place
 * for a secret on Windows; wiping it only shortens the list.
 *
 * Values are converted in pages of their own, wiped and given back at once: nothing here touches the heap.
 */
#define _CRT_SECURE_NO_WARNINGS /* getenv: what is wanted is the pointer into the runtime's table */
#include "os_windows.h"
#include "sr_os.h"

#include <windows.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Characters in a variable's name, terminator included. Windows allows up to 32,767; longer ones than this
 * are refused, and by name (MultiByteToWideChar, ERROR_INSUFFICIENT_BUFFER). */
#define NAME_MAX_LENGTH 512

static int widen_name(const char *name, wchar_t *wide, sr_error *error)
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide, NAME_MAX_LENGTH) == 0) {
        return failed(error, "MultiByteToWideChar");
    }
    return 0;
}

/* A value in pages of its own. `length` is in UTF-16 units, without the terminator. */
typedef struct scratch {
    wchar_t *text;
    DWORD length;
} scratch;

static void drop(scratch *value)
{
    SecureZeroMemory(value->text, (value->length + (size_t)1) * sizeof(wchar_t));
    VirtualFree(value->text, 0, MEM_RELEASE);
}

/* GetEnvironmentVariableW counts the terminator when it asks for room, and not when it has answered. */
static int fetch(const char *name, scratch *value, sr_error *error)
{
    wchar_t wide[NAME_MAX_LENGTH];
    if (widen_name(name, wide, error) != 0) {
        return -1;
    }
    DWORD room = GetEnvironmentVariableW(wide, NULL, 0);
    if (room == 0) {
        return GetLastError() == ERROR_ENVVAR_NOT_FOUND ? lacking(error, "getenv")
                                                        : failed(error, "GetEnvironmentVariable");
    }
    value->length = room - 1;
    value->text = VirtualAlloc(NULL, room * sizeof(wchar_t), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (value->text == NULL) {
        return failed(error, "VirtualAlloc");
    }
    if (GetEnvironmentVariableW(wide, value->text, room) != value->length) { /* changed in between */
        drop(value);
        return refused(error, "getenv", ERROR_RETRY);
    }
    return 0;
}

/* Lone surrogates, which a variable may hold, are not text: refused rather than replaced. */
static int utf8_size(const scratch *value, size_t *size, sr_error *error)
{
    *size = 0;
    if (value->length != 0) {
        int length = (int)value->length;
        int got = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, value->text, length, NULL, 0, NULL,
                                      NULL);
        if (got == 0) {
            return failed(error, "WideCharToMultiByte");
        }
        *size = (size_t)got;
    }
    return 0;
}

int sr_os_environment_size(const char *name, size_t *size, sr_error *error)
{
    scratch value;
    if (fetch(name, &value, error) != 0) {
        return -1;
    }
    int result = utf8_size(&value, size, error);
    drop(&value);
    return result;
}

int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error)
{
    scratch value;
    size_t now;
    if (fetch(name, &value, error) != 0) {
        return -1;
    }
    int result = utf8_size(&value, &now, error);
    if (result == 0 && now != size) {
        result = refused(error, "getenv", ERROR_RETRY);
    } else if (result == 0 && size != 0) {
        WideCharToMultiByte(CP_UTF8, 0, value.text, (int)value.length, buffer, (int)size, NULL, NULL);
    }
    drop(&value);
    return result;
}

/* The tables are only searched where they exist: getenv and _wgetenv make the missing one, a copy of
 * everything. A name outside ASCII is looked up in the narrow table by its UTF-8 bytes, which are right only
 * where UTF-8 is the process's code page. */
static void wipe_runtime_copies(const char *name, const wchar_t *wide)
{
    wchar_t *wide_value = _wenviron != NULL ? _wgetenv(wide) : NULL;
    char *narrow_value = _environ != NULL ? getenv(name) : NULL;
    if (wide_value != NULL) {
        SecureZeroMemory(wide_value, wcslen(wide_value) * sizeof(wchar_t));
    }
    if (narrow_value != NULL) {
        SecureZeroMemory(narrow_value, strlen(narrow_value));
    }
}

/* The system's copy cannot be reached by address, but a value of the same length is written over the old one
 * (seen under Wine; not documented by Microsoft). Removing the variable then moves the rest together. */
int sr_os_environment_wipe(const char *name, sr_error *error)
{
    wchar_t wide[NAME_MAX_LENGTH];
    scratch value;
    if (widen_name(name, wide, error) != 0) {
        return -1;
    }
    wipe_runtime_copies(name, wide);
    if (fetch(name, &value, error) == 0) {
        for (DWORD i = 0; i < value.length; i++) {
            value.text[i] = L'0';
        }
        BOOL is_overwritten = SetEnvironmentVariableW(wide, value.text);
        drop(&value);
        if (!is_overwritten) {
            return failed(error, "SetEnvironmentVariable");
        }
    } else if (error->code != SR_UNSUPPORTED) {
        return -1;
    }
    (void)_wputenv_s(wide, L""); /* the runtime's tables; most runtimes remove the system's copy too */
    if (!SetEnvironmentVariableW(wide, NULL) && GetLastError() != ERROR_ENVVAR_NOT_FOUND) {
        return failed(error, "SetEnvironmentVariable");
    }
    return 0;
}
