# The second engine: a cipher of a Python library, behind the two C functions that an engine is. A part of _native.pyx.

cdef extern from "Python.h":
    int PyGC_Disable()
    int PyGC_Enable()
    int PyException_SetTraceback(object error, object trace)

cdef enum:
    LIBRARY_NONCE_SIZE = 12  # RFC 8439, section 2.8: 96 bits
    LIBRARY_TAG_SIZE = 16

cdef object _library_cipher = None    # cryptography's class, of which each call makes an object of its own
cdef object _library_forged = None    # what it raises for a tag that does not fit
cdef object _engine_failure = None    # why the last call failed, if it was for another reason than the tag
cdef dict _engine_names = {}          # by the address of the function that encrypts


@cython.final
@cython.no_gc  # it refers to nothing; and to make one must not start a collection
@cython.freelist(8)
cdef class _Loan:
    """Memory lent to a library as a buffer, for the length of one call."""

    cdef const unsigned char *start
    cdef size_t size
    cdef bint is_writable
    cdef int exports

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self.start == NULL:
            raise BufferError("the call that this memory was lent for is over")
        PyBuffer_FillInfo(buffer, self, <void *>self.start, self.size, not self.is_writable, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1


cdef _Loan _lend(const unsigned char *start, size_t size, bint is_writable=False):
    cdef _Loan loan = _Loan.__new__(_Loan)
    loan.start = start
    loan.size = size
    loan.is_writable = is_writable
    return loan


cdef inline int _end_loan(_Loan loan):
    loan.start = NULL
    return loan.exports


cdef int _call_library(bint is_sealing, unsigned char *out, size_t out_size, const unsigned char *source,
                       size_t size, const unsigned char *bound, size_t bound_size, const unsigned char *nonce,
                       const unsigned char *key) except -1:
    """With an object for this call alone: as long as one lives the key is on the heap twice; freed, it is wiped.

    Where the library is built to run Python code on the way, other threads may run too. So ciphertext, which one of
    them may destroy, is copied; all other memory belongs to the caller until this returns.
    """
    cdef _Loan to = _lend(out, out_size, True), tied = _lend(bound, bound_size), once = _lend(nonce, LIBRARY_NONCE_SIZE)
    cdef _Loan under = _lend(key, SR_KEY_SIZE), plain = _lend(source, size if is_sealing else 0)
    text = None if is_sealing else PyBytes_FromStringAndSize(<const char *>source, size)  # before any of its code runs
    try:
        cipher = _library_cipher(under)
        if is_sealing:
            written = cipher.encrypt_into(once, plain, tied, to)
        else:
            written = cipher.decrypt_into(once, text, tied, to)
    finally:
        cipher = None
        kept = _end_loan(to) + _end_loan(tied) + _end_loan(once) + _end_loan(under) + _end_loan(plain)
    if kept != 0:
        raise BufferError("the library keeps memory that was lent to it")
    if written != out_size:
        raise ValueError("the library wrote another number of bytes")
    return 0


cdef int _run_library(bint is_sealing, unsigned char *out, unsigned long long out_size, unsigned long long *done,
                      const unsigned char *source, unsigned long long size, const unsigned char *bound,
                      unsigned long long bound_size, const unsigned char *nonce, const unsigned char *key) noexcept:
    """What C code calls: no exception leaves it, whoever called takes it from ``_engine_failure``.

    The collector is off meanwhile: it runs anybody's finalizers, and the caller is in the middle of a secret. Success
    is told by ``done`` as well, as a function that must not raise returns 0 if it does.
    """
    global _engine_failure
    cdef bint is_done = False
    cdef int did_collect = PyGC_Disable()
    done[0] = 0
    try:
        _call_library(is_sealing, out, out_size, source, size, bound, bound_size, nonce, key)
        is_done = True
    except BaseException as error:
        if type(error) is not _library_forged:
            PyException_SetTraceback(error, None)  # its frames may hold what was lent
            _engine_failure = error
    if did_collect:
        PyGC_Enable()
    if not is_done:
        sr_os_wipe(out, out_size)  # the library leaves all of an unauthenticated plaintext there
        return -1
    done[0] = out_size
    return 0


cdef int _library_encrypt(unsigned char *out, unsigned long long *out_size, const unsigned char *source,
                          unsigned long long size, const unsigned char *bound, unsigned long long bound_size,
                          const unsigned char *unused, const unsigned char *nonce, const unsigned char *key) noexcept:
    return _run_library(True, out, size + LIBRARY_TAG_SIZE, out_size, source, size, bound, bound_size, nonce, key)


cdef int _library_decrypt(unsigned char *out, unsigned long long *out_size, unsigned char *unused,
                          const unsigned char *source, unsigned long long size, const unsigned char *bound,
                          unsigned long long bound_size, const unsigned char *nonce, const unsigned char *key) noexcept:
    out_size[0] = 0
    if size < LIBRARY_TAG_SIZE:
        return -1
    return _run_library(False, out, size - LIBRARY_TAG_SIZE, out_size, source, size, bound, bound_size, nonce, key)


cdef object _taken_failure():
    """The exception to raise for an engine's call that failed, or None if the tag did not fit; asking forgets it."""
    global _engine_failure
    cause, _engine_failure = _engine_failure, None
    if cause is None or isinstance(cause, MemoryError) or not isinstance(cause, Exception):
        return cause
    error = UnsupportedError(f"cryptography's cipher failed with {type(cause).__name__}: the secret itself is unharmed")
    error.__cause__ = cause
    return error


cdef int _raise_engine_failure() except -1:
    failure = _taken_failure()
    if failure is not None:
        raise failure
    return 0


def use_library(cipher, invalid_tag):
    """Return the addresses of two functions, in C, that encrypt and decrypt with this class of ``cryptography``.

    ``cipher(key)`` makes an object with ``encrypt_into`` and ``decrypt_into``, which raises ``invalid_tag``.
    """
    global _library_cipher, _library_forged
    _library_cipher, _library_forged = cipher, invalid_tag
    return <size_t>&_library_encrypt, <size_t>&_library_decrypt


def name_engine(size_t encrypt, str name):
    """Have the engine that encrypts with the function at this address be called so."""
    _engine_names[encrypt] = name


def engine_in_use():
    """The name of the engine that secrets of this process are sealed with, None before the first."""
    cdef Key *key
    for kind in range(KINDS):
        key = _sealing_key(kind)
        if key != NULL:
            return _engine_names.get(<size_t>key.native.engine.encrypt)
    return None
