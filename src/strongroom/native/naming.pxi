# What an error calls a constructor: the name of its class. A part of _native.pyx.

# Cython's words name the function that it makes of a class's arguments, "__cinit__() takes exactly 2 positional arguments
# (1 given)", and who wrote FileBuffer(1) knows of none. So what makes an object stands behind one more call, which puts
# the name right when there is such an error; what is made pays for that call, a nanosecond or two, and for nothing else.
cdef extern from *:
    """
    /* "__cinit__() takes" becomes "FileBuffer() takes"; other words, and these where memory is short, stay. */
    static void sr_put_name_right(PyTypeObject *type)
    {
        PyObject *kind, *error, *traceback, *words, *made_up, *name, *rest, *better = NULL;
        PyErr_Fetch(&kind, &error, &traceback);
        words = error == NULL ? NULL : PyObject_Str(error);
        made_up = PyUnicode_FromString("__cinit__()");
        if (words != NULL && made_up != NULL && PyUnicode_Tailmatch(words, made_up, 0, PY_SSIZE_T_MAX, -1) == 1) {
            name = PyType_GetName(type);
            rest = PyUnicode_Substring(words, PyUnicode_GET_LENGTH(made_up), PY_SSIZE_T_MAX);
            if (name != NULL && rest != NULL)
                better = PyUnicode_FromFormat("%U()%U", name, rest);
            Py_XDECREF(name);
            Py_XDECREF(rest);
        }
        PyErr_Clear();
        Py_XDECREF(words);
        Py_XDECREF(made_up);
        if (better != NULL)
            Py_XSETREF(error, better);
        PyErr_Restore(kind, error, traceback);
    }

    static PyObject *sr_named(PyObject *made, PyTypeObject *type)
    {
        if (made == NULL && PyErr_ExceptionMatches(PyExc_TypeError))
            sr_put_name_right(type);
        return made;
    }

    /* Calls of the class itself come through tp_vectorcall, those of subclasses and of __new__ through tp_new. */
    #define SR_NAMED(kind) \\
        static newfunc sr_bare_new_##kind; \\
        static vectorcallfunc sr_bare_call_##kind; \\
        static PyObject *sr_new_##kind(PyTypeObject *type, PyObject *arguments, PyObject *words) \\
        { \\
            return sr_named(sr_bare_new_##kind(type, arguments, words), type); \\
        } \\
        static PyObject *sr_call_##kind(PyObject *type, PyObject *const *arguments, size_t count, PyObject *words) \\
        { \\
            return sr_named(sr_bare_call_##kind(type, arguments, count, words), (PyTypeObject *)type); \\
        } \\
        static void sr_name_##kind(PyObject *object) \\
        { \\
            PyTypeObject *type = (PyTypeObject *)object; \\
            sr_bare_new_##kind = type->tp_new; \\
            sr_bare_call_##kind = type->tp_vectorcall; \\
            type->tp_new = sr_new_##kind; \\
            if (type->tp_vectorcall != NULL) \\
                type->tp_vectorcall = sr_call_##kind; \\
        }

    SR_NAMED(locked)
    SR_NAMED(volatile)
    SR_NAMED(file)
    """
    void sr_name_locked(object)
    void sr_name_volatile(object)
    void sr_name_file(object)

sr_name_locked(LockedBuffer)
sr_name_volatile(VolatileBuffer)
sr_name_file(FileBuffer)
