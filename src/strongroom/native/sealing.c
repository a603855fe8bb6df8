#include "sealing.h"

#include "scrub.h"
#include "sr_os_mapping.h"

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

static void make_nonce(const sr_key *key, uint64_t counter, unsigned char nonce[SR_NONCE_MAX_SIZE])
{
    size_t prefix_size = key->engine.nonce_size - sizeof counter;
    memcpy(nonce, key->nonce_prefix, prefix_size);
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

/* RFC 7693, appendix A: BLAKE2b-512 of "abc". */
int sr_hash_self_test(sr_hash hash)
{
    static const unsigned char expected[] = {
        0xBA, 0x80, 0xA5, 0x3F, 0x98, 0x1C, 0x4D, 0x0D, 0x6A, 0x27, 0x97, 0xB6, 0x9F, 0x12, 0xF6, 0xE9,
        0x4C, 0x21, 0x2F, 0x14, 0x68, 0x5A, 0xC4, 0xB7, 0x4B, 0x12, 0xBB, 0x6F, 0xDB, 0xFF, 0xA2, 0xD1,
        0x7D, 0x87, 0xC5, 0x39, 0x2A, 0xAB, 0x79, 0x2D, 0xC2, 0x52, 0xD5, 0xDE, 0x45, 0x33, 0xCC, 0x95,
        0x18, 0xD3, 0x8A, 0xA8, 0xDB, 0xF1, 0x92, 0x5A, 0xB9, 0x23, 0x86, 0xED, 0xD4, 0x00, 0x99, 0x23};
    unsigned char out[sizeof expected];
    if (hash(out, sizeof out, (const unsigned char *)"abc", 3, NULL, 0, NULL, NULL) != 0) {
        return -1;
    }
    return memcmp(out, expected, sizeof out) == 0 ? 0 : -1;
}

/* ---- keys ---- */

sr_keeping sr_key_usual_keeping(void)
{
    unsigned char block[SR_KEY_SIZE] = "no secret";
    sr_error ignored;
    return sr_os_crypt_protect(block, sizeof block, SR_CRYPT_SAME_PROCESS, &ignored) == 0 ? SR_KEY_ENCRYPTED
                                                                                          : SR_KEY_AS_IT_IS;
}

size_t sr_key_content_size(sr_keeping keeping)
{
    return keeping == SR_KEY_SHIELDED ? SR_PREKEY_SIZE : SR_KEY_SIZE;
}

size_t sr_key_memory_size(sr_keeping keeping)
{
    return sr_key_content_size(keeping) + (keeping == SR_KEY_AS_IT_IS ? 0 : SR_KEY_SIZE);
}

int sr_key_begin(sr_key *key, const sr_engine *engine, sr_keeping keeping, sr_hash hash, unsigned char *memory,
                 uint32_t number, sr_error *error)
{
    assert(engine->nonce_size > sizeof(uint64_t) && engine->nonce_size <= SR_NONCE_MAX_SIZE);
    assert(engine->tag_size <= SR_TAG_MAX_SIZE && number != 0 && (hash != NULL) == (keeping == SR_KEY_SHIELDED));
    size_t size = sr_key_content_size(keeping);
    if (sr_os_random(key->nonce_prefix, sizeof key->nonce_prefix, error) != 0 || sr_os_random(memory, size, error) != 0
        || (keeping == SR_KEY_ENCRYPTED && sr_os_crypt_protect(memory, size, SR_CRYPT_SAME_PROCESS, error) != 0)) {
        sr_os_wipe(memory, size);
        return -1;
    }
    key->engine = *engine;
    key->hash = hash;
    key->keeping = keeping;
    key->memory = memory;
    key->counter = 0;
    key->number = number;
    return 0;
}

/* Where the key is until rest(); NULL if it cannot be had. */
static const unsigned char *use(const sr_key *key, sr_error *error)
{
    if (key->keeping == SR_KEY_AS_IT_IS) {
        return key->memory;
    }
    unsigned char *place = key->memory + sr_key_content_size(key->keeping);
    if (key->keeping == SR_KEY_SHIELDED) {
        if (key->hash(place, SR_KEY_SIZE, key->memory, SR_PREKEY_SIZE, NULL, 0, NULL, NULL) == 0) {
            return place;
        }
        error->call = "hash";
        error->code = SR_UNSUPPORTED;
    } else {
        memcpy(place, key->memory, SR_KEY_SIZE);
        if (sr_os_crypt_unprotect(place, SR_KEY_SIZE, SR_CRYPT_SAME_PROCESS, error) == 0) {
            return place;
        }
    }
    sr_os_wipe(place, SR_KEY_SIZE);
    return NULL;
}

static void rest(const sr_key *key)
{
    if (key->keeping != SR_KEY_AS_IT_IS) {
        sr_os_wipe(key->memory + sr_key_content_size(key->keeping), SR_KEY_SIZE);
    }
}

/* ---- envelopes ---- */

static int encrypt(const sr_key *key, uint64_t identity, const unsigned char *plain, sr_envelope *envelope,
                   sr_error *error)
{
    unsigned char nonce[SR_NONCE_MAX_SIZE];
    unsigned long long sealed_size = 0;
    associated bound = bind(identity, envelope);
    const unsigned char *bytes = use(key, error);
    if (bytes == NULL) {
        return -1;
    }
    make_nonce(key, envelope->counter, nonce);
    int failed = key->engine.encrypt(sr_envelope_ciphertext(envelope), &sealed_size, plain, envelope->size,
                                     (const unsigned char *)&bound, sizeof bound, NULL, nonce, bytes);
    rest(key);
    sr_scrub();
    if (failed || sealed_size != envelope->size + key->engine.tag_size) {
        error->call = "encrypt";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    return 0;
}

int sr_seal(sr_key *key, uint64_t identity, const unsigned char *plain, size_t size, sr_envelope *envelope,
            sr_error *error)
{
    assert(key->number != 0 && size != 0 && size <= SR_SEALED_MAX_SIZE && envelope->key_number == 0);
    envelope->size = (uint32_t)size;
    if (!is_near(envelope) && (envelope->ciphertext.far = malloc(size + SR_TAG_MAX_SIZE)) == NULL) {
        error->call = "malloc";
        error->code = SR_UNSUPPORTED;
        return -1;
    }
    envelope->counter = key->counter++;
    envelope->key_number = key->number;
    if (encrypt(key, identity, plain, envelope, error) != 0) {
        sr_envelope_drop(envelope);
        return -1;
    }
    return 0;
}

int sr_unseal(const sr_key *key, uint64_t identity, const sr_envelope *envelope, unsigned char *plain, sr_error *error)
{
    unsigned char nonce[SR_NONCE_MAX_SIZE];
    unsigned long long size = 0;
    associated bound = bind(identity, envelope);
    const unsigned char *ciphertext = is_near(envelope) ? envelope->ciphertext.near : envelope->ciphertext.far;
    const unsigned char *bytes = use(key, error);
    if (bytes == NULL) {
        return -1;
    }
    error->call = NULL;
    make_nonce(key, envelope->counter, nonce);
    int failed = key->engine.decrypt(plain, &size, NULL, ciphertext, envelope->size + key->engine.tag_size,
                                     (const unsigned char *)&bound, sizeof bound, nonce, bytes);
    rest(key);
    sr_scrub();
    if (failed || size != envelope->size) {
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
