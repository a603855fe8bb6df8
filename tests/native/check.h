/* What the native test programs for Linux are made of: named checks, children that may die, and what the kernel
 * itself says about this process's memory (proc(5)). A program ends with `return check_result();`. */
#ifndef SR_CHECK_H
#define SR_CHECK_H

#include "named_checks.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* AddressSanitizer's run-time replaces mlock and munlock by functions that do nothing and return 0, and moves
 * local variables off the stack: what looks at either is checked in the plain build only. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

/* ---- children ---- */

/* A child that is not over by then is stuck, and dies of SIGALRM. Long: on a machine that others keep busy a sanitizer's
 * child may take many seconds. */
enum { DEADLOCK_SECONDS = 120 };

/* What waitpid says of a child that ran `body`; one whose checks all hold exits with 0. No core is left,
 * and a fault is the kernel's, not a sanitizer's report. */
UNUSED static int status_of_child(void (*body)(void *), void *argument)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        alarm(DEADLOCK_SECONDS);
        body(argument);
        fflush(stdout);
        _exit(checks_failed == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

/* Run checks of its own in a child; they count as one here. */
UNUSED static void check_in_child(const char *behaviour, void (*body)(void *), void *argument)
{
    int status = status_of_child(body, argument);
    CHECK(behaviour, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

UNUSED static void read_one(void *address)
{
    (void)*(volatile unsigned char *)address;
}

UNUSED static void write_one(void *address)
{
    *(volatile unsigned char *)address = 1;
}

UNUSED static int faults(void (*touch)(void *), void *address)
{
    int status = status_of_child(touch, address);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* ---- what the kernel says ---- */

/* Characters of a path that are looked at: temporary directories have names of a hundred and more, and what stands behind
 * them counts. Linux' own bound (PATH_MAX) is four times that. */
enum { MOST_PATH = 1024 };

typedef struct mapping {
    unsigned long begin, end;
    char permissions[5];
    char path[MOST_PATH];
    long resident_kb;
    char flags[256]; /* " rd wr mr … ": each one between blanks */
} mapping;

/* The mapping that holds `address`, from /proc/self/smaps; 0 if nothing is mapped there. */
UNUSED static int find_mapping(const void *address, mapping *found)
{
    unsigned long wanted = (unsigned long)address;
    char line[MOST_PATH + 128];
    int is_inside = 0;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    while (smaps != NULL && fgets(line, sizeof line, smaps) != NULL) {
        unsigned long begin, end;
        char permissions[5];
        int path_at = 0;
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &begin, &end, permissions, &path_at) == 3) {
            if (is_inside) {
                break;
            }
            is_inside = begin <= wanted && wanted < end;
            if (is_inside) {
                memset(found, 0, sizeof *found);
                found->begin = begin;
                found->end = end;
                memcpy(found->permissions, permissions, sizeof permissions);
                line[strcspn(line, "\n")] = 0;
                snprintf(found->path, sizeof found->path, "%.*s", MOST_PATH - 1, line + path_at);
            }
        } else if (is_inside) {
            sscanf(line, "Rss: %ld", &found->resident_kb);
            if (strncmp(line, "VmFlags:", 8) == 0) {
                line[strcspn(line, "\n")] = ' ';
                snprintf(found->flags, sizeof found->flags, "%.200s", line + 8);
            }
        }
    }
    if (smaps != NULL) {
        fclose(smaps);
    }
    return is_inside;
}

UNUSED static int has_flag(const void *address, const char *flag)
{
    mapping found;
    char wanted[8];
    snprintf(wanted, sizeof wanted, " %s ", flag);
    return find_mapping(address, &found) && strstr(found.flags, wanted) != NULL;
}

UNUSED static int has_permissions(const void *address, const char *permissions)
{
    mapping found;
    return find_mapping(address, &found) && strcmp(found.permissions, permissions) == 0;
}

UNUSED static long resident_kb(const void *address)
{
    mapping found;
    return find_mapping(address, &found) ? found.resident_kb : -1;
}

UNUSED static int is_mapped(const void *address)
{
    mapping found;
    return find_mapping(address, &found);
}

/* A number from /proc/self/status, such as "VmLck" in KiB. */
UNUSED static long status_number(const char *name)
{
    char line[256];
    long number = -1;
    size_t length = strlen(name);
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            number = atol(line + length + 1);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return number;
}

UNUSED static int count_open_files(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

#endif
