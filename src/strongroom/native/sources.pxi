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


def fill_random(View view not None):
    """Fill a writable View from the operating system's generator."""
    cdef sr_error error
    view.require_writable()
    if sr_os_random(view.data, view.size, &error):
        _raise(&error)


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
    if sr_os_environment_read(name, view.data, view.size, &error):
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
