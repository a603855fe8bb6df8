/* The reader of maps and smaps: listings of several kernels, and the same cut and spoilt in every way, beside a naive
 * reader that shares nothing with it. Each text lies in a block of its own size, whose end the sanitizers guard. */
#include "listing.h"
#include "listing_samples.h"

#include "chance.h"
#include "check.h"

enum { SPOILT = HAS_ASAN ? 40000 : 200000, MOST_ROWS = 16 };

/* ---- reading all of a text ---- */

typedef struct result {
    int count; /* rows, or -1 */
    size_t line;
    int is_torn;
    sr_mapping rows[MOST_ROWS];
} result;

static result read_all(const char *text, size_t size, int is_detailed)
{
    static result found; /* zeroed but once: large */
    sr_listing listing;
    int answer;
    found.count = 0;
    sr_listing_begin(&listing, text, size, is_detailed);
    while ((answer = sr_listing_next(&listing, &found.rows[found.count])) == 1 && found.count < MOST_ROWS - 1) {
        found.count++;
    }
    if (answer != 0) {
        found.count = -1;
    }
    found.line = listing.line;
    found.is_torn = listing.is_torn;
    return found;
}

static char *copied(const char *text, size_t size)
{
    char *block = malloc(size + (size == 0));
    memcpy(block, text, size);
    return block;
}

/* ---- the naive reader: what a row means, as scanf and strstr see it ---- */

static int is_first_line(const char *line)
{
    return (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');
}

/* -1 if no line tells it. */
static int64_t naive_size(const char *line, const char *row_end, const char *name)
{
    for (; line < row_end; line = strchr(line, '\n') + 1) {
        long long size;
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), "%lld kB", &size) == 1) {
            return size * 1024;
        }
    }
    return -1;
}

/* Whether a row that was read is what the text says; `line` begins it, `row_end` the next one. What the row before has,
 * which ends at `before`, is not in it. */
static int is_said(const char *line, const char *row_end, const char *text, const sr_mapping *row, uint64_t before)
{
    static const char *const sizes[] = {"Rss:", "Pss:", "Shared_Clean:", "Shared_Dirty:", "Swap:",
                                        "Shared_Hugetlb:", "Private_Hugetlb:"};
    unsigned long long start, end, offset, inode;
    unsigned major, minor;
    char letters[5];
    if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu", &start, &end, letters, &offset, &major, &minor, &inode) != 7) {
        return 0;
    }
    int is_cut = start < before; /* what is resident of the rest, nobody told */
    if (is_cut) {
        offset += inode != 0 ? before - start : 0;
        start = before;
    }
    int is_same = start == row->start && end == row->end && memcmp(letters, row->letters, 4) == 0
               && offset == row->offset && major == row->major && minor == row->minor && inode == row->inode
               && text[row->path + row->path_size] == '\n' && memchr(text + row->path, '\n', row->path_size) == NULL;
    for (int i = 0; i < SR_TOLD_COUNT; i++) {
        int64_t size = is_cut ? -1 : naive_size(strchr(line, '\n') + 1, row_end, sizes[i]);
        is_same &= row->told & 1u << i ? (int64_t)row->sizes[i] == size : size == -1;
    }
    return is_same;
}

/* Whether all that was read of a text is what it says, row for row. A text without a final newline is said by nobody. */
static int is_all_said(const char *spoilt, size_t size, const result *found)
{
    char *text = calloc(size + 1, 1); /* scanf wants an end */
    memcpy(text, spoilt, size);
    const char *line = text;
    int rows = 0, is_same = memchr(text, 0, size) != NULL || size == 0 || text[size - 1] == '\n';
    while (is_same && memchr(text, 0, size) == NULL && *line != 0) {
        const char *next = strchr(line, '\n') + 1;
        while (*next != 0 && !is_first_line(next)) {
            next = strchr(next, '\n') + 1;
        }
        is_same = rows < found->count && is_said(line, next, text, &found->rows[rows], rows == 0 ? 0 : found->rows[rows - 1].end);
        rows++;
        line = next;
    }
    is_same &= memchr(text, 0, size) != NULL || rows == found->count;
    free(text);
    return is_same;
}

/* ---- tests ---- */

static int has_path(const char *text, const sr_mapping *row, const char *path)
{
    return row->path_size == strlen(path) && memcmp(text + row->path, path, row->path_size) == 0;
}

static void test_maps(void)
{
    result found = read_all(maps_text, sizeof maps_text - 1, 0);
    const sr_mapping *row = found.rows;
    CHECK("every row of maps is found", found.count == 7 && found.line == 7);
    CHECK("addresses, letters, offset", row[1].start == 0x55894a983000 && row[1].end == 0x55894a989000
                                            && memcmp(row[1].letters, "r-xp", 4) == 0 && row[1].offset == 0x2000);
    CHECK("device and inode", row[1].major == 0xfe && row[1].minor == 0 && row[1].inode == 260386
                                  && row[5].major == 0x103 && row[5].minor == 2 && row[5].inode == UINT64_MAX);
    CHECK("a deleted file's path says so", has_path(maps_text, &row[1], "/usr/bin/head (deleted)"));
    CHECK("no path", has_path(maps_text, &row[4], ""));
    CHECK("a path of blanks, digits and a line of smaps is a path",
          has_path(maps_text, &row[5], "/a b\\012c \tEnd: 1 kB"));
    CHECK("the last page of all", row[6].end == 0xffffffffff601000);
    CHECK("maps tell no sizes", row[0].told == 0);
    CHECK("an empty listing has no rows: a kernel thread's", read_all("", 0, 0).count == 0 && read_all("", 0, 1).count == 0);
}

static void test_smaps(void)
{
    static const uint32_t all = (1u << SR_TOLD_COUNT) - 1, huge = 1u << SR_TOLD_SHARED_HUGE | 1u << SR_TOLD_PRIVATE_HUGE;
    result new = read_all(smaps_6_18, sizeof smaps_6_18 - 1, 1);
    CHECK("6.18: three rows of 24 lines", new.count == 3 && new.line == 3 * 25);
    CHECK("6.18: everything is told", new.rows[0].told == (all | 1u << SR_TOLD_FLAGS));
    CHECK("sizes are bytes", new.rows[0].sizes[SR_TOLD_RESIDENT] == 12 << 10
                                 && new.rows[0].sizes[SR_TOLD_PROPORTIONAL] == 7 << 10
                                 && new.rows[0].sizes[SR_TOLD_SHARED_CLEAN] == 8 << 10
                                 && new.rows[2].sizes[SR_TOLD_SHARED_DIRTY] == 4 << 10
                                 && new.rows[0].sizes[SR_TOLD_SWAPPED] == 20 << 10
                                 && new.rows[0].sizes[SR_TOLD_PRIVATE_HUGE] == 2048 << 10);
    CHECK("flags, one that has no name among them",
          new.rows[0].flags == 0
              && new.rows[1].flags == (SR_FLAG_LOCKED | SR_FLAG_UNDUMPABLE | SR_FLAG_ABSENT_IN_CHILD
                                       | SR_FLAG_ZEROS_IN_CHILD | SR_FLAG_DROPPABLE));
    result old = read_all(smaps_6_1, sizeof smaps_6_1 - 1, 1), ancient = read_all(smaps_3_7, sizeof smaps_3_7 - 1, 1);
    CHECK("6.1: the same from other lines", old.count == 3 && old.rows[0].told == new.rows[0].told
                                                && memcmp(old.rows[0].sizes, new.rows[0].sizes, sizeof old.rows[0].sizes) == 0
                                                && old.rows[1].flags == new.rows[1].flags);
    CHECK("3.7: no flags are told, and no huge pages", ancient.count == 3 && ancient.rows[1].told == (all & ~huge));
    CHECK("smaps are no maps, and maps no smaps", read_all(smaps_6_18, sizeof smaps_6_18 - 1, 0).count == -1
                                                      && read_all(maps_text, sizeof maps_text - 1, 1).count == -1);
}

static int count_of(const char *text, int is_detailed)
{
    char *block = copied(text, strlen(text));
    int count = read_all(block, strlen(text), is_detailed).count;
    free(block);
    return count;
}

#define ROW "1000-2000 r--p 00000000 00:00 0 /x\n"

static void test_what_is_none(void)
{
    static const char *const wrong[] = {
        "\n", "x", "1000-2000 r--p 00000000 00:00 0 /x", "2000-1000 r--p 0 0:0 0\n", "1000-1000 r--p 0 0:0 0\n",
        ROW "800-2000 r--p 0 0:0 0\n", ROW ROW, "11112222333344445-2 r--p 0 0:0 0\n", "1000-2000 R--p 0 0:0 0\n",
        "1000-2000 r--q 0 0:0 0\n", "1000-2000 r--p  0 0:0 0\n", "1000-2000 r--p 0 100000000:0 0\n",
        "1000-2000 r--p 0 0:0 18446744073709551616\n", "1000-2000 r--p 0 0:0 0f\n", "1000-2000 r--p 0 0:0 \n",
        "-2000 r--p 0 0:0 0\n", ROW "\n", ROW "Rss: 1 kB\n"};
    size_t refused = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused += count_of(wrong[i], 0) == -1;
    }
    CHECK("what is no line of maps is refused", refused == sizeof wrong / sizeof *wrong);
    static const char overlapping[] = ROW "1800-3000 r--p 00000800 8:1 7 /y\n" "3000-4000 r--p 0 0:0 0\n";
    result cut = read_all(overlapping, sizeof overlapping - 1, 0);
    CHECK("of rows that overlap the second is what the first has not", cut.count == 3 && cut.rows[1].start == 0x2000
                                                                           && cut.rows[1].end == 0x3000
                                                                           && cut.rows[1].offset == 0x1000);
    CHECK("and it is said that they did", cut.is_torn && !read_all(ROW, sizeof ROW - 1, 0).is_torn);
    static const char detailed[] = ROW "Rss: 4 kB\nVmFlags: rd lo \n" "1800-3000 r--p 0 0:0 0\nRss: 8 kB\nVmFlags: rd lo \n";
    cut = read_all(detailed, sizeof detailed - 1, 1);
    CHECK("its sizes were of all of it, its flags are of each page", cut.count == 2 && cut.rows[0].sizes[0] == 4096
              && cut.rows[1].told == 1u << SR_TOLD_FLAGS && cut.rows[1].sizes[0] == 0 && cut.rows[1].flags == SR_FLAG_LOCKED);
    CHECK("control: that row is one", count_of(ROW, 0) == 1 && count_of("", 0) == 0);
}

static void test_what_is_no_smaps(void)
{
    static const char *const wrong[] = {
        ROW, ROW "Rss: 1 kB", ROW "Rss: 1\n", ROW "Rss:\n", ROW "Rss: x kB\n", ROW "Rss: 1 MB\n", ROW "Rss: 1 kBs\n",
        ROW "Rss: 18014398509481984 kB\n", ROW "Rss: 99999999999999999999999 kB\n", ROW "Rss: 1 kB\nRss: 1 kB\n",
        ROW "Rss: 1 kB\nSwap 2\n", ROW "Rss: 1 kB\nswap: 2 kB\n", ROW "Rss: 1 kB\nVmFlags: rd w\n",
        ROW "Rss: 1 kB\nVmFlags: rd  wr\n", ROW "Rss: 1 kB\nVmFlags: rdw\n", ROW "Swap: 0 kB\n",
        ROW "Rss: 1 kB\nSwap: 0 kB\n2000-3000 r--p 0 0:0 0\nRss: 1 kB\n"};
    size_t refused = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused += count_of(wrong[i], 1) == -1;
    }
    CHECK("what is no row of smaps is refused", refused == sizeof wrong / sizeof *wrong);
    CHECK("control: these are", count_of(ROW "Rss: 18014398509481983 kB\n", 1) == 1
                                    && count_of(ROW "Rss: 1 kB\nNew_In_7.0: any thing\nVmFlags: \n", 1) == 1);
}

/* Whether a cut row tells nothing that the whole one does not; only the first may tell less, having none beside it. */
static int is_part_of(const sr_mapping *cut, const sr_mapping *whole, int is_first_and_last)
{
    uint32_t lost = whole->told & ~cut->told;
    sr_mapping rest = *whole;
    for (int i = 0; i < SR_TOLD_COUNT; i++) {
        rest.sizes[i] = lost & 1u << i ? 0 : rest.sizes[i];
    }
    rest.told &= ~lost;
    if (lost & 1u << SR_TOLD_FLAGS) {
        rest.flags = 0;
        rest.flags_at = rest.flags_size = 0;
    }
    return memcmp(cut, &rest, sizeof rest) == 0 && (lost == 0 || is_first_and_last);
}

/* Cut after each byte: an error, or whole rows and nothing of the one that was cut. */
static void test_cut(const char *text, size_t size, int is_detailed)
{
    result whole = read_all(text, size, is_detailed);
    size_t wrong = 0, refused = 0;
    for (size_t length = 0; length < size; length++) {
        char *block = copied(text, length);
        result cut = read_all(block, length, is_detailed);
        refused += cut.count == -1;
        for (int i = 0; i < cut.count; i++) {
            wrong += !is_part_of(&cut.rows[i], &whole.rows[i], cut.count == 1);
        }
        wrong += cut.count > 0 && !is_all_said(block, length, &cut);
        free(block);
    }
    CHECK("a cut listing is refused, or all of its rows are whole", wrong == 0);
    CHECK("control: nearly every cut is refused", refused > size - 32);
}

/* The first row alone has none to be compared with: what it lost is not told, which is not the same as 0. */
static void test_cut_in_the_first_row(void)
{
    result cut = read_all(ROW "Rss: 8 kB\n", strlen(ROW "Rss: 8 kB\n"), 1);
    CHECK("what a cut left is told, and that the rest is not", cut.count == 1 && cut.rows[0].told == 1u << SR_TOLD_RESIDENT);
}

static void spoil(char *text, size_t *size, uint64_t *chance)
{
    static const char letters[] = "0123456789abcdef-: \nrwxpskBRVmF";
    for (size_t changes = 1 + below(chance, 3); changes != 0 && *size > 8; changes--) {
        size_t at = below(chance, *size), count = 1 + below(chance, 6), from = below(chance, *size);
        count = at + count > *size ? *size - at : count;
        switch (below(chance, 5)) {
        case 0: text[at] = letters[below(chance, sizeof letters - 1)]; break;
        case 1: text[at] = (char)draw(chance); break;
        case 2:
            memmove(text + at, text + at + count, *size - at - count);
            *size -= count;
            break;
        case 3: memmove(text + at, text + from, from + count > *size ? *size - from : count); break;
        default: *size = at + 1; break;
        }
    }
}

static void test_spoilt(const char *text, size_t size, int is_detailed)
{
    uint64_t chance = 0x9E3779B97F4A7C15;
    size_t wrong = 0, refused = 0;
    for (int i = 0; i < SPOILT; i++) {
        size_t left = size;
        char *scratch = copied(text, size);
        spoil(scratch, &left, &chance);
        char *block = copied(scratch, left);
        result found = read_all(block, left, is_detailed);
        refused += found.count == -1;
        wrong += found.count != -1 && !is_all_said(block, left, &found);
        free(block);
        free(scratch);
    }
    CHECK("what is made of a spoilt listing is what it says, or an error", wrong == 0);
    CHECK("control: many were refused, and not all", refused > SPOILT / 4 && refused < SPOILT - SPOILT / 100);
}

static void test_control(void)
{
    result found = read_all(smaps_6_18, sizeof smaps_6_18 - 1, 1);
    CHECK("control: the naive reader agrees", is_all_said(smaps_6_18, sizeof smaps_6_18 - 1, &found));
    found.rows[2].sizes[SR_TOLD_SWAPPED] += 1024;
    CHECK("control: and notices a wrong size", !is_all_said(smaps_6_18, sizeof smaps_6_18 - 1, &found));
    found.rows[2].sizes[SR_TOLD_SWAPPED] -= 1024;
    found.count--;
    CHECK("control: and a row that is missing", !is_all_said(smaps_6_18, sizeof smaps_6_18 - 1, &found));
}

int main(void)
{
    test_control();
    test_maps();
    test_smaps();
    test_what_is_none();
    test_what_is_no_smaps();
    test_cut(maps_text, sizeof maps_text - 1, 0);
    test_cut(smaps_6_18, sizeof smaps_6_18 - 1, 1);
    test_cut(smaps_3_7, sizeof smaps_3_7 - 1, 1);
    test_cut_in_the_first_row();
    test_spoilt(maps_text, sizeof maps_text - 1, 0);
    test_spoilt(smaps_6_18, sizeof smaps_6_18 - 1, 1);
    return check_result();
}
