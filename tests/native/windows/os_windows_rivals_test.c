/* Pages of private files on Windows beside others that take memory at the same moment, and when their process is killed. */
#include "named_checks.h"

#include "private_files.h"

enum { RIVALS_PAGES = 40 };

/* ---- others at the same time ---- */

static volatile LONG is_over;

/* Takes address space as the system likes, and gives it back: what is free at one moment is not at the next. */
static DWORD WINAPI rival(void *unused)
{
    (void)unused;
    while (!is_over) {
        void *taken[8];
        for (int i = 0; i < 8; i++) {
            taken[i] = VirtualAlloc(NULL, GRANULE, MEM_RESERVE, PAGE_NOACCESS);
        }
        for (int i = 0; i < 8; i++) {
            VirtualFree(taken[i], 0, MEM_RELEASE);
        }
    }
    return 0;
}

static void test_rivals(void)
{
    int made_count = 0, layouts = 0;
    HANDLE threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = CreateThread(NULL, 0, rival, NULL, 0, NULL);
    }
    for (int i = 0; i < RIVALS_PAGES; i++) {
        sr_private_pages made;
        if (sr_os_private_pages(directory, page, 0, &made, &error) == 0) {
            made_count++;
            layouts += is_laid_out(&made, page);
            sr_os_private_release(made.file, made.reservation, made.reserved_size, &error);
        }
    }
    is_over = 1;
    WaitForMultipleObjects(2, threads, TRUE, 60000);
    CHECK("other threads that take memory are in nobody's way", made_count == RIVALS_PAGES && layouts == RIVALS_PAGES);
    CHECK("and no file is left", files() == 0);
    CloseHandle(threads[0]);
    CloseHandle(threads[1]);
}

/* ---- the end ---- */

static int be_a_child(const char *where)
{
    sr_private_pages made;
    if (sr_os_private_pages(where, page, 0, &made, &error) == 0) {
        made.pages[0] = 'x';
        sr_os_private_flush(made.file, made.pages, page, &error);
        Sleep(60000);
    }
    return 1;
}

static void test_killed(void)
{
    PROCESS_INFORMATION child;
    STARTUPINFOA start;
    char program[MAX_PATH], command[4 * MAX_PATH];
    int waits = 0, before = files();
    memset(&start, 0, sizeof start);
    start.cb = sizeof start;
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(command, sizeof command, "\"%s\" \"%s\"", program, directory);
    CHECK("a child starts", CreateProcessA(program, command, NULL, NULL, FALSE, 0, NULL, NULL, &start, &child));
    while (files() == before && waits++ < 600) {
        Sleep(50);
    }
    CHECK("and makes its file", files() == before + 1);
    TerminateProcess(child.hProcess, 9);
    WaitForSingleObject(child.hProcess, 60000);
    for (waits = 0; files() != before && waits < 200; waits++) {
        Sleep(50);
    }
    CHECK("which is gone when it was killed", files() == before);
    CloseHandle(child.hProcess);
    CloseHandle(child.hThread);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        page = sr_os_page_size();
        return be_a_child(arguments[1]);
    }
    begins();
    test_rivals();
    test_killed();
    ends();
    return check_result();
}
