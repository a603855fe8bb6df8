/* Text that stands for bytes, decoded into memory that the caller has protected.
 *
 * What is decoded is secret: no table is read at a place that depends on it, no branch depends on it but whether it is
 * text of that kind at all, and nothing is written but the result. Blanks between characters (space, tab, newline,
 * carriage return, form feed, vertical tab) count for nothing.
 */
#ifndef SR_DECODING_H
#define SR_DECODING_H

#include <stddef.h>

typedef enum sr_decoded {
    SR_DECODED = 0,
    SR_NOT_A_DIGIT, /* *position is where */
    SR_CUT_SHORT,   /* half a byte, or bits that stand for none, at the end */
    SR_NO_ROOM      /* for what comes from *position on */
} sr_decoded;

/* Two hexadecimal digits a byte, small or capital. *written bytes are in `out`, whatever comes back. */
sr_decoded sr_decode_hex(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                         size_t *position);

/* Base64 as in RFC 4648, section 4 or 5 (for URLs), with or without the padding at the end. Bits that stand for nothing
 * must be zero, so that no two texts are the same bytes. */
sr_decoded sr_decode_base64(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                            size_t *position);

#endif
