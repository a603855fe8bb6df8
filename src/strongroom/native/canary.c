#include "canary.h"

#include <assert.h>
#include <string.h>

#define WORDS (SR_CANARY_SIZE / sizeof(uint64_t))

static uint64_t canary[WORDS];

/* What stands at `place`: the process's canary, the first word of it mixed with the address. */
static void word_at(const void *place, uint64_t words[WORDS])
{
    memcpy(words, canary, sizeof canary);
    words[0] ^= (uintptr_t)place;
}

int sr_canary_begin(sr_error *error)
{
    return sr_os_random(canary, sizeof canary, error);
}

void sr_canary_write(void *place, size_t size)
{
    uint64_t words[WORDS];
    unsigned char *to = place;
    assert(size >= sizeof words);
    word_at(place, words);
    for (; size >= sizeof words; to += sizeof words, size -= sizeof words) {
        memcpy(to, words, sizeof words);
    }
    memcpy(to, words, size);
}

void sr_canary_of(const void *place, unsigned char bytes[SR_CANARY_SIZE])
{
    uint64_t words[WORDS];
    word_at(place, words);
    memcpy(bytes, words, sizeof words);
}

int sr_canary_is_intact(const void *place, size_t size)
{
    uint64_t words[WORDS];
    const unsigned char *from = place;
    word_at(place, words);
    for (; size >= sizeof words; from += sizeof words, size -= sizeof words) {
        if (memcmp(from, words, sizeof words) != 0) {
            return 0;
        }
    }
    return memcmp(from, words, size) == 0;
}
