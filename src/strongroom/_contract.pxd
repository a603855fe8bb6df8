# What the C layer declares, as far as _native.pyx uses it; the headers say what each thing means.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

cdef extern from "Python.h":
    int Py_AtExit(void (*function)() noexcept)
    Py_ssize_t Py_REFCNT(PyObject *)

cdef extern from "native/sr_os.h" nogil:
    ctypedef struct sr_error:
        const char *call
        int64_t code
    ctypedef enum sr_protection:
        SR_READ_ONLY
        SR_READ_WRITE
    int sr_os_is_lock_limit(const sr_error *error)
    int sr_os_random(void *buffer, size_t size, sr_error *error)
    void sr_os_wipe(void *address, size_t size)
    int sr_os_environment_size(const char *name, size_t *size, sr_error *error)
    int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error)
    int sr_os_environment_wipe(const char *name, sr_error *error)
    size_t sr_os_page_size()
    size_t sr_os_granularity()

cdef extern from "native/generation.h" nogil:
    uint64_t sr_generation()

cdef extern from "native/guarded.h" nogil:
    enum: SR_CANARY_SIZE
    enum: SR_STEP_LOCK
    enum: SR_STEP_COUNT
    ctypedef enum sr_backing:
        SR_BACKING_LOCKED
        SR_BACKING_SECRETMEM
    ctypedef struct sr_block:
        unsigned char *reservation
        size_t reserved_size
        unsigned char *pages
        size_t pages_size
        unsigned char *data
        size_t size
        uint64_t generation
        sr_backing backing
        sr_protection protection
        sr_error outcomes[SR_STEP_COUNT]
    int sr_blocks_begin(sr_error *error)
    size_t sr_block_max_size()
    int sr_block_create(sr_block *block, size_t size, sr_backing backing, unsigned required, sr_error *error)
    int sr_block_close(sr_block *block, sr_error *error)
    int sr_block_protect(sr_block *block, sr_protection protection, sr_error *error)
    void sr_block_place(sr_block *block, size_t size)
    int sr_block_is_intact(const sr_block *block)
    int sr_block_wipe(sr_block *block, sr_error *error)
    int sr_block_destroy(sr_block *block, sr_error *error)
    void sr_block_forget(sr_block *block)
    void sr_blocks_wipe_all()
    void sr_blocks_die()

cdef extern from "native/sealing.h" nogil:
    enum: SR_KEY_SIZE
    ctypedef int (*sr_encrypt)(unsigned char *, unsigned long long *, const unsigned char *, unsigned long long)
    ctypedef int (*sr_decrypt)(unsigned char *, unsigned long long *, unsigned char *, const unsigned char *)
    ctypedef struct sr_engine:
        sr_encrypt encrypt
        sr_decrypt decrypt
        size_t nonce_size
        size_t tag_size
    ctypedef struct sr_sealer:
        const unsigned char *key
        uint64_t key_number
    ctypedef struct sr_envelope:
        uint64_t key_number
        size_t size
        unsigned char *ciphertext
    int sr_engine_self_test(const sr_engine *engine, const unsigned char *key, const unsigned char *nonce,
                            const unsigned char *bound, size_t bound_size, const unsigned char *message,
                            size_t message_size, const unsigned char *expected)
    int sr_sealer_rekey(sr_sealer *sealer, const sr_engine *engine, const unsigned char *key, sr_error *error)
    int sr_seal(sr_sealer *sealer, uint64_t identity, const unsigned char *plain, size_t size,
                sr_envelope *envelope, sr_error *error)
    int sr_unseal(const sr_sealer *sealer, const sr_envelope *envelope, unsigned char *plain)
    void sr_envelope_drop(sr_envelope *envelope)
