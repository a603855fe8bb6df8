#include "sealing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct associated {
    uint64_t identity;
    uint64_t size;
    uint64_t key_number;
} associated;

static associated bind(uint64_t identity, const sr_envelope *envelope)
{
    associated bound = {identity, envelope->size, envelope->key_number};
    return bound;
}

/* Whatever the engine: its tag is no longer than the longest. */
static int is_near(const sr_envelope *envelope)
{
    return envelope->size <= SR_NEAR_SIZE - SR_TAG_MAX_SIZE;
}

unsigned char *sr_envelope_ciphertext(sr_envelope *envelope)
{
    return is_near(envelope) ? envelope->ciphertext.near : envelope->ciphertext.far;
}

static void make_nonce(const sr_sealer *sealer, uint64_t counter, unsigned char nonce[SR_NONCE_MAX_SIZE])
{
    size_t prefix_size = sealer->engine.nonce_size - sizeof counter;
    memcpy(nonce, sealer->nonce_prefix, prefix_size);
    memcpy(nonce + prefix_size, &counter, sizeof counter);
}

/* The engines' ciphers are stream-like: the ciphertext is as long as the plaintext, the tag follows. */
int sr_engine_self_test(const sr_engine *engine, const unsigned char *key, const unsigned char *nonce,
                        const unsigned char *bound, size_t bound_size, const unsigned char *message,
                        size_t message_size, const unsigned char *expected)
{
    unsigned char sealed[SR_EXAMPLE_MAX_SIZE + SR_TAG_MAX_SIZE], opened[SR_EXAMPLE_MAX_SIZE];
    size_t sealed_size = message_size + engine->tag_size;
    unsigned long long got = 0;
    assert(message_size <= sizeof opened && engine->tag_size <= SR_TAG_MAX_SIZE);
    if (engine->encrypt(sealed, &got, message, message_size, bound, bound_size, NULL, nonce, key) != 0
        || got != sealed_size || memcmp(sealed, expected, sealed_size) != 0) {
        return -1;
    }
    if (engine->decrypt(opened, &got, NULL, sealed, sealed_size, bound, bound_size, nonce, key) != 0
        || got != message_size || memcmp(opened, message, message_size) != 0) {
        return -1;
    }
    sealed[sealed_size - 1] ^= 1;
    return engine->decrypt(opened, &got, NULL, sealed, sealed_size, bound, bound_size, nonce, key) != 0 ? 0 : -1;
}

int sr_sealer_rekey(sr_sealer *sealer, const sr_engine *engine, const unsigned char *key, sr_error *error)
{
    assert(engine->nonce_size > sizeof(uint64_t) && engine->nonce_size <= SR_NONCE_MAX_SIZE);
    assert(engine->tag_size <= SR_TAG_MAX_SIZE);
    if (sr_os_random(sealer->nonce_prefix, sizeof sealer->nonce_prefix, error) != 0) {
        return -1;
    }
    sealer->engine = *engine;
    sealer->counter = 0;
    sealer->key_number += sealer->key_number == UINT32_MAX ? 2 : 1; /* 0 stands for none */
    sealer->key = key;
    return 0;
}

int sr_seal(sr_sealer *sealer, uint64_t identity, const unsigned char *plain, size_t size,
            sr_envelope *envelope, sr_error *error)
{
    unsigned char nonce[SR_NONCE_MAX_SIZE];
    unsigned long long sealed_size = 0;
    assert(sealer->key != NULL && size != 0 && size <= SR_SEALED_MAX_SIZE && envelope->key_number == 0);
    envelope->size = (uint32_t)size;
    if (!is_near(envelope) && (envelope->ciphertext.far = malloc(size + SR_TAG_MAX_SIZE)) == NULL) {
        error->call = "malloc";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    envelope->counter = sealer->counter++;
    envelope->key_number = sealer->key_number;
    associated bound = bind(identity, envelope);
    make_nonce(sealer, envelope->counter, nonce);
    if (sealer->engine.encrypt(sr_envelope_ciphertext(envelope), &sealed_size, plain, size,
                               (const unsigned char *)&bound, sizeof bound, NULL, nonce, sealer->key) != 0
        || sealed_size != size + sealer->engine.tag_size) {
        sr_envelope_drop(envelope);
        error->call = "encrypt";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    return 0;
}

int sr_unseal(const sr_sealer *sealer, uint64_t identity, const sr_envelope *envelope, unsigned char *plain)
{
    unsigned char nonce[SR_NONCE_MAX_SIZE];
    unsigned long long size = 0;
    associated bound = bind(identity, envelope);
    const unsigned char *ciphertext = is_near(envelope) ? envelope->ciphertext.near : envelope->ciphertext.far;
    make_nonce(sealer, envelope->counter, nonce);
    if (sealer->engine.decrypt(plain, &size, NULL, ciphertext, envelope->size + sealer->engine.tag_size,
                               (const unsigned char *)&bound, sizeof bound, nonce, sealer->key) != 0
        || size != envelope->size) {
        sr_os_wipe(plain, envelope->size); /* whatever the engine left of an unauthenticated plaintext */
        return -1;
    }
    return 0;
}

/* Wiped, tag and all, so that a key that comes to light later tells nothing of what was destroyed before: with a tag,
 * guesses could be tried, and with some ciphers a short plaintext computed. */
void sr_envelope_drop(sr_envelope *envelope)
{
    if (envelope->key_number == 0) {
        return;
    }
    envelope->key_number = 0;
    envelope->counter = 0;
    sr_os_wipe(sr_envelope_ciphertext(envelope), (size_t)envelope->size + SR_TAG_MAX_SIZE);
    if (!is_near(envelope)) {
        free(envelope->ciphertext.far);
    }
}
