# What keeps a secret, whether sealed or as it is. A part of _native.pyx.

cdef class Keeper:
    """What no f-string, log line, pickle or copy gets anything out of."""

    def __str__(self):
        raise TypeError(f"a {type(self).__name__} never becomes text by itself: open() it and read the View")

    def __format__(self, spec):
        return self.__str__()

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: its bytes would leave protected memory")
