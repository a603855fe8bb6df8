/* The ways to keep a key that is not simply there: as a hash of more than it, encrypted by the system. */
#include "named_checks.h"
#include "sealing_check.h"

static unsigned char more_memory[sizeof memory];

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

static int lies_in_memory(const unsigned char *bytes)
{
    for (size_t i = 0; i <= sizeof memory - SR_KEY_SIZE; i++) {
        if (memcmp(memory + i, bytes, SR_KEY_SIZE) == 0) {
            return 1;
        }
    }
    return 0;
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
    CHECK("under what does not lie in memory", !lies_in_memory(used));
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
    test_keepings();
    return check_result();
}
