"""What a test may need of the system it runs on, as marks with a reason to skip."""

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

#: A socket's name has at most 107 bytes (unix(7)): what multiprocessing, PostgreSQL and Chromium put below a directory
#: for temporary files takes 40 of them.
_SHORT_SIZE = 60


def short_directory() -> str:
    """A directory for temporary files in which programs may have sockets; skips where there is none."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(place)) <= _SHORT_SIZE and os.access(place, os.W_OK | os.X_OK):
            return place
    pytest.skip(f"needs a directory for temporary files whose name has at most {_SHORT_SIZE} bytes: set TMPDIR")
