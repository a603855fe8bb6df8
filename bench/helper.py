"""``helper.c`` as a library: compiled with the C compiler at hand, loaded with ctypes."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.rows import SkipError
from bench.timing import Loop

_SOURCE = Path(__file__).with_name("helper.c")


class Page:
    """A guarded page like a strongroom buffer's, made by bare system calls, for as long as this object lives."""

    def __init__(self, library: ctypes.CDLL, is_secretmem: bool) -> None:
        self._library = library
        self.address: int | None = library.bench_page_make(is_secretmem)
        if self.address is None:
            raise SkipError(f"the system refuses such a page: {os.strerror(ctypes.get_errno())}")

    def __del__(self) -> None:
        if self.address is not None:
            self._library.bench_page_free(self.address)


def must(failed: int) -> None:
    """Raise OSError for an error number other than 0."""
    if failed:
        raise OSError(failed, os.strerror(failed))


class Helper:
    """The loops of ``helper.c``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        pointer = ctypes.c_void_p
        library.bench_page_make.restype = pointer
        library.bench_page_make.argtypes = [ctypes.c_int]
        library.bench_page_free.argtypes = [pointer]
        library.bench_make_and_free.argtypes = [ctypes.c_int, ctypes.c_long]
        library.bench_reserve_commit_release.argtypes = [ctypes.c_size_t, ctypes.c_long]
        library.bench_pair.argtypes = [pointer, ctypes.c_long]
        library.bench_read_whole.argtypes = [ctypes.c_char_p, pointer, ctypes.c_size_t, ctypes.c_long]
        library.bench_decrypt.argtypes = [
            pointer, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, pointer,
            ctypes.c_long,
        ]  # fmt: skip

    def page(self, backing: str) -> Page:
        """Return a page of such memory.

        Raises:
            SkipError: The system refuses it.
        """
        return Page(self._library, backing == "secretmem")

    def pair(self, backing: str) -> Loop:
        """Return the loop over ``mprotect(READ)``, one read, ``mprotect(NONE)``."""
        page = self.page(backing)
        return lambda count: must(self._library.bench_pair(page.address, count))

    def make_and_free(self, backing: str) -> Loop:
        """Return the loop that makes such a page, wipes it and unmaps it."""
        self.page(backing)  # or the reason why there is none
        is_secretmem = backing == "secretmem"
        return lambda count: must(self._library.bench_make_and_free(is_secretmem, count))

    def reserve_commit_release(self, size: int) -> Loop:
        """Return the loop that maps address space, makes a page of it usable and unmaps it."""
        return lambda count: must(self._library.bench_reserve_commit_release(size, count))

    def read_whole(self, path: str, room: int) -> Loop:
        """Return the loop that reads a file of ``/proc`` into one buffer."""
        buffer = ctypes.create_string_buffer(room)
        return lambda count: must(self._library.bench_read_whole(path.encode(), buffer, room, count))

    def decrypt(self, function: int, sealed: bytes, bound: bytes, nonce: bytes, key: bytes) -> Loop:
        """Return the loop over a cipher's decryption, called at its address."""
        out = (ctypes.c_ubyte * len(sealed))()
        return lambda count: must(
            self._library.bench_decrypt(function, sealed, len(sealed), bound, nonce, key, out, count)
        )

    @contextmanager
    def busy_thread(self) -> Iterator[None]:
        """Let a second thread compute on one CPU, without ever entering the interpreter; keep this one on another.

        Raises:
            SkipError: This process may use only one CPU.
        """
        cpus = os.sched_getaffinity(0)
        if len(cpus) < 2:
            raise SkipError("needs two CPUs")
        mine, other = sorted(cpus)[:2]
        os.sched_setaffinity(0, {mine})
        try:
            must(self._library.bench_spinner_start(other))
            try:
                yield
            finally:
                must(self._library.bench_spinner_stop())
        finally:
            os.sched_setaffinity(0, cpus)


def compile_library(sources: Sequence[Path], flags: Sequence[str], libraries: Sequence[str] = ()) -> ctypes.CDLL:
    """Compile C files to a library and load it.

    Raises:
        SkipError: Not Linux, or no C compiler.
    """
    if sys.platform != "linux":
        raise SkipError("needs Linux: the bare system calls are written for it")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SkipError("needs a C compiler (Debian: apt-get install gcc)")
    with tempfile.TemporaryDirectory() as directory:  # a library stays usable after its file is gone
        library = Path(directory, "library.so")
        command = [compiler, *flags, "-shared", "-fPIC", "-pthread", *map(str, sources), "-o", str(library)]
        command += [f"-l{name}" for name in libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SkipError(f"the C compiler fails: {done.stderr.strip().splitlines()[-1:]}")
        return ctypes.CDLL(str(library), use_errno=True)


def build() -> Helper:
    """Compile and load the helper.

    Raises:
        SkipError: Not Linux, or no C compiler.
    """
    return Helper(compile_library([_SOURCE], ["-O2"]))
