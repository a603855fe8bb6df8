/* The envelope: nonces, what is bound into it, tampering; the ways to keep a key. The engine here is a stand-in that
 * records what it is given and binds every input into its tag; it is no cipher. The real ones are tested from Python. */
#define _GNU_SOURCE /* memmem */
#include "named_checks.h"
#include "sealing.h"

#include <stdint.h>

enum { NONCE = 24, TAG = 16, MANY = 1000, SIZE = 64 };

static unsigned char text[SR_KEY_SIZE] = "a text for the engine's example";
static unsigned char memory[SR_PREKEY_SIZE + SR_KEY_SIZE], more_memory[sizeof memory];
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

static void test_round_trip(sr_key *key)
{
    static const size_t sizes[] = {1, 16, 31, 32, 33, 64, 4096, 100000}; /* up to 32 inside the envelope */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *plain = malloc(sizes[i]), *back = malloc(sizes[i]);
        sr_envelope envelope = {0};
        memset(plain, 0x42, sizes[i]);
        memset(back, 0, sizes[i]);
        CHECK("it seals", sr_seal(key, i + 1, plain, sizes[i], &envelope, &error) == 0);
        CHECK("the envelope holds no plaintext", /* one byte may be equal by chance */
              sizes[i] < 16 || memcmp(sr_envelope_ciphertext(&envelope), plain, sizes[i]) != 0);
        CHECK("it opens", sr_unseal(key, i + 1, &envelope, back, &error) == 0 && memcmp(plain, back, sizes[i]) == 0);
        sr_envelope_drop(&envelope);
        sr_envelope_drop(&envelope);
        CHECK("dropping twice is harmless", envelope.key_number == 0 && envelope.size == sizes[i]);
        CHECK("what lay in the envelope is gone",
              sizes[i] > 32 || is_all(envelope.ciphertext.near, sizes[i], 0));
        free(plain);
        free(back);
    }
}

static int refuses(const sr_key *key, uint64_t identity, const sr_envelope *envelope, unsigned char *back)
{
    memset(back, 0x77, SIZE);
    return sr_unseal(key, identity, envelope, back, &error) != 0 && error.call == NULL && is_all(back, envelope->size, 0);
}

static void check_tampering(sr_key *key, size_t size)
{
    unsigned char plain[SIZE], back[SIZE];
    sr_envelope good = {0}, other = {0}, bad;
    memset(plain, 0x5A, sizeof plain);
    printf("      %u bytes\n", (unsigned)size);
    CHECK("two are sealed", sr_seal(key, 100, plain, size, &good, &error) == 0
                                && sr_seal(key, 101, plain, size, &other, &error) == 0);
    unsigned char *ciphertext = sr_envelope_ciphertext(&good);
    size_t refused = 0, bits = 8 * (size + TAG);
    for (size_t bit = 0; bit < bits; bit++) {
        ciphertext[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        refused += (size_t)refuses(key, 100, &good, back);
        ciphertext[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    CHECK("any bit changed is refused, and nothing of the plaintext is left", refused == bits);
    CHECK("another object's number is refused", refuses(key, 101, &good, back));
    bad = good;
    bad.size--;
    CHECK("another length is refused", refuses(key, 100, &bad, back));
    bad = good;
    bad.key_number++;
    CHECK("another key's number is refused", refuses(key, 100, &bad, back));
    bad = good;
    bad.counter++;
    CHECK("another nonce is refused", refuses(key, 100, &bad, back));
    bad = good;
    bad.ciphertext = other.ciphertext;
    CHECK("another's ciphertext is refused", refuses(key, 100, &bad, back));
    CHECK("the good one still opens", sr_unseal(key, 100, &good, back, &error) == 0 && memcmp(plain, back, size) == 0);
    sr_envelope_drop(&good);
    sr_envelope_drop(&other);
}

static void test_tampering(sr_key *key)
{
    check_tampering(key, SIZE / 2); /* the ciphertext lies in the envelope */
    check_tampering(key, SIZE);
}

static void test_nonces(sr_key *key)
{
    unsigned char plain[8] = "a nonce";
    nonce_count = 0;
    for (int i = 0; i < MANY; i++) {
        sr_envelope envelope = {0};
        if (i == MANY / 2) {
            CHECK("a new key is taken", sr_key_begin(key, &engine, SR_KEY_AS_IT_IS, NULL, memory, 2, &error) == 0);
        }
        sr_seal(key, 1, plain, sizeof plain, &envelope, &error);
        sr_envelope_drop(&envelope);
    }
    int repeated = 0;
    for (int i = 0; i < MANY; i++) {
        for (int j = 0; j < i; j++) {
            repeated += memcmp(nonces[i], nonces[j], NONCE) == 0;
        }
    }
    CHECK("no nonce comes twice, over a change of key either", nonce_count == MANY && repeated == 0);
}

static void test_self_test(void)
{
    unsigned char sealed[4 + TAG];
    unsigned long long size;
    unsigned char nonce[SR_NONCE_MAX_SIZE] = "nonce";
    stand_in_encrypt(sealed, &size, text, 4, nonce, 5, NULL, nonce, text);
    CHECK("the right answer passes", sr_engine_self_test(&engine, text, nonce, nonce, 5, text, 4, sealed) == 0);
    sealed[0] ^= 1;
    CHECK("a wrong ciphertext fails", sr_engine_self_test(&engine, text, nonce, nonce, 5, text, 4, sealed) != 0);
    sealed[0] ^= 1;
    sealed[4] ^= 1;
    CHECK("a wrong tag fails", sr_engine_self_test(&engine, text, nonce, nonce, 5, text, 4, sealed) != 0);
}

static int accept_everything(unsigned char *out, unsigned long long *out_size, unsigned char *unused,
                             const unsigned char *in, unsigned long long in_size, const unsigned char *bound,
                             unsigned long long bound_size, const unsigned char *nonce, const unsigned char *with)
{
    (void)stand_in_decrypt(out, out_size, unused, in, in_size, bound, bound_size, nonce, with);
    return 0;
}

static void test_careless_engine(void)
{
    sr_engine careless = engine;
    careless.decrypt = accept_everything;
    unsigned char sealed[4 + TAG];
    unsigned long long size;
    unsigned char nonce[SR_NONCE_MAX_SIZE] = "nonce";
    stand_in_encrypt(sealed, &size, text, 4, nonce, 5, NULL, nonce, text);
    CHECK("an engine that opens forgeries fails its self-test",
          sr_engine_self_test(&careless, text, nonce, nonce, 5, text, 4, sealed) != 0);
}

/* ---- how keys are kept ---- */

static int is_crypt_there = 1, is_hash_there = 1;

int __wrap_sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *wrong);
int __wrap_sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *wrong);

/* What Windows does in its kernel, as far as anybody can see: bytes change, and come back. */
int __wrap_sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *wrong)
{
    if (!is_crypt_there || flags != 0 || size % 16 != 0) {
        wrong->call = "CryptProtectMemory";
        wrong->code = 50;
        return -1;
    }
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)address)[i] ^= (unsigned char)(0xA5 + i);
    }
    return 0;
}

int __wrap_sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *wrong)
{
    return __wrap_sr_os_crypt_protect(address, size, flags, wrong);
}

static int stand_in_hash(unsigned char *out, size_t out_size, const unsigned char *in, unsigned long long in_size,
                         const unsigned char *no_key, size_t no_key_size, const unsigned char *no_salt,
                         const unsigned char *no_name)
{
    memset(out, 0, out_size);
    for (unsigned long long i = 0; i < in_size; i++) {
        out[i % out_size] = (unsigned char)(out[i % out_size] * 31 + in[i]);
    }
    return is_hash_there && no_key == NULL && no_key_size == 0 && no_salt == NULL && no_name == NULL ? 0 : -1;
}

/* What every way of keeping a key has in common; `content` is how much of its memory is the key at rest. */
static void check_keeping(sr_keeping keeping, sr_hash hash, size_t content)
{
    unsigned char plain[SIZE] = "kept in one way or another", back[SIZE];
    sr_envelope envelope = {0};
    sr_key key = {0}, another = {0};
    printf("      keeping %u\n", (unsigned)keeping);
    memset(memory, 0, sizeof memory);
    CHECK("it is drawn", sr_key_begin(&key, &engine, keeping, hash, memory, 7, &error) == 0 && key.number == 7);
    CHECK("its size is told", sr_key_content_size(keeping) == content && sr_key_memory_size(keeping) == content + SR_KEY_SIZE);
    CHECK("all of it is random", !is_all(memory, 16, 0) && !is_all(memory + content - 16, 16, 0));
    CHECK("it seals", sr_seal(&key, 5, plain, SIZE, &envelope, &error) == 0 && envelope.key_number == 7);
    CHECK("under what does not lie in memory", memmem(memory, sizeof memory, used, SR_KEY_SIZE) == NULL);
    CHECK("nor afterwards anything else", is_all(memory + content, SR_KEY_SIZE, 0));
    CHECK("it opens", sr_unseal(&key, 5, &envelope, back, &error) == 0 && memcmp(plain, back, SIZE) == 0);
    CHECK("and leaves nothing", is_all(memory + content, SR_KEY_SIZE, 0));
    another = key; /* as a child does that has the content from its parent */
    another.memory = more_memory;
    memcpy(more_memory, memory, content);
    CHECK("its content is all another process needs", sr_unseal(&another, 5, &envelope, back, &error) == 0);
    for (size_t i = 0; i < content; i += content / 8) {
        more_memory[i] ^= 4;
        CHECK("any bit of that counts", refuses(&another, 5, &envelope, back));
        more_memory[i] ^= 4;
    }
    is_crypt_there = is_hash_there = 0;
    CHECK("when it cannot be had the error says why",
          sr_unseal(&key, 5, &envelope, back, &error) != 0 && error.call != NULL && is_all(memory + content, SR_KEY_SIZE, 0));
    sr_envelope none = {0};
    int before = use_count;
    CHECK("and nothing is sealed", sr_seal(&key, 5, plain, SIZE, &none, &error) != 0 && none.key_number == 0
                                       && use_count == before && error.call != NULL);
    is_crypt_there = is_hash_there = 1;
    CHECK("it opens again", sr_unseal(&key, 5, &envelope, back, &error) == 0);
    sr_envelope_drop(&envelope);
}

static void test_keepings(void)
{
    check_keeping(SR_KEY_SHIELDED, stand_in_hash, SR_PREKEY_SIZE);
#ifndef WRAPS_SYSTEM_ONLY
    check_keeping(SR_KEY_ENCRYPTED, NULL, SR_KEY_SIZE);
    CHECK("a system that encrypts is made use of", sr_key_usual_keeping() == SR_KEY_ENCRYPTED);
    is_crypt_there = 0;
    CHECK("without one a key is kept as it is", sr_key_usual_keeping() == SR_KEY_AS_IT_IS);
    sr_key key = {0};
    memset(memory, 0, sizeof memory);
    CHECK("a system that gives up in between is an error, and no key stays",
          sr_key_begin(&key, &engine, SR_KEY_ENCRYPTED, NULL, memory, 1, &error) != 0 && key.number == 0
              && is_all(memory, SR_KEY_SIZE, 0));
    is_crypt_there = 1;
#else
    printf("skip  the system's encryption: its stand-in is not linked in here\n");
#endif
    CHECK("a hash that computes something else is found out", sr_hash_self_test(stand_in_hash) != 0);
}

int main(void)
{
    sr_key key = {0};
    CHECK("a key is taken", sr_key_begin(&key, &engine, SR_KEY_AS_IT_IS, NULL, memory, 1, &error) == 0 && key.number == 1);
    test_round_trip(&key);
    test_tampering(&key);
    test_nonces(&key);
    test_self_test();
    test_careless_engine();
    test_keepings();
    return check_result();
}
