/* Reading /proc/PID/maps and smaps: see listing.h.
 *
 * Speed is part of the promise (a listing of 300 mappings is 240 KB of smaps), and comes from two things: nothing looks
 * at a byte twice, and the name of a line is compared with one candidate, the name that the row before had there. Each
 * step is bounded by the text's end, so that a cut text runs out of bytes and not out of the buffer.
 */
#include "listing.h"

#include <string.h>

enum { UNKNOWN = -1, NO_GUESS = -2 };
static const uint64_t LARGEST_KB = UINT64_MAX / 1024;

static const struct { const char *name; size_t size; } names[] = {
    {"Rss:", 4}, {"Pss:", 4}, {"Shared_Clean:", 13}, {"Shared_Dirty:", 13},
    {"Swap:", 5}, {"Shared_Hugetlb:", 15}, {"Private_Hugetlb:", 16}, {"VmFlags:", 8}};
static const char flag_words[][3] = {"lo", "dd", "dc", "wf", "dp"};

_Static_assert(sizeof names / sizeof *names == SR_TOLD_COUNT + 1, "a name for each line");

/* The bytes that are left. Every reader below moves `at` behind what it read, or returns 0. */
typedef struct rest {
    const char *at, *end;
} rest;

static int skip(rest *left, char expected)
{
    if (left->at == left->end || *left->at != expected) {
        return 0;
    }
    left->at++;
    return 1;
}

static void skip_blanks(rest *left)
{
    while (left->at != left->end && *left->at == ' ') {
        left->at++;
    }
}

/* The value of a hexadecimal digit as the kernel writes it, else 16. */
static unsigned digit_of(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return (unsigned)(byte - '0');
    }
    return byte >= 'a' && byte <= 'f' ? (unsigned)(byte - 'a') + 10 : 16;
}

static int read_number(rest *left, unsigned base, uint64_t largest, uint64_t *number)
{
    const char *begin = left->at;
    uint64_t found = 0;
    for (; left->at != left->end; left->at++) {
        unsigned digit = digit_of(*left->at);
        if (digit >= base) {
            break;
        }
        if (found > (largest - digit) / base) {
            return 0;
        }
        found = found * base + digit;
    }
    *number = found;
    return left->at != begin;
}

static int read_letters(rest *left, char *letters)
{
    static const char set[] = "rwxs", clear[] = "---p";
    for (int i = 0; i < 4; i++) {
        if (left->at == left->end || (*left->at != set[i] && *left->at != clear[i])) {
            return 0;
        }
        letters[i] = *left->at++;
    }
    return 1;
}

/* Move behind the line's end; `*size` is how many bytes lay before it. A last line without one is cut. */
static int read_to_end_of_line(rest *left, size_t *size)
{
    const char *newline = memchr(left->at, '\n', (size_t)(left->end - left->at));
    if (newline == NULL) {
        return 0;
    }
    *size = (size_t)(newline - left->at);
    left->at = newline + 1;
    return 1;
}

/* Where a mapping grew downward, or was joined to the one before, while the kernel was between the two, it tells of some
 * addresses twice. What was told first is kept, of the second what is left. */
static int follows(sr_listing *listing, sr_mapping *row)
{
    if (row->start < listing->end) {
        if (row->end <= listing->end) {
            return 0;
        }
        listing->is_torn = row->is_cut = 1;
        row->offset += row->inode != 0 ? listing->end - row->start : 0;
        row->start = listing->end;
    }
    return 1;
}

static int read_first_line(sr_listing *listing, rest *left, sr_mapping *row)
{
    uint64_t major, minor;
    if (!read_number(left, 16, UINT64_MAX, &row->start) || !skip(left, '-')
        || !read_number(left, 16, UINT64_MAX, &row->end) || !skip(left, ' ') || !read_letters(left, row->letters)
        || !skip(left, ' ') || !read_number(left, 16, UINT64_MAX, &row->offset) || !skip(left, ' ')
        || !read_number(left, 16, UINT32_MAX, &major) || !skip(left, ':')
        || !read_number(left, 16, UINT32_MAX, &minor) || !skip(left, ' ')
        || !read_number(left, 10, UINT64_MAX, &row->inode)) {
        return 0;
    }
    if (left->at == left->end || (*left->at != ' ' && *left->at != '\n')) {
        return 0; /* an inode of other letters */
    }
    skip_blanks(left);
    row->path = (size_t)(left->at - listing->text);
    row->major = (uint32_t)major;
    row->minor = (uint32_t)minor;
    return read_to_end_of_line(left, &row->path_size) && row->start < row->end && follows(listing, row);
}

/* Words of two letters between blanks; the kernel writes "??" for a flag that it has no word for itself. */
static int read_flags(const sr_listing *listing, rest *left, sr_mapping *row)
{
    skip_blanks(left);
    const char *word = left->at;
    row->flags_at = (size_t)(word - listing->text);
    if (!read_to_end_of_line(left, &row->flags_size)) {
        return 0;
    }
    if (row->flags_size != 0 && word[row->flags_size - 1] == ' ') {
        row->flags_size--; /* the kernel ends each word with one */
    }
    const char *end = word + row->flags_size;
    for (; word != end; word++) {
        const char *begin = word;
        while (word != end && *word != ' ') {
            word++;
        }
        if (word - begin != 2) {
            return 0;
        }
        for (size_t i = 0; i < sizeof flag_words / sizeof *flag_words; i++) {
            row->flags |= (uint32_t)(memcmp(begin, flag_words[i], 2) == 0) << i;
        }
        if (word == end) {
            break;
        }
    }
    return 1;
}

static int has_name(const rest *left, int name)
{
    size_t size = names[name].size;
    return (size_t)(left->end - left->at) > size && left->at[size - 1] == ':'
        && memcmp(left->at, names[name].name, size) == 0;
}

/* A line that nobody asks for: a capital letter, a word, a colon, anything. */
static int skip_line(rest *left)
{
    size_t size;
    const char *begin = left->at;
    return *begin >= 'A' && *begin <= 'Z' && read_to_end_of_line(left, &size) && memchr(begin, ':', size) != NULL;
}

static int name_of(const rest *left)
{
    char first = *left->at; /* most lines are known by it to be none of these */
    if (first != 'R' && first != 'P' && first != 'S' && first != 'V') {
        return UNKNOWN;
    }
    for (int name = 0; name <= SR_TOLD_COUNT; name++) {
        if (has_name(left, name)) {
            return name;
        }
    }
    return UNKNOWN;
}

/* One of the lines behind a row's first, the `index`th of them. */
static int read_line(sr_listing *listing, rest *left, size_t index, sr_mapping *row)
{
    signed char *guess = index < SR_LISTING_LINES ? &listing->guesses[index] : NULL;
    int name = guess == NULL ? NO_GUESS : *guess;
    if (name < 0 || !has_name(left, name)) {
        name = name_of(left);
        if (guess != NULL) {
            *guess = (signed char)name;
        }
    }
    if (name == UNKNOWN) {
        return skip_line(left);
    }
    if (row->told & 1u << name) {
        return 0;
    }
    row->told |= 1u << name;
    left->at += names[name].size;
    if (name == SR_TOLD_FLAGS) {
        return read_flags(listing, left, row);
    }
    uint64_t kilobytes;
    skip_blanks(left);
    if (!read_number(left, 10, LARGEST_KB, &kilobytes) || !skip(left, ' ') || !skip(left, 'k') || !skip(left, 'B')) {
        return 0;
    }
    row->sizes[name] = kilobytes * 1024;
    return skip(left, '\n');
}

void sr_listing_begin(sr_listing *listing, const char *text, size_t size, int is_detailed)
{
    memset(listing, 0, sizeof *listing);
    listing->text = text;
    listing->size = size;
    listing->is_detailed = is_detailed;
    memset(listing->guesses, NO_GUESS, sizeof listing->guesses);
}

int sr_listing_next(sr_listing *listing, sr_mapping *row)
{
    rest left = {listing->text + listing->at, listing->text + listing->size};
    if (left.at == left.end) {
        return 0;
    }
    memset(row, 0, sizeof *row);
    listing->line++;
    if (!read_first_line(listing, &left, row)) {
        return -1;
    }
    for (size_t index = 0; listing->is_detailed && left.at != left.end && digit_of(*left.at) == 16; index++) {
        listing->line++;
        if (!read_line(listing, &left, index, row)) {
            return -1;
        }
    }
    if (!listing->has_begun) {
        listing->has_begun = 1;
        listing->expected = row->told;
    }
    if (row->told != listing->expected || (listing->is_detailed && !(row->told & 1u << SR_TOLD_RESIDENT))) {
        return -1;
    }
    if (row->is_cut) {
        row->told &= 1u << SR_TOLD_FLAGS;
        memset(row->sizes, 0, sizeof row->sizes);
    }
    listing->end = row->end;
    listing->at = (size_t)(left.at - listing->text);
    return 1;
}
