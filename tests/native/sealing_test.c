/* The envelope: nonces, what is bound into it, tampering. The engine here is a stand-in that records what it is
 * given and binds every input into its tag; it is no cipher. The real ones are tested from Python. */
#include "named_checks.h"
#include "sealing.h"

#include <stdint.h>

enum { NONCE = 24, TAG = 16, MANY = 1000, SIZE = 64 };

static unsigned char key[SR_KEY_SIZE] = "a key for the stand-in engine..";
static unsigned char nonces[MANY][NONCE];
static int nonce_count;
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

static void test_round_trip(sr_sealer *sealer)
{
    static const size_t sizes[] = {1, 16, 31, 32, 33, 64, 4096, 100000}; /* up to 32 inside the envelope */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *plain = malloc(sizes[i]), *back = malloc(sizes[i]);
        sr_envelope envelope = {0};
        memset(plain, 0x42, sizes[i]);
        memset(back, 0, sizes[i]);
        CHECK("it seals", sr_seal(sealer, i + 1, plain, sizes[i], &envelope, &error) == 0);
        CHECK("the envelope holds no plaintext", /* one byte may be equal by chance */
              sizes[i] < 16 || memcmp(sr_envelope_ciphertext(&envelope), plain, sizes[i]) != 0);
        CHECK("it opens", sr_unseal(sealer, i + 1, &envelope, back) == 0 && memcmp(plain, back, sizes[i]) == 0);
        sr_envelope_drop(&envelope);
        sr_envelope_drop(&envelope);
        CHECK("dropping twice is harmless", envelope.key_number == 0 && envelope.size == sizes[i]);
        CHECK("what lay in the envelope is gone",
              sizes[i] > 32 || is_all(envelope.ciphertext.near, sizes[i], 0));
        free(plain);
        free(back);
    }
}

static int refuses(const sr_sealer *sealer, uint64_t identity, const sr_envelope *envelope, unsigned char *back)
{
    memset(back, 0x77, SIZE);
    return sr_unseal(sealer, identity, envelope, back) != 0 && is_all(back, envelope->size, 0);
}

static void check_tampering(sr_sealer *sealer, size_t size)
{
    unsigned char plain[SIZE], back[SIZE];
    sr_envelope good = {0}, other = {0}, bad;
    memset(plain, 0x5A, sizeof plain);
    printf("      %u bytes\n", (unsigned)size);
    CHECK("two are sealed", sr_seal(sealer, 100, plain, size, &good, &error) == 0
                                && sr_seal(sealer, 101, plain, size, &other, &error) == 0);
    unsigned char *ciphertext = sr_envelope_ciphertext(&good);
    size_t refused = 0, bits = 8 * (size + TAG);
    for (size_t bit = 0; bit < bits; bit++) {
        ciphertext[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        refused += (size_t)refuses(sealer, 100, &good, back);
        ciphertext[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    CHECK("any bit changed is refused, and nothing of the plaintext is left", refused == bits);
    CHECK("another object's number is refused", refuses(sealer, 101, &good, back));
    bad = good;
    bad.size--;
    CHECK("another length is refused", refuses(sealer, 100, &bad, back));
    bad = good;
    bad.key_number++;
    CHECK("another key's number is refused", refuses(sealer, 100, &bad, back));
    bad = good;
    bad.counter++;
    CHECK("another nonce is refused", refuses(sealer, 100, &bad, back));
    bad = good;
    bad.ciphertext = other.ciphertext;
    CHECK("another's ciphertext is refused", refuses(sealer, 100, &bad, back));
    CHECK("the good one still opens", sr_unseal(sealer, 100, &good, back) == 0 && memcmp(plain, back, size) == 0);
    sr_envelope_drop(&good);
    sr_envelope_drop(&other);
}

static void test_tampering(sr_sealer *sealer)
{
    check_tampering(sealer, SIZE / 2); /* the ciphertext lies in the envelope */
    check_tampering(sealer, SIZE);
}

static void test_nonces(sr_sealer *sealer)
{
    unsigned char plain[8] = "a nonce";
    nonce_count = 0;
    for (int i = 0; i < MANY; i++) {
        sr_envelope envelope = {0};
        if (i == MANY / 2) {
            CHECK("a new key is taken", sr_sealer_rekey(sealer, &engine, key, &error) == 0);
        }
        sr_seal(sealer, 1, plain, sizeof plain, &envelope, &error);
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
    stand_in_encrypt(sealed, &size, key, 4, nonce, 5, NULL, nonce, key);
    CHECK("the right answer passes", sr_engine_self_test(&engine, key, nonce, nonce, 5, key, 4, sealed) == 0);
    sealed[0] ^= 1;
    CHECK("a wrong ciphertext fails", sr_engine_self_test(&engine, key, nonce, nonce, 5, key, 4, sealed) != 0);
    sealed[0] ^= 1;
    sealed[4] ^= 1;
    CHECK("a wrong tag fails", sr_engine_self_test(&engine, key, nonce, nonce, 5, key, 4, sealed) != 0);
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
    stand_in_encrypt(sealed, &size, key, 4, nonce, 5, NULL, nonce, key);
    CHECK("an engine that opens forgeries fails its self-test",
          sr_engine_self_test(&careless, key, nonce, nonce, 5, key, 4, sealed) != 0);
}

int main(void)
{
    sr_sealer sealer = {0};
    CHECK("a key is taken", sr_sealer_rekey(&sealer, &engine, key, &error) == 0 && sealer.key_number == 1);
    test_round_trip(&sealer);
    test_tampering(&sealer);
    test_nonces(&sealer);
    test_self_test();
    test_careless_engine();
    return check_result();
}
