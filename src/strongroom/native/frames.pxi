# The local variables of running functions, without a trace of having looked. A part of _native.pyx.

# frame.f_locals is no way to look, up to Python 3.12: it makes a copy that lives as long as the frame, and while a trace
# function runs, whatever is in that copy becomes the variables when it returns. PyFrame_GetVar came with 3.12; the
# structure that 3.11 keeps them in does not change any more.
cdef extern from *:
    """
    #include <frameobject.h>
    #if PY_VERSION_HEX < 0x030c0000
    #ifndef Py_BUILD_CORE
    #define Py_BUILD_CORE 1
    #endif
    #include <internal/pycore_frame.h>
    #endif

    /* A new reference, or NULL with or without an error: there is no value. */
    static PyObject *sr_local_value(PyObject *frame, PyObject *name, Py_ssize_t position)
    {
    #if PY_VERSION_HEX < 0x030c0000
        PyObject *value = ((PyFrameObject *)frame)->f_frame->localsplus[position];
        (void)name;
        if (value != NULL && PyCell_Check(value)) {
            value = PyCell_GET(value);
        }
        Py_XINCREF(value);
        return value;
    #else
        (void)position;
        return PyFrame_GetVar((PyFrameObject *)frame, name);
    #endif
    }
    """
    PyObject *sr_local_value(object frame, object name, Py_ssize_t position) noexcept


def local_variables(frame):
    """The variables that have a value in the frame of a function that runs, as pairs of name and value.

    Not of a generator that was closed: Python 3.13.0 leaves freed objects in its frame.
    """
    code = frame.f_code
    names = list(code.co_varnames)
    names += [name for name in code.co_cellvars if name not in code.co_varnames]
    names += code.co_freevars
    found = []
    cdef Py_ssize_t position
    cdef PyObject *value
    for position in range(len(names)):
        value = sr_local_value(frame, names[position], position)
        if value == NULL:
            PyErr_Clear()
        else:
            found.append((names[position], <object>value))
            Py_DECREF(<object>value)
    return found
