/* A stand-in for a cipher: it records what it is given and binds every input into its tag; it is no cipher. The real ones
 * are tested from Python. */
#ifndef SEALING_CHECK_H
#define SEALING_CHECK_H

#include "named_checks.h"
#include "sealing.h"

#include <stdint.h>

enum { NONCE = 24, TAG = 16, MANY = 1000, SIZE = 64 };

static unsigned char memory[SR_PREKEY_SIZE + SR_KEY_SIZE];
static unsigned char nonces[MANY][NONCE];
static int nonce_count, use_count;
static unsigned char used[SR_KEY_SIZE]; /* the key of the last call */
static sr_error error;

static void tag_of(unsigned char *tag, const unsigned char *text, unsigned long long size,
                   const unsigned char *bound, unsigned long long bound_size, const unsigned char *nonce,
                   const unsigned char *with)
{
    uint64_t sum[2] = {14695981039346656037u, 1099511628211u};
    const unsigned char *parts[] = {text, bound, nonce, with};
    unsigned long long sizes[] = {size, bound_size, NONCE, SR_KEY_SIZE};
    for (int part = 0; part < 4; part++) {
        for (unsigned long long i = 0; i < sizes[part]; i++) {
            sum[0] = (sum[0] ^ parts[part][i]) * 1099511628211u;
            sum[1] = sum[1] * 31 + sum[0];
        }
    }
    memcpy(tag, sum, TAG);
}

static int stand_in_encrypt(unsigned char *out, unsigned long long *out_size, const unsigned char *in,
                            unsigned long long in_size, const unsigned char *bound, unsigned long long bound_size,
                            const unsigned char *unused, const unsigned char *nonce, const unsigned char *with)
{
    (void)unused;
    use_count++;
    memcpy(used, with, SR_KEY_SIZE);
    if (nonce_count < MANY) {
        memcpy(nonces[nonce_count++], nonce, NONCE);
    }
    for (unsigned long long i = 0; i < in_size; i++) {
        out[i] = in[i] ^ nonce[i % NONCE] ^ with[i % SR_KEY_SIZE];
    }
    tag_of(out + in_size, out, in_size, bound, bound_size, nonce, with);
    *out_size = in_size + TAG;
    return 0;
}

/* Like some real engines it leaves what it decrypted behind even when the tag is wrong. */
static int stand_in_decrypt(unsigned char *out, unsigned long long *out_size, unsigned char *unused,
                            const unsigned char *in, unsigned long long in_size, const unsigned char *bound,
                            unsigned long long bound_size, const unsigned char *nonce, const unsigned char *with)
{
    unsigned char tag[TAG];
    (void)unused;
    if (in_size < TAG) {
        return -1;
    }
    for (unsigned long long i = 0; i < in_size - TAG; i++) {
        out[i] = in[i] ^ nonce[i % NONCE] ^ with[i % SR_KEY_SIZE];
    }
    *out_size = in_size - TAG;
    tag_of(tag, in, in_size - TAG, bound, bound_size, nonce, with);
    return memcmp(tag, in + in_size - TAG, TAG) == 0 ? 0 : -1;
}

static const sr_engine engine = {stand_in_encrypt, stand_in_decrypt, NONCE, TAG};

static int refuses(const sr_key *key, uint64_t identity, const sr_envelope *envelope, unsigned char *back)
{
    memset(back, 0x77, SIZE);
    return sr_unseal(key, identity, envelope, back, &error) != 0 && error.call == NULL && is_all(back, envelope->size, 0);
}

#endif
