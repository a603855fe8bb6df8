#include "generation.h"

static volatile uint64_t before_begin; /* reads as 0 until sr_generation_begin: nothing was made yet */
volatile uint64_t *sr_generation_word = &before_begin;

static uint64_t latest; /* inherited by children, unlike the word */
static void (*run_in_child)(void);

uint64_t sr_generation_renew(void)
{
    if (*sr_generation_word == 0) {
        int is_child = latest != 0;
        *sr_generation_word = ++latest;
        if (is_child) {
            run_in_child();
        }
    }
    return *sr_generation_word;
}

/* The word is still the parent's where the page could not be marked; where it could, it is already 0. */
static void after_fork(void)
{
    *sr_generation_word = 0;
    sr_generation_renew();
}

int sr_generation_begin(void (*in_child)(void), sr_error *error)
{
    if (sr_generation_word != &before_begin) {
        return 0;
    }
    size_t size = sr_os_page_size();
    void *page;
    if (sr_os_reserve(size, &page, error) != 0) {
        return -1;
    }
    sr_error unmarked; /* not fatal: the at-fork handler does the same for every fork() */
    if (sr_os_commit(page, size, SR_READ_WRITE, error) != 0 || sr_os_at_fork(after_fork, error) != 0) {
        sr_os_release(page, size, &unmarked);
        return -1;
    }
    (void)sr_os_advise_wipe_in_child(page, size, &unmarked);
    run_in_child = in_child;
    sr_generation_word = page;
    sr_generation_renew();
    return 0;
}
