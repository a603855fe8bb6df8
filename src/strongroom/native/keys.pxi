# The keys that secrets are sealed under. A part of _native.pyx.

# What a key is for: bits, and together the place of the key that seals such secrets now.
cdef enum:
    KEPT = 1      # secrets that open in children too
    SHIELDED = 2
    KINDS = 4
    #: Keys there may be at a time: those that seal, and earlier ones under which there still are secrets.
    MOST_KEYS = 16

cdef struct Key:
    sr_key native
    uint64_t generation   # 0: there is none
    uint64_t living       # secrets sealed under it
    int32_t purges
    unsigned kind
    bint seals            # or only opens what was sealed before

cdef Key _keys[MOST_KEYS]  # a key's place is its number modulo that
cdef list _key_blocks = [None] * MOST_KEYS
cdef Key *_current[KINDS]
cdef uint32_t _last_key_number = 0
cdef uint32_t _first_key_number = 0  # of this process; secrets under an older key are a parent's
cdef uint64_t _key_generation = 0
cdef object _draw_key = None
cdef str _FORGET = "forget"
cdef str _not_handed_over = "the fork did not run Python's at-fork hooks (os.register_at_fork)"


def install_key_maker(maker):
    """Tell this layer whom to ask for a key: ``maker(kind)`` calls ``begin_key``; strongroom.secret does it once."""
    global _draw_key
    _draw_key = maker


cdef inline bint _is_there(const Key *key) noexcept:
    """If not, it is a parent's or was purged, perhaps by a signal that left it there: ending.pxi."""
    return key.generation == sr_generation() and key.purges == _purges


cdef inline Key *_key_numbered(uint32_t number) noexcept:
    cdef Key *key = &_keys[number % MOST_KEYS]
    return key if key.native.number == number and number and _is_there(key) else NULL


cdef inline Key *_sealing_key(unsigned kind) noexcept:
    cdef Key *key = _current[kind]
    return key if key != NULL and _is_there(key) and key.seals else NULL


cdef unsigned _kind_of(object in_children, object shielded) except? KINDS:
    """Which key seals such secrets; there is one afterwards."""
    cdef unsigned kind = 0
    if in_children is not _FORGET:
        if not isinstance(in_children, str):
            raise TypeError(f"in_children must be 'forget' or 'keep', not {_describe(in_children)}")
        if in_children == "keep":
            kind = KEPT
        elif in_children != _FORGET:
            raise ValueError(
                f"in_children must be 'forget' or 'keep', not another str of {len(in_children)} characters")
    if shielded is True:
        kind |= SHIELDED
    elif shielded is not False:
        raise TypeError(f"shielded must be True or False, not {_describe(shielded)}")
    if _sealing_key(kind) == NULL:
        _draw_key(kind)
    return kind


cpdef bint has_key(unsigned kind=0) noexcept:
    """Whether there is a key in this process to seal such secrets under."""
    return kind < KINDS and _sealing_key(kind) != NULL


def key_kinds():
    """The kinds of keys there are now."""
    return [kind for kind in range(KINDS) if _sealing_key(kind) != NULL]


cdef sr_keeping _keeping_of(unsigned kind) noexcept:
    return SR_KEY_SHIELDED if kind & SHIELDED else sr_key_usual_keeping()


def key_memory_size(unsigned kind):
    """Bytes of locked memory that a key of this kind takes."""
    return sr_key_memory_size(_keeping_of(kind))


def begin_key(Block block not None, unsigned kind, size_t encrypt, size_t decrypt, size_t nonce_size, size_t tag_size,
              example, size_t hashing=0):
    """Draw a key into a block and take it into use, with the engine whose functions lie at these addresses.

    ``example`` is the engine's published test vector ``(key, nonce, bound, message, sealed)``. ``hashing`` is libsodium's
    ``crypto_generichash_blake2b_salt_personal``, for shielded keys. False if the engine does not compute what was published.
    """
    cdef sr_engine engine
    cdef bytes k, n, a, m, c
    engine.encrypt = <sr_encrypt>encrypt
    engine.decrypt = <sr_decrypt>decrypt
    engine.nonce_size = nonce_size
    engine.tag_size = tag_size
    k, n, a, m, c = example
    if kind >= KINDS or bool(kind & SHIELDED) != bool(hashing):
        raise ValueError("a shielded key has a hash function, and no other key has")
    if _sealing_key(kind) != NULL:  # another thread was first; a second key would orphan what was sealed under its
        return True
    if encrypt == <size_t>&_library_encrypt and _keeping_of(kind) != SR_KEY_AS_IT_IS:
        # Other threads may run in the middle of a call, and would share the one place for the key of the moment.
        raise UnsupportedError("shielded=True takes PyNaCl's libsodium: leave it out, or install PyNaCl>=1.6.2,<1.8")
    failed = sr_engine_self_test(&engine, k, n, a, len(a), m, len(m), c)
    failure = _taken_failure()
    if failure is not None and not isinstance(failure, UnsupportedError):
        raise failure
    if failed or (hashing and sr_hash_self_test(<sr_hash>hashing)):
        return False
    if _sealing_key(kind) != NULL:  # another thread was first, while an engine in Python computed
        return True
    _begin_key(block, kind, &engine, <sr_hash>hashing)
    return True


def replace_key(Block block not None, unsigned kind):
    """Seal under a new key from now on. The earlier one stays for what was sealed under it, and goes with the last."""
    cdef Key *old = _sealing_key(kind)
    if old == NULL:  # purged meanwhile
        return
    _begin_key(block, kind, &old.native.engine, old.native.hash)
    old.seals = False
    if not old.living:
        _end_key(old)


cdef int _begin_key(Block block, unsigned kind, const sr_engine *engine, sr_hash hash) except -1:
    global _key_generation, _first_key_number
    cdef sr_error error
    cdef sr_keeping keeping = _keeping_of(kind)
    cdef Key *key = _vacant()
    cdef uint32_t number = _last_key_number
    cdef int failed
    if block.size != sr_key_memory_size(keeping):
        raise ValueError(f"a key of this kind takes {sr_key_memory_size(keeping)} bytes")
    block.enter(True)
    failed = sr_key_begin(&key.native, engine, keeping, hash, block.place.data, number, &error)
    block.leave(True)
    if failed:
        _raise(&error)
    if _key_generation != sr_generation():
        _first_key_number = number
        _key_generation = sr_generation()
    _admit(block, key, kind)
    key.living = 0
    key.seals = True
    _current[kind] = key
    return 0


cdef Key *_vacant() except NULL:
    """A place for one more key; its number is the last one then."""
    global _last_key_number
    cdef uint32_t number = _last_key_number
    for _ in range(MOST_KEYS + 1):
        number += 1
        if number and not _is_there(&_keys[number % MOST_KEYS]):
            _last_key_number = number
            return &_keys[number % MOST_KEYS]
    raise UnsupportedError(
        f"there are {MOST_KEYS} keys, and secrets sealed under each: open every secret once, which seals it under the "
        "newest, or destroy those that nobody needs; then rekey()")


cdef int _admit(Block block, Key *key, unsigned kind) except -1:
    """What is in this block is a key of this process from now on; it stays readable."""
    block.enter(key.native.keeping != SR_KEY_AS_IT_IS)
    key.kind = kind
    key.purges = block.purges
    key.generation = block.generation
    _key_blocks[key - _keys] = block
    return 0


cdef void _end_key(Key *key) noexcept:
    """The last secret that was sealed under it is gone."""
    key.generation = 0
    _key_blocks[key - _keys] = None


cdef Block _hold(Key *key):
    """Count one more use of a key; until the block returned goes, its memory stays, whatever ends the key."""
    key.living += 1
    return <Block>_key_blocks[key - _keys]


cdef void _let_go(Key *key, uint32_t number) noexcept:
    if key.native.number != number:  # purged, and its place taken by another
        return
    key.living -= 1
    if not key.living and not key.seals and key.generation == sr_generation():
        _end_key(key)


cdef void _drop_envelope(sr_envelope *envelope) noexcept:
    """Wipe what is in it, and end the key that nobody else was sealed under."""
    cdef Key *key = &_keys[envelope.key_number % MOST_KEYS]
    cdef uint32_t number
    if envelope.key_number and key.native.number == envelope.key_number and key.generation == sr_generation():
        number = envelope.key_number
        sr_envelope_drop(envelope)
        _let_go(key, number)
    else:
        sr_envelope_drop(envelope)


cdef int _refuse_sealed(uint32_t number, str kind) except -1:
    """Say why there is no key of this number."""
    cdef Key *key = &_keys[number % MOST_KEYS]
    if number == 0:
        raise DestroyedError(f"this {kind} was destroyed")
    is_known = key.native.number == number
    if is_known and key.generation == sr_generation() or not is_known and (
            _key_generation == sr_generation() and number >= _first_key_number):
        raise PurgedError(f"this {kind} was destroyed by purge()")
    if is_known and key.kind & KEPT:
        raise ForkedError(f"this {kind} was sealed before a fork and its key did not reach this child: {_not_handed_over}")
    raise ForkedError(
        f"this {kind} was sealed before a fork and its key is not in this child: make it after the fork (gunicorn: "
        "post_fork, uWSGI: postfork, multiprocessing: in the worker's initializer), or in the parent with "
        "in_children='keep'")


#: For strongroom.secret, the bits.
KEPT_KEY, SHIELDED_KEY = KEPT, SHIELDED


# ---- handing keys over to a child: strongroom.secret.forking says how ----

def kept_keys():
    """Return ``(number, bytes that a child needs of it, bytes it takes)`` for each key that children shall have."""
    return [(key.native.number, sr_key_content_size(key.native.keeping), sr_key_memory_size(key.native.keeping))
            for key in _keys[:MOST_KEYS] if key.kind & KEPT and _is_there(&key)]


def mask_key(uint32_t number, pad, View view not None):
    """Write a key into a View, each byte masked by the pad's; they are of one size.

    False if it has ended since it was listed: nothing is sealed under it any more.
    """
    cdef Key *key = &_keys[number % MOST_KEYS]
    if key.purges != _purges:
        raise PurgedError("the key was purged")
    if _key_numbered(number) == NULL:
        return False
    view.require_writable()
    _mask(view.data, key.native.memory, pad, view.size)
    sr_forget_registers()
    return True


def adopt_key(Block block not None, uint32_t number, pad):
    """In a child: what lies masked in this block is the parent's key of that number. It opens secrets and seals none.

    The parent goes on sealing under it, and two processes must not use one key's nonces.
    """
    cdef Key *key = &_keys[number % MOST_KEYS]
    if key.native.number != number or key.generation == sr_generation():
        raise ValueError(f"there is no inherited key of number {number}")
    if block.size != sr_key_memory_size(key.native.keeping):
        raise ValueError(f"this key takes {sr_key_memory_size(key.native.keeping)} bytes")
    block.enter(True)
    try:
        _mask(block.place.data, block.place.data, pad, sr_key_content_size(key.native.keeping))
    finally:
        block.leave(True)
    key.native.memory = block.place.data
    key.seals = False
    _admit(block, key, key.kind)


def note_hand_over(str problem not None):
    """In a child: say why kept keys are not there, for whoever asks for one."""
    global _not_handed_over
    _not_handed_over = problem


cdef int _mask(unsigned char *to, const unsigned char *source, object pad, size_t size) except -1:
    cdef Py_buffer buffer
    cdef size_t i
    PyObject_GetBuffer(pad, &buffer, PyBUF_SIMPLE)
    if <size_t>buffer.len != size:
        PyBuffer_Release(&buffer)
        raise ValueError(f"a pad of {size} bytes is needed")
    for i in range(size):
        to[i] = source[i] ^ (<const unsigned char *>buffer.buf)[i]
    PyBuffer_Release(&buffer)
    return 0
