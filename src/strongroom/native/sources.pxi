# Where secrets come from: the generator, the environment, objects they lie in. A part of _native.pyx.

def buffer_start(thing):
    """Where the buffer of a memoryview or an array begins, or None if it has none now."""
    cdef Py_buffer buffer
    try:
        PyObject_GetBuffer(thing, &buffer, PyBUF_FULL_RO)
    except Exception:  # released, or not a buffer at all: as good as none
        return None
    PyBuffer_Release(&buffer)
    return <size_t>buffer.buf


cdef int _wipe_buffer(object target) except -1:
    """Overwrite a writable contiguous buffer with zeros, wherever it lies."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE)
    sr_os_wipe(buffer.buf, buffer.len)
    PyBuffer_Release(&buffer)
    return 0


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void *PyUnicode_DATA(object)


def decode(str form not None, source, View view not None):
    """Decode text, ``"hex"`` or ``"base64"``, straight into a writable View; return how many bytes that gave.

    The text is bytes or a str. Of a str nothing is copied: one that is ASCII has its characters as bytes.
    """
    cdef Py_buffer buffer
    cdef size_t written = 0, position = 0
    cdef sr_decoded outcome
    cdef bint is_hex = form == "hex"
    cdef const unsigned char *text
    if isinstance(source, str):
        if not PyUnicode_IS_ASCII(source):
            raise ValueError(f"{form}: the text has characters that are not ASCII")
        view.require_writable()
        text = <const unsigned char *>PyUnicode_DATA(source)
        outcome = _decode(is_hex, text, PyUnicode_GET_LENGTH(source), view, &written, &position)
    else:
        PyObject_GetBuffer(source, &buffer, PyBUF_SIMPLE)  # may run code of the source's own; so nothing before it counts
        try:
            view.require_writable()
            outcome = _decode(is_hex, <const unsigned char *>buffer.buf, buffer.len, view, &written, &position)
        finally:
            PyBuffer_Release(&buffer)
    if outcome == SR_NOT_A_DIGIT:
        raise ValueError(f"{form}: the character at position {position:,} is no digit of it")
    if outcome == SR_CUT_SHORT:
        raise ValueError(f"{form}: the text is cut short, or has padding or bits at its end that stand for nothing")
    if outcome == SR_NO_ROOM:
        raise ValueError(f"{form}: the text is for more than {view.size:,} bytes")
    if written == 0:
        raise ValueError(f"{form}: there is nothing in the text")
    return written


cdef sr_decoded _decode(bint is_hex, const unsigned char *text, size_t size, View view, size_t *written,
                        size_t *position) noexcept:
    if is_hex:
        return sr_decode_hex(text, size, view.data, view.size, written, position)
    return sr_decode_base64(text, size, view.data, view.size, written, position)


def fill_random(target):
    """Fill a writable contiguous buffer, or a View, from the operating system's generator."""
    cdef sr_error error
    cdef Py_buffer buffer
    cdef int failed
    PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE)
    failed = sr_os_random(buffer.buf, buffer.len, &error)
    PyBuffer_Release(&buffer)
    if failed:
        _raise(&error)


def wipe(target):
    """Overwrite a writable contiguous buffer with zeros, wherever it lies."""
    _wipe_buffer(target)


def environment_size(bytes name not None):
    """Bytes of the C environment's value of ``name``, or None if there is no such variable."""
    cdef sr_error error
    cdef size_t size
    if sr_os_environment_size(name, &size, &error) == 0:
        return size
    if error.code == NO_SUCH_CALL:
        return None
    _raise(&error)


def environment_read(bytes name not None, View view not None):
    """Copy the C environment's value straight into a writable View of exactly its size."""
    cdef sr_error error
    view.require_writable()
    cdef int failed = sr_os_environment_read(name, view.data, view.size, &error)
    sr_forget_registers()  # the copy went through them, and whoever saves them writes it to memory: scrub.h
    if failed:
        _raise(&error)


def environment_wipe(bytes name not None):
    """Overwrite the C environment's value where it lies and remove the variable."""
    cdef sr_error error
    if sr_os_environment_wipe(name, &error):
        _raise(&error)


def wipe_only_bytes(dict owner not None, key):
    """Overwrite the bytes object ``owner[key]`` in place if the dictionary is its only owner; say whether it was."""
    cdef PyObject *value = PyDict_GetItem(owner, key)
    if value == NULL or not PyBytes_CheckExact(<object>value):
        return False
    # Short values may be the interpreter's own shared objects; those have more owners than this dictionary.
    if Py_REFCNT(value) != 1:
        return False
    sr_os_wipe(PyBytes_AS_STRING(<object>value), PyBytes_GET_SIZE(<object>value))
    return True
