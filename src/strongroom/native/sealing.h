/* Secrets at rest: authenticated ciphertext in ordinary memory, under one key that lives in a guarded block.
 *
 * The cipher is a library's, handed in as two function pointers with libsodium's combined AEAD signature.
 * Nonces are a random prefix per key and a counter: never repeated under one key, without a system call per
 * seal. Bound into each envelope (as associated data) are the object it belongs to, its length and the number
 * of the key: an envelope moved to another object, cut, or kept over a change of key does not open.
 */
#ifndef SR_SEALING_H
#define SR_SEALING_H

#include "sr_os.h"

#define SR_KEY_SIZE 32
#define SR_NONCE_MAX_SIZE 32 /* AEGIS-256: 32, XChaCha20-Poly1305: 24 */
#define SR_TAG_MAX_SIZE 32   /* AEGIS-256 as libsodium uses it: 32, XChaCha20-Poly1305: 16 */

typedef int (*sr_encrypt)(unsigned char *out, unsigned long long *out_size, const unsigned char *in,
                          unsigned long long in_size, const unsigned char *bound, unsigned long long bound_size,
                          const unsigned char *unused, const unsigned char *nonce, const unsigned char *key);
typedef int (*sr_decrypt)(unsigned char *out, unsigned long long *out_size, unsigned char *unused,
                          const unsigned char *in, unsigned long long in_size, const unsigned char *bound,
                          unsigned long long bound_size, const unsigned char *nonce, const unsigned char *key);

typedef struct sr_engine {
    sr_encrypt encrypt;
    sr_decrypt decrypt;
    size_t nonce_size;
    size_t tag_size;
} sr_engine;

typedef struct sr_sealer {
    sr_engine engine;
    const unsigned char *key; /* SR_KEY_SIZE bytes inside a readable guarded block; NULL: no key */
    uint64_t key_number;      /* 1 for the first key; a purge ends one, the next secret starts another */
    uint64_t counter;         /* seals made under this key */
    unsigned char nonce_prefix[SR_NONCE_MAX_SIZE - sizeof(uint64_t)];
} sr_sealer;

typedef struct sr_envelope {
    uint64_t identity;   /* of the object this belongs to */
    uint64_t key_number; /* of the key it was sealed under */
    uint64_t counter;    /* its part of the nonce */
    size_t size;         /* of the plaintext, bytes */
    unsigned char *ciphertext; /* size + tag, from malloc; owned by whoever owns the envelope */
} sr_envelope;

/* Encrypt and decrypt a fixed example and refuse a forged one: 0 if the engine computes what its published
 * test vector says, -1 otherwise. `expected` is the ciphertext of `message` with its tag. */
int sr_engine_self_test(const sr_engine *engine, const unsigned char *key, const unsigned char *nonce,
                        const unsigned char *bound, size_t bound_size, const unsigned char *message,
                        size_t message_size, const unsigned char *expected);

/* Take a key into use: fresh nonce prefix, counter 0, next key number. */
int sr_sealer_rekey(sr_sealer *sealer, const sr_engine *engine, const unsigned char *key, sr_error *error);

/* Seal `size` bytes into a new envelope. -1 with the call "malloc" when memory is short, "encrypt" when the
 * engine refuses. */
int sr_seal(sr_sealer *sealer, uint64_t identity, const unsigned char *plain, size_t size,
            sr_envelope *envelope, sr_error *error);

/* Decrypt straight into `plain` (envelope->size bytes). 0, or -1 if the envelope is not what was sealed;
 * `plain` is then wiped. The caller has checked that the key number is the current one. */
int sr_unseal(const sr_sealer *sealer, const sr_envelope *envelope, unsigned char *plain);

/* Free the ciphertext; safe on an empty envelope. */
void sr_envelope_drop(sr_envelope *envelope);

#endif
