/* Hex and base64, beside a second opinion that looks digits up in a table: every character, every length, every end. */
#include "named_checks.h"
#include "decoding.h"

#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef", base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Exactly as large as it says, so that a sanitizer sees one byte too many. */
static sr_decoded decoded(int is_hex, const char *text, size_t size, size_t room, unsigned char **out, size_t *written)
{
    size_t position = 0;
    char *copy = malloc(size + (size == 0));
    *out = malloc(room + (room == 0));
    memcpy(copy, text, size);
    sr_decoded outcome = (is_hex ? sr_decode_hex : sr_decode_base64)((unsigned char *)copy, size, *out, room, written,
                                                                      &position);
    free(copy);
    return outcome;
}

static int lookup(const char *digits, int c)
{
    const char *found = c == 0 ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

static int value_of(int is_hex, int c)
{
    if (is_hex) {
        return lookup(hex_digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    }
    return lookup(base64_digits, c == '-' ? '+' : c == '_' ? '/' : c);
}

static int is_blank(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void test_every_pair(void)
{
    int agree = 1;
    for (int is_hex = 0; is_hex <= 1; is_hex++) {
        for (int a = 0; a < 256; a++) {
            for (int b = 0; b < 256; b++) {
                char text[4] = {(char)a, (char)b, is_hex ? 'f' : 'A', is_hex ? 'f' : 'A'};
                int x = value_of(is_hex, a), y = value_of(is_hex, b);
                unsigned char *out;
                size_t written;
                if (is_blank(a) || is_blank(b)) {
                    continue;
                }
                sr_decoded outcome = decoded(is_hex, text, 4, 3, &out, &written);
                if (x < 0 || y < 0) {
                    agree &= outcome == SR_NOT_A_DIGIT && written == 0;
                } else if (is_hex) {
                    agree &= outcome == SR_DECODED && written == 2 && out[0] == x * 16 + y && out[1] == 0xFF;
                } else {
                    agree &= outcome == SR_DECODED && written == 3 && out[0] == (x << 2 | y >> 4)
                             && out[1] == (unsigned char)(y << 4) && out[2] == 0;
                }
                free(out);
            }
        }
    }
    CHECK("every pair of characters means what a table says", agree);
}

static void test_room(void)
{
    unsigned char *out;
    size_t written;
    for (size_t room = 0; room < 4; room++) {
        int is_short = decoded(1, "41424344", 8, room, &out, &written) == SR_NO_ROOM && written == room;
        CHECK("hex stops where the room ends", is_short && memcmp(out, "ABCD", room) == 0);
        free(out);
    }
    for (size_t room = 0; room < 3; room++) {
        int is_short = decoded(0, "QUJD", 4, room, &out, &written) == SR_NO_ROOM && written == room;
        CHECK("base64 stops where the room ends", is_short && memcmp(out, "ABC", room) == 0);
        free(out);
    }
}

static void test_ends(void)
{
    static const struct {
        const char *text;
        sr_decoded outcome;
        size_t written;
    } ends[] = {
        {"", SR_DECODED, 0},        {"QUJD", SR_DECODED, 3},    {"QUI=", SR_DECODED, 2},  {"QUI", SR_DECODED, 2},
        {"QQ==", SR_DECODED, 1},    {"QQ", SR_DECODED, 1},      {"QQ=\n=\n", SR_DECODED, 1}, {"QQ=", SR_CUT_SHORT, 1},
        {"Q", SR_CUT_SHORT, 0},     {"QR==", SR_CUT_SHORT, 1},  {"QUJ=", SR_CUT_SHORT, 2}, {"QUI==", SR_CUT_SHORT, 2},
        {"QUJD=", SR_CUT_SHORT, 3}, {"==", SR_CUT_SHORT, 0},    {"QQ==QQ==", SR_NOT_A_DIGIT, 1},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        unsigned char *out;
        size_t written;
        sr_decoded outcome = decoded(0, ends[i].text, strlen(ends[i].text), 8, &out, &written);
        printf("      \"%s\"\n", ends[i].text);
        CHECK("ends as it should", outcome == ends[i].outcome && written == ends[i].written);
        free(out);
    }
}

int main(void)
{
    test_every_pair();
    test_room();
    test_ends();
    return check_result();
}
