"""What a test may need of the system it runs on, as marks with a reason to skip."""

import ctypes
import functools
import mmap
import os
import sys
import tempfile

import pytest

WINDOWS = sys.platform == "win32"
LINUX = sys.platform.startswith("linux")

linux = pytest.mark.skipif(not LINUX, reason="needs Linux: reads /proc, or makes its system calls fail")
unix = pytest.mark.skipif(WINDOWS, reason="needs a Unix: its signals, terminals or environment")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: Windows has none")
closed_pages = pytest.mark.skipif(
    WINDOWS, reason="needs pages that stay locked while inaccessible: on Windows a closed buffer is readable"
)


@functools.cache
def can_lock(size: int) -> bool:
    """Whether the system locks so many bytes more for this process, tried. Elsewhere than on Linux it is not asked."""
    if not LINUX:
        return True
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    return not ctypes.CDLL(None).mlock(address, ctypes.c_size_t(size))


def lock_reason(size: int) -> str:
    """Why a test that locks so many bytes is skipped; 64 KiB is all that Linux gave a user by itself before 5.16."""
    return f"needs to lock {size // 1024:,} KiB: 'ulimit -l {size // 1024 + 64}', or CAP_IPC_LOCK"


def locks(size: int) -> pytest.MarkDecorator:
    """Skip a test where less may be locked."""
    return pytest.mark.skipif(not can_lock(size), reason=lock_reason(size))


#: More than any test here locks at a time that has this mark.
much_locked = locks(4 << 20)

#: A socket's name has at most 107 bytes (unix(7)): what multiprocessing, PostgreSQL and Chromium put below a directory
#: for temporary files takes 40 of them.
_SHORT_SIZE = 60


def short_directory() -> str:
    """A directory for temporary files in which programs may have sockets; skips where there is none."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(place)) <= _SHORT_SIZE and os.access(place, os.W_OK | os.X_OK):
            return place
    pytest.skip(f"needs a directory for temporary files whose name has at most {_SHORT_SIZE} bytes: set TMPDIR")
