/* Secrets at rest: authenticated ciphertext in ordinary memory, under keys that live in guarded blocks.
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

/* libsodium's crypto_generichash_blake2b_salt_personal: BLAKE2b, with neither key nor salt. */
typedef int (*sr_hash)(unsigned char *out, size_t out_size, const unsigned char *in, unsigned long long in_size,
                       const unsigned char *no_key, size_t no_key_size, const unsigned char *no_salt,
                       const unsigned char *no_name);

/* How a key lies in its block. All but the first have the key itself only for the length of one call, in the block's
 * last SR_KEY_SIZE bytes. */
typedef enum sr_keeping {
    SR_KEY_AS_IT_IS,
    SR_KEY_SHIELDED, /* the hash of SR_PREKEY_SIZE random bytes: who reads all but a few bits of these has nothing */
    SR_KEY_ENCRYPTED /* by the system, under a key of its own (CryptProtectMemory) */
} sr_keeping;

/* Larger: harder to read without an error, and slower to open by 1 us for each KiB. */
#define SR_PREKEY_SIZE 16384

typedef struct sr_key {
    sr_engine engine;
    sr_hash hash; /* of a shielded one */
    sr_keeping keeping;
    uint32_t number;       /* 0: there is no key */
    unsigned char *memory; /* in a guarded block, sr_key_memory_size() bytes; writable if it is not kept as it is */
    uint64_t counter;      /* seals made under this key */
    unsigned char nonce_prefix[SR_NONCE_MAX_SIZE - sizeof(uint64_t)];
} sr_key;

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

/* 0 if the hash of a published example is what was published, -1 otherwise. */
int sr_hash_self_test(sr_hash hash);

/* How a key that is not to be shielded is best kept: encrypted by the system where that really does it. */
sr_keeping sr_key_usual_keeping(void);

/* Bytes in locked memory that a key takes, and how many of these, from the first on, are what must be handed over
 * for another process to have it. */
size_t sr_key_memory_size(sr_keeping keeping);
size_t sr_key_content_size(sr_keeping keeping);

/* Draw a key into `memory`, which is writable, and a nonce prefix; `hash` is NULL if it is not shielded. The number is
 * that of no other key of this process and its parents. */
int sr_key_begin(sr_key *key, const sr_engine *engine, sr_keeping keeping, sr_hash hash, unsigned char *memory,
                 uint32_t number, sr_error *error);

/* Seal `size` bytes, 1 to SR_SEALED_MAX_SIZE, into an envelope with nothing in it, for the object whose number this is:
 * unlike those of all other objects there are now. -1 with the call "malloc" when memory is short, "encrypt" when the
 * engine refuses, or what the system refused. */
int sr_seal(sr_key *key, uint64_t identity, const unsigned char *plain, size_t size,
            sr_envelope *envelope, sr_error *error);

/* Decrypt straight into `plain` (envelope->size bytes), under the key of the envelope's number. 0, or -1: with no call in
 * *error if the envelope is not what was sealed, otherwise with what the system refused. `plain` is wiped then. */
int sr_unseal(const sr_key *key, uint64_t identity, const sr_envelope *envelope, unsigned char *plain,
              sr_error *error);

/* Wipe the ciphertext and free it where it is far; safe on an envelope with nothing in it. */
void sr_envelope_drop(sr_envelope *envelope);

#endif
