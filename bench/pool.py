"""``pool.c`` as a library: the package's pool of slots, called from C by as many threads as there are CPUs."""

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.helper import compile_library, must
from bench.rows import SkipError
from bench.timing import Loop

_ROOT = Path(__file__).parents[1]


class Crew:
    """Threads that wait for work, each on a CPU of its own; this one is the first of them."""

    def __init__(self, library: ctypes.CDLL, thread_count: int) -> None:
        self._library = library
        self.thread_count = thread_count

    def loop(self, threads: int) -> Loop:
        """Return the loop in which that many threads take and give back a slot, each as often as it is told."""
        return lambda count: must(self._library.bench_pool_turn(threads, count))


def _build() -> ctypes.CDLL:
    sys.path.insert(0, str(_ROOT))
    from native_sources import compile_args, libraries, sources

    flags = [*(sysconfig.get_config_var("CFLAGS") or "-O2").split(), *compile_args("linux")]
    files = [_ROOT / "bench" / "pool.c", *(_ROOT / name for name in sources("linux"))]
    library = compile_library(files, [*flags, f"-I{_ROOT / 'src/strongroom/native'}"], libraries("linux"))
    library.bench_pool_begin.argtypes = [ctypes.c_size_t, ctypes.POINTER(ctypes.c_int), ctypes.c_int]
    library.bench_pool_turn.argtypes = [ctypes.c_int, ctypes.c_long]
    return library


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    """Yield a thread on each CPU that this process may use, for slots of ``size`` bytes.

    Raises:
        SkipError: Only one CPU, no C compiler, or no memory to be locked.
    """
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        raise SkipError("needs two CPUs")
    library = _build()
    try:
        failed = library.bench_pool_begin(size, (ctypes.c_int * len(cpus))(*sorted(cpus)), len(cpus))
        if failed:
            raise SkipError(f"the pool cannot begin: {os.strerror(failed)}")
        try:
            yield Crew(library, len(cpus))
        finally:
            must(library.bench_pool_end())
    finally:
        os.sched_setaffinity(0, cpus)
