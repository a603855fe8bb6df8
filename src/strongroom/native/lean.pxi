# Classes with Python methods whose objects are as small as compiled ones. A part of _native.pyx.

# A class statement makes types whose objects the garbage collector tracks, for which each of them pays 16 bytes: because
# an object might be stored in its own class. Ours refer to nothing that could refer back.
cdef extern from *:
    """
    static PyObject *sr_lean_type(const char *name, PyObject *bases)
    {
        PyType_Slot slots[] = {{0, NULL}};
        PyType_Spec spec = {name, 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
        return PyType_FromSpecWithBases(&spec, bases);
    }
    """
    object sr_lean_type(const char *name, object bases)

cdef list _lean_names = []  # what types of Python 3.11 refer to


def lean(cls):
    """Return a class like this one, whose objects the garbage collector does not track: a class decorator.

    For subclasses of this module's types with empty ``__slots__`` and no ``super()`` in their methods.
    """
    name = f"{cls.__module__}.{cls.__qualname__}".encode()
    _lean_names.append(name)
    made = sr_lean_type(name, cls.__bases__)
    for key, value in vars(cls).items():
        if key not in ("__slots__", "__module__"):
            setattr(made, key, value)
    made.__module__ = cls.__module__
    return made
