#include "decoding.h"

#define NO_DIGIT 0xFFu

/* All bits if first <= c <= last, else none. c is a byte: a difference below zero has its highest bit. */
static unsigned if_between(unsigned c, unsigned first, unsigned last)
{
    return (((c - first) | (last - c)) >> 31) - 1u;
}

static int is_blank(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The value of a digit, or NO_DIGIT. */
static unsigned hex_value(unsigned c)
{
    unsigned decimal = if_between(c, '0', '9'), small = if_between(c, 'a', 'f'), capital = if_between(c, 'A', 'F');
    unsigned value = (decimal & (c - '0')) | (small & (c - 'a' + 10)) | (capital & (c - 'A' + 10));
    return value | (~(decimal | small | capital) & NO_DIGIT);
}

static unsigned base64_value(unsigned c)
{
    unsigned capital = if_between(c, 'A', 'Z'), small = if_between(c, 'a', 'z'), decimal = if_between(c, '0', '9');
    unsigned plus = if_between(c, '+', '+') | if_between(c, '-', '-');
    unsigned slash = if_between(c, '/', '/') | if_between(c, '_', '_');
    unsigned value = (capital & (c - 'A')) | (small & (c - 'a' + 26)) | (decimal & (c - '0' + 52)) | (plus & 62)
                     | (slash & 63);
    return value | (~(capital | small | decimal | plus | slash) & NO_DIGIT);
}

/* Digits of `width` bits each become bytes; what is left over at the end is in *left, *bits of it. */
static sr_decoded decode(const unsigned char *text, size_t size, unsigned (*value_of)(unsigned), unsigned width,
                         unsigned char *out, size_t room, size_t *written, size_t *position, unsigned *left,
                         unsigned *bits)
{
    size_t done = 0;
    *left = *bits = 0;
    *written = 0;
    for (size_t i = 0; i < size; i++) {
        *position = i;
        if (is_blank(text[i])) {
            continue;
        }
        unsigned value = value_of(text[i]);
        if (value == NO_DIGIT) {
            return SR_NOT_A_DIGIT;
        }
        *left = (*left << width) | value;
        *bits += width;
        if (*bits >= 8) {
            if (done == room) {
                return SR_NO_ROOM;
            }
            *bits -= 8;
            out[done] = (unsigned char)(*left >> *bits);
            *left &= (1u << *bits) - 1u;
            *written = ++done;
        }
    }
    *position = size;
    return SR_DECODED;
}

sr_decoded sr_decode_hex(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                         size_t *position)
{
    unsigned left, bits;
    sr_decoded outcome = decode(text, size, hex_value, 4, out, room, written, position, &left, &bits);
    return outcome == SR_DECODED && bits != 0 ? SR_CUT_SHORT : outcome;
}

/* Where the padding begins: at the last '=' signs, two at most, and blanks among them. */
static size_t without_padding(const unsigned char *text, size_t size, unsigned *padding)
{
    *padding = 0;
    while (size != 0 && (is_blank(text[size - 1]) || (text[size - 1] == '=' && *padding < 2))) {
        *padding += text[--size] == '=';
    }
    return size;
}

sr_decoded sr_decode_base64(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                            size_t *position)
{
    unsigned left, bits, padding;
    size = without_padding(text, size, &padding);
    sr_decoded outcome = decode(text, size, base64_value, 6, out, room, written, position, &left, &bits);
    if (outcome != SR_DECODED) {
        return outcome;
    }
    /* 2 digits for one byte leave 4 bits, 3 for two leave 2; 1 digit leaves 6 and is none. */
    int is_padded_well = padding == 0 || padding == bits / 2;
    return left == 0 && bits != 6 && is_padded_well ? SR_DECODED : SR_CUT_SHORT;
}
