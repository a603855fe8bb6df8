/* The envelope: nonces, what is bound into it, tampering. */
#include "named_checks.h"
#include "sealing_check.h"

static unsigned char text[SR_KEY_SIZE] = "a text for the engine's example";

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

int main(void)
{
    sr_key key = {0};
    CHECK("a key is taken", sr_key_begin(&key, &engine, SR_KEY_AS_IT_IS, NULL, memory, 1, &error) == 0 && key.number == 1);
    test_round_trip(&key);
    test_tampering(&key);
    test_nonces(&key);
    test_self_test();
    test_careless_engine();
    return check_result();
}
