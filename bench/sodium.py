"""The system's libsodium the way a Python user reaches its guarded heap: through ctypes."""

import ctypes
import ctypes.util
from itertools import repeat

from bench.rows import SkipError
from bench.timing import Loop


def load() -> ctypes.CDLL:
    """Return the library, ready for use.

    Raises:
        SkipError: It is not installed.
    """
    name = ctypes.util.find_library("sodium")
    if name is None:
        raise SkipError("needs the system's libsodium (Debian: apt-get install libsodium23)")
    library = ctypes.CDLL(name)
    library.sodium_malloc.restype = ctypes.c_void_p
    library.sodium_malloc.argtypes = [ctypes.c_size_t]
    for function in (library.sodium_free, library.sodium_mprotect_readonly, library.sodium_mprotect_noaccess):
        function.argtypes = [ctypes.c_void_p]
    library.sodium_free.restype = None
    if library.sodium_init() < 0:
        raise SkipError("the system's libsodium does not start (sodium_init)")
    return library


def open_read_close(size: int) -> Loop:
    """Return the loop over ``sodium_mprotect_readonly``, one read, ``sodium_mprotect_noaccess``."""
    library = load()
    address = library.sodium_malloc(size)
    if not address:
        raise SkipError("sodium_malloc is refused: out of memory")
    array = (ctypes.c_ubyte * size).from_address(address)  # once, as a careful user would

    def loop(count: int) -> int:
        byte = 0
        for _ in repeat(None, count):
            library.sodium_mprotect_readonly(address)
            byte = array[0]
            library.sodium_mprotect_noaccess(address)
        return byte

    library.sodium_mprotect_noaccess(address)
    return loop


def allocate_and_free(size: int) -> Loop:
    """Return the loop over ``sodium_malloc`` and ``sodium_free``."""
    library = load()

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            address = library.sodium_malloc(size)
            library.sodium_free(address)

    return loop
