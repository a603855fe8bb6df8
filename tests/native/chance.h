/* Chance that can be repeated: the same seed, the same numbers. */
#ifndef SR_CHANCE_H
#define SR_CHANCE_H

#include <stddef.h>
#include <stdint.h>

__attribute__((unused)) static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64 */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

__attribute__((unused)) static size_t below(uint64_t *state, size_t limit)
{
    return (size_t)(draw(state) >> 11) % limit;
}

#endif
