/* Named checks, on every system: one line for each, and a sum that is the exit status. */
#ifndef SR_NAMED_CHECKS_H
#define SR_NAMED_CHECKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

static int checks_made, checks_failed;

#define CHECK(behaviour, condition) check_that((behaviour), (condition) != 0, #condition, __LINE__)

UNUSED static int check_that(const char *behaviour, int holds, const char *condition, int line)
{
    checks_made++;
    checks_failed += !holds;
    if (holds) {
        printf("ok    %s\n", behaviour);
    } else {
        printf("FAIL  %s\n      line %d: %s\n", behaviour, line, condition);
    }
    fflush(stdout);
    return holds;
}

UNUSED static void skip(const char *behaviour, const char *reason)
{
    printf("skip  %s: %s\n", behaviour, reason);
    fflush(stdout);
}

UNUSED static int check_result(void)
{
    printf("%d checks, %d failed\n", checks_made, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}

UNUSED static int is_all(const void *bytes, size_t size, unsigned char value)
{
    for (size_t i = 0; i < size; i++) {
        if (((const volatile unsigned char *)bytes)[i] != value) {
            return 0;
        }
    }
    return 1;
}

#endif
