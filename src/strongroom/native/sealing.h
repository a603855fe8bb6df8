/* Secrets at rest: authenticated ciphertext in ordinary memory, under one key that lives in a guarded block.
 *
 * The cipher is a library's, handed in as two function pointers with libsodium's combined AEAD signature.
 * Nonces are a random prefix per key and a counter: never repeated under one key, without a system call per
 * seal. Bound into each envelope (as associated data) are the object it belongs to, its length and the number
 * of the key: an envelope moved to another object, cut, or kept over a change of key does not open.
 *
 * There may be a million of them, so an envelope has no byte to spare: the ciphertext of a key or a token lies in it.
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
    uint32_t key_number;      /* 1 for the first key; a purge ends one, the next secret starts another */
    uint64_t counter;         /* seals made under this key */
    unsigned char nonce_prefix[SR_NONCE_MAX_SIZE - sizeof(uint64_t)];
} sr_sealer;

/* Ciphertext of plaintexts of up to 32 bytes, with any engine's tag. */
#define SR_NEAR_SIZE (32 + SR_TAG_MAX_SIZE)

typedef struct sr_envelope {
    uint64_t counter;    /* its part of the nonce */
    uint32_t size;       /* of the plaintext, bytes */
    uint32_t key_number; /* of the key it was sealed under; 0: there is nothing in it */
    union {
        unsigned char near[SR_NEAR_SIZE];
        unsigned char *far; /* from malloc, where that is too small; owned by whoever owns the envelope */
    } ciphertext; /* size + tag */
} sr_envelope;

/* The largest plaintext, bytes. */
#define SR_SEALED_MAX_SIZE (UINT32_MAX - SR_TAG_MAX_SIZE)

/* Where the ciphertext is. Not of an envelope with nothing in it. */
unsigned char *sr_envelope_ciphertext(sr_envelope *envelope);

#define SR_EXAMPLE_MAX_SIZE 256

/* Encrypt and decrypt a fixed example and refuse a forged one: 0 if the engine computes what its published
 * test vector says, -1 otherwise. `expected` is the ciphertext of `message`, SR_EXAMPLE_MAX_SIZE bytes at most, with its
 * tag. */
int sr_engine_self_test(const sr_engine *engine, const unsigned char *key, const unsigned char *nonce,
                        const unsigned char *bound, size_t bound_size, const unsigned char *message,
                        size_t message_size, const unsigned char *expected);

/* Take a key into use: fresh nonce prefix, counter 0, next key number. */
int sr_sealer_rekey(sr_sealer *sealer, const sr_engine *engine, const unsigned char *key, sr_error *error);

/* Seal `size` bytes, 1 to SR_SEALED_MAX_SIZE, into an envelope with nothing in it, for the object whose number this is:
 * unlike those of all other objects there are now. -1 with the call "malloc" when memory is short, "encrypt" when the
 * engine refuses. */
int sr_seal(sr_sealer *sealer, uint64_t identity, const unsigned char *plain, size_t size,
            sr_envelope *envelope, sr_error *error);

/* Decrypt straight into `plain` (envelope->size bytes). 0, or -1 if the envelope is not what was sealed;
 * `plain` is then wiped. The caller has checked that the key number is the current one. */
int sr_unseal(const sr_sealer *sealer, uint64_t identity, const sr_envelope *envelope, unsigned char *plain);

/* Wipe the ciphertext and free it where it is far; safe on an envelope with nothing in it. */
void sr_envelope_drop(sr_envelope *envelope);

#endif
