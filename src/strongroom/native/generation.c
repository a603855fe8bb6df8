#include "generation.h"

static volatile uint64_t before_begin; /* stays 0: until sr_generation_begin nothing was made that could be lost */
volatile uint64_t *sr_generation_word = &before_begin;

static uint64_t latest; /* inherited by children, unlike the word */
static volatile uint64_t forks; /* likewise; written while every native mutex is held, or in a child of one thread */
static void (*run_in_child)(void);

uint64_t sr_generation_renew(void)
{
    if (sr_generation_word != &before_begin && *sr_generation_word == 0) {
        *sr_generation_word = ++latest;
        forks++;
        run_in_child();
    }
    return *sr_generation_word;
}

uint64_t sr_forks(void)
{
    (void)sr_generation(); /* in a child that no handler saw this fork is counted now */
    return forks;
}

static void after_fork_in_parent(void)
{
    forks++;
}

/* The word is still the parent's where the page could not be marked; where it could, it is already 0. */
static void after_fork_in_child(void)
{
    if (sr_generation_word != &before_begin) {
        *sr_generation_word = 0;
        sr_generation_renew();
    }
}

int sr_generation_begin(void (*in_child)(void), sr_error *error)
{
    static int is_handler_set; /* in a child whose parent had come no further than that it is set already */
    if (sr_generation_word != &before_begin) {
        return 0;
    }
    size_t size = sr_os_page_size();
    void *page = NULL;
    sr_error unmarked; /* not fatal: the at-fork handler does the same for every fork() */
    if (sr_os_reserve(size, SR_PLACE_ANYWHERE, &page, error) != 0) {
        return -1;
    }
    run_in_child = in_child;
    if (sr_os_commit(page, size, SR_READ_WRITE, error) != 0
        || (!is_handler_set && sr_os_at_fork(after_fork_in_parent, after_fork_in_child, error) != 0)) {
        sr_os_release(page, size, &unmarked);
        return -1;
    }
    is_handler_set = 1;
    (void)sr_os_advise_wipe_in_child(page, size, &unmarked);
    latest = 1;
    *(volatile uint64_t *)page = latest;
    sr_generation_word = page; /* last: from here on the word tells a child from its parent */
    return 0;
}
